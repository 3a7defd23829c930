"""The strict encoder agrees with eth-account on every value, and refuses what eth-account would coerce."""

from dataclasses import fields, replace

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain, digest, hash_struct, keccak
from tallystick.protocol.grant import Grant
from tallystick.protocol.message import Message, fields_of
from tallystick.protocol.offer import Offer
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.units import Address, Hash32
from tallystick.protocol.voucher import Acknowledgement, Close, Voucher

MESSAGES = (Offer, Grant, Receipt, Acknowledgement, Voucher, Close, Status, Suspicion, Rating, Quote)
any_message = st.one_of(*map(st.from_type, MESSAGES))


def eth_accounts_digest(message: Message, domain: Domain) -> bytes:
    structs = {type(message).__name__: type(message).TYPE} | {
        kind: nested.TYPE for kind, nested in message.NESTED.items()
    }
    signable = encode_typed_data(
        domain_data={
            "name": "Tallystick",
            "version": "1",
            "chainId": domain.chain_id,
            "verifyingContract": domain.contract,
        },
        message_types={
            name: [{"name": field, "type": kind} for kind, field in fields_of(type_string)]
            for name, type_string in structs.items()
        },
        message_data=plain(message),
    )
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def plain(message: Message) -> dict:
    """By the names of the type string, as Python values."""
    attributes = [getattr(message, field.name) for field in fields(message) if field.init]
    names = [name for _, name in fields_of(message.TYPE)]
    return {
        name: plain(value) if isinstance(value, Message) else value
        for name, value in zip(names, attributes, strict=True)
    }


@pytest.mark.parametrize("kind", MESSAGES)
def test_digests_are_eth_accounts(kind):
    @given(st.from_type(kind), st.integers(0, 2**64), st.from_type(Address))
    def holds(message, chain_id, contract):
        domain = Domain(chain_id=chain_id, contract=contract)

        assert digest(domain, message.struct_hash()) == eth_accounts_digest(message, domain)

    holds()


@given(any_message, any_message)
def test_different_messages_have_different_hashes(one, other):
    assert (one.struct_hash() == other.struct_hash()) == (one == other)


@given(st.from_type(Voucher), st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1), st.from_type(Address))
def test_a_digest_holds_on_one_chain_only(voucher, here, there, contract):
    digests = {digest(Domain(chain_id=c, contract=contract), voucher.struct_hash()) for c in (here, there)}

    assert len(digests) == len({here, there})


@given(st.from_type(Voucher), st.from_type(Address), st.from_type(Address))
def test_a_digest_holds_for_one_contract_only(voucher, one, other):
    digests = {digest(Domain(chain_id=1, contract=c), voucher.struct_hash()) for c in (one, other)}

    assert len(digests) == len({one, other})


@given(st.sampled_from([8, 24, 32, 64, 96, 128, 256]), st.integers())
def test_a_uint_is_an_int_within_its_bits(bits, value):
    fits = 0 <= value < 1 << bits
    try:
        hash_struct(f"T(uint{bits} x)", (value,))
    except TypeError:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize("bits", [8, 24, 32, 64, 96, 128, 256])
def test_the_largest_uint_fits_and_the_next_does_not(bits):
    hash_struct(f"T(uint{bits} x)", ((1 << bits) - 1,))
    with pytest.raises(TypeError):
        hash_struct(f"T(uint{bits} x)", (1 << bits,))


@pytest.mark.parametrize("value", [True, False, -1, 1.0, "1", "0x01", b"\1", None])
def test_what_is_no_uint_is_refused(value):
    with pytest.raises(TypeError):
        hash_struct("T(uint64 x)", (value,))


@pytest.mark.parametrize("kind", ["address", "bytes32", "Struct"])
@pytest.mark.parametrize(
    "value",
    [
        b"",
        bytes(19),
        bytes(21),
        bytes(31),
        bytes(33),
        bytearray(32),
        memoryview(bytes(32)),
        "0x" + "00" * 20,
        "0x" + "00" * 32,
        0,
        None,
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, memoryview) else repr(value),
)
def test_what_is_not_the_very_bytes_is_refused(kind, value):
    with pytest.raises(TypeError):
        hash_struct(f"T({kind} x)", (value,))


@given(st.binary(max_size=64))
def test_bytes_are_neither_padded_nor_cut(value):
    for kind, size in (("address", 20), ("bytes32", 32)):
        if len(value) != size:
            with pytest.raises(TypeError):
                hash_struct(f"T({kind} x)", (value,))


@pytest.mark.parametrize("value", [b"text", None, 1, "half a pair: \ud800", "\udfff"], ids=repr)
def test_what_has_no_utf8_is_no_string(value):
    with pytest.raises(TypeError):
        hash_struct("T(string x)", (value,))


@pytest.mark.parametrize("values", [(), (1,), (1, 2, 3)])
def test_every_field_has_one_value(values):
    with pytest.raises(TypeError):
        hash_struct("T(uint64 x,uint64 y)", values)


@given(st.from_type(Receipt), st.sampled_from(["cost", "sequence", "input_tokens", "finish"]))
def test_a_message_with_a_wrong_field_is_never_hashed(receipt, name):
    for wrong in (-1, 1 << 128, True, "7"):
        with pytest.raises(TypeError):
            replace(receipt, **{name: wrong}).struct_hash()


@given(st.from_type(Offer), st.from_type(Hash32))
def test_an_address_is_not_a_hash(offer, value):
    with pytest.raises(TypeError):
        replace(offer, provider=value).struct_hash()


@given(st.from_type(ChannelKey), st.from_type(ChannelKey))
def test_every_life_of_every_channel_has_its_own_id(one, other):
    assert (one.id == other.id) == (one == other)
