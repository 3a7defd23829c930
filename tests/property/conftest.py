"""A strategy for every message, so that `from_type(Receipt)` gives receipts."""

import re

from hypothesis import strategies as st

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.grant import Grant
from tallystick.protocol.message import fields_of
from tallystick.protocol.offer import Offer
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key
from tallystick.protocol.speed import Speed
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.units import Address, ChannelId, Hash32
from tallystick.protocol.voucher import Acknowledgement, Close, Voucher
from tallystick.protocol.wire import Terms


def of_kind(kind):
    """Values of an EIP-712 kind."""
    if kind.startswith("uint"):
        return st.integers(0, (1 << int(kind[4:])) - 1)
    return {
        "string": st.text(max_size=40),
        "address": st.binary(min_size=20, max_size=20),
        "bytes32": st.binary(min_size=32, max_size=32),
        "Acknowledgement": st.deferred(lambda: st.from_type(Acknowledgement)),
        "Speed": st.deferred(lambda: st.from_type(Speed)),
    }[kind]


def snake(name):
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)


for message in (
    Offer,
    Grant,
    Receipt,
    Acknowledgement,
    Voucher,
    Close,
    Speed,
    Status,
    Suspicion,
    Rating,
    Quote,
):
    fields = {snake(name): of_kind(kind) for kind, name in fields_of(message.TYPE)}
    st.register_type_strategy(message, st.builds(message, **fields))

st.register_type_strategy(Address, of_kind("address"))
st.register_type_strategy(Hash32, of_kind("bytes32"))
st.register_type_strategy(ChannelId, of_kind("bytes32"))
st.register_type_strategy(Key, st.integers(1, 1 << 255).map(lambda n: Key(n.to_bytes(32, "big"))))
st.register_type_strategy(
    ChannelKey,
    st.builds(
        ChannelKey,
        payer=of_kind("address"),
        provider=of_kind("address"),
        session_key=of_kind("address"),
        epoch=of_kind("uint24"),
    ),
)
atoms = of_kind("uint128")
st.register_type_strategy(
    Terms,
    st.builds(
        Terms,
        offer_hash=of_kind("bytes32"),
        credit=atoms,
        owed=atoms,
        reserved=atoms,
        required=atoms,
        receipt_count=of_kind("uint64"),
        cap=atoms,
    ),
)
