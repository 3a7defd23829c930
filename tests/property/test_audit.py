"""Anyone with the offer can tell a true receipt from one that was changed, underpriced or overpriced."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tallystick.protocol.audit import audited, tally_of
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import (
    ReceiptDoesNotAddUp,
    ReceiptMismatch,
    ReceiptNotContiguous,
    SignatureError,
)
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_ADDRESS

DOMAIN = Domain(chain_id=31337, contract=ZERO_ADDRESS)
KEY = Key(b"\7" * 32)


@st.composite
def priced(draw):
    """An offer, and a receipt under it at its price."""
    offer = draw(st.from_type(Offer))
    receipt = draw(st.from_type(Receipt))
    receipt = replace(
        receipt,
        offer_hash=offer.struct_hash(),
        cached_input_tokens=min(receipt.input_tokens, receipt.cached_input_tokens),
    )
    cost = cost_up(
        offer,
        input_tokens=receipt.input_tokens,
        cached_input_tokens=receipt.cached_input_tokens,
        output_tokens=receipt.output_tokens,
    )
    return offer, replace(receipt, cost=cost)


def audit(receipt, offer, key=KEY):
    return audited(sign(receipt, DOMAIN, key).signed, offer, DOMAIN, receipt_key=KEY.address)


@given(priced())
def test_a_true_receipt_passes(case):
    offer, receipt = case

    assert audit(receipt, offer).message == receipt


@given(priced(), st.integers(-5, 5).filter(bool))
def test_a_cost_that_is_off_by_a_few_atoms_does_not(case, off):
    offer, receipt = case
    assume(0 <= receipt.cost + off < 1 << 128)

    with pytest.raises(ReceiptDoesNotAddUp) as caught:
        audit(replace(receipt, cost=receipt.cost + off), offer)
    assert (caught.value.required, caught.value.actual) == (receipt.cost, receipt.cost + off)


@given(priced(), st.integers(1, 1_000))
def test_more_cached_than_there_was_does_not(case, surplus):
    offer, receipt = case
    assume(receipt.input_tokens + surplus < 1 << 32)

    with pytest.raises(ReceiptDoesNotAddUp):
        audit(replace(receipt, cached_input_tokens=receipt.input_tokens + surplus), offer)


@given(priced(), st.from_type(Offer))
def test_another_offer_does_not(case, other):
    offer, receipt = case
    assume(other != offer)

    with pytest.raises(ReceiptMismatch):
        audit(receipt, other)


@given(priced(), st.from_type(Key))
def test_another_key_does_not(case, key):
    offer, receipt = case
    assume(key.address != KEY.address)

    with pytest.raises(SignatureError):
        audit(receipt, offer, key)


@given(st.from_type(Receipt), st.lists(st.integers(0, 1_000), min_size=1, max_size=8), st.randoms())
def test_a_channel_is_tallied_in_any_order_and_only_whole(pattern, costs, random):
    receipts, total = [], 0
    for sequence, cost in enumerate(costs):
        total += cost
        receipts.append(replace(pattern, sequence=sequence, cost=cost, cumulative_cost=total))
    random.shuffle(receipts)

    tally = tally_of(receipts)
    assert (tally.count, tally.amount) == (len(costs), total)

    missing = [receipt for receipt in receipts if receipt.sequence != 0]
    if missing:
        with pytest.raises(ReceiptNotContiguous):
            tally_of(missing)
