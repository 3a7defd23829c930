"""What is found is proof, what is honest is none, and what is written to a file is read back."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.fraud import (
    OfferEquivocation,
    Overcharge,
    ReceiptEquivocation,
    first_failing,
    offer_equivocations,
    overcharge,
    proof_from_json,
    proof_to_json,
    receipt_equivocation,
    steps,
)
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.units import Address

KEY, OTHER_KEY = Key(b"\7" * 32), Key(b"\x08" * 32)
DOMAIN = Domain(chain_id=31337, contract=Address(b"\x77" * 20))
ADDRESSES = st.binary(min_size=20, max_size=20)
CHANNELS = st.builds(
    ChannelKey,
    payer=ADDRESSES,
    provider=st.just(KEY.address),
    session_key=ADDRESSES,
    epoch=st.integers(0, 2**24 - 1),
)
SIGNATURES = st.binary(min_size=64, max_size=65)


def signed(message, key=KEY):
    return sign(message, DOMAIN, key).signed


def proofs():
    """Of every kind; few of them prove anything."""
    offers, receipts = st.from_type(Offer), st.from_type(Receipt)
    signed_offers, signed_receipts = (
        st.builds(Signed, messages, SIGNATURES) for messages in (offers, receipts)
    )
    return st.one_of(
        st.builds(Overcharge, offer=offers, receipt=signed_receipts),
        st.builds(ReceiptEquivocation, channel=CHANNELS, first=signed_receipts, second=signed_receipts),
        st.builds(OfferEquivocation, first=signed_offers, second=signed_offers),
    )


@given(proofs())
def test_a_file_says_what_was_written(proof):
    assert proof_from_json(proof_to_json(proof, DOMAIN)) == (proof, DOMAIN)


@given(proofs(), st.data())
def test_a_file_that_lacks_something_is_malformed(proof, data):
    written = proof_to_json(proof, DOMAIN)
    del written[data.draw(st.sampled_from(sorted(written)))]
    with pytest.raises(MalformedMessage):
        proof_from_json(written)


@pytest.mark.parametrize("data", [None, 3, [], {}, {"fraud": "overcharge"}, {"fraud": "arson"}])
def test_nonsense_is_malformed(data):
    with pytest.raises(MalformedMessage):
        proof_from_json(data)


@given(st.from_type(Offer), st.from_type(Receipt), st.integers(-3, 3))
def test_an_overcharge_is_one_from_the_first_atom_above_the_price(offer, receipt, above):
    cached = min(receipt.cached_input_tokens, receipt.input_tokens)
    atoms = Fraction(
        (receipt.input_tokens - cached) * offer.input_price
        + cached * offer.cached_input_price
        + receipt.output_tokens * offer.output_price,
        10**6,
    )
    price = -(-atoms.numerator // atoms.denominator)
    assume(0 <= price + above < 1 << 128)
    receipt = replace(receipt, offer_hash=offer.struct_hash(), cost=price + above)

    found = overcharge(offer, signed(receipt))

    assert (found is not None) == (above > 0)
    failing = first_failing(steps(Overcharge(offer=offer, receipt=signed(receipt)), DOMAIN, lambda *_: True))
    assert (failing is None) == (above > 0)


@given(st.from_type(Offer), st.from_type(Receipt))
def test_a_receipt_under_another_offer_is_no_overcharge_of_this_one(offer, receipt):
    assume(receipt.offer_hash != offer.struct_hash())
    assert overcharge(offer, signed(replace(receipt, cost=2**128 - 1))) is None


@given(CHANNELS, st.from_type(Receipt), st.from_type(Receipt))
def test_two_receipts_in_one_place_are_an_equivocation(channel, first, second):
    first = replace(first, channel_id=channel.id)
    second = replace(second, channel_id=channel.id, sequence=first.sequence)
    assume(first != second)

    proof = receipt_equivocation(channel, signed(first), signed(second))

    assert first_failing(steps(proof, DOMAIN)) is None
    assert receipt_equivocation(channel, signed(first), signed(first)) is None
    assert (
        receipt_equivocation(replace(channel, epoch=channel.epoch ^ 1), signed(first), signed(second)) is None
    )
    apart = replace(second, sequence=first.sequence ^ 1)
    assert receipt_equivocation(channel, signed(first), signed(apart)) is None


@given(st.lists(st.from_type(Offer), max_size=8), st.data())
def test_offers_contradict_each_other_once_a_sequence(offers, data):
    offers = [replace(offer, provider=KEY.address, sequence=index) for index, offer in enumerate(offers)]
    doubled = data.draw(st.lists(st.sampled_from(offers), unique=True)) if offers else []
    others = [replace(offer, output_price=offer.output_price ^ 1) for offer in doubled]
    shuffled = data.draw(st.permutations(offers + others + offers))

    found = offer_equivocations(map(signed, shuffled))

    assert {proof.first.message.sequence for proof in found} == {offer.sequence for offer in doubled}
    assert len(found) == len(doubled)
    assert all(first_failing(steps(proof, DOMAIN)) is None for proof in found)


@given(st.from_type(Offer), st.sampled_from([b"", b"\0" * 65, b"\xff" * 64]))
def test_a_signature_that_is_another_s_or_nobody_s_fails_the_first_step(offer, nobodys):
    """Somebody else's key may still be the provider's: offline nobody knows."""
    offer = replace(offer, provider=KEY.address)
    other = replace(offer, output_price=offer.output_price ^ 1)
    proof = OfferEquivocation(first=signed(offer, OTHER_KEY), second=signed(other))
    assert [step.holds for step in steps(proof, DOMAIN)][:2] == [None, True]
    assert first_failing(steps(proof, DOMAIN, lambda provider, key: key == provider)).error == "NotReceiptKey"
    proof = OfferEquivocation(first=Signed(offer, nobodys), second=signed(other))
    assert first_failing(steps(proof, DOMAIN, lambda *_: True)).error == "NotReceiptKey"
