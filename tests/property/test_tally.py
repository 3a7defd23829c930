"""The two halves of the stick fit: what the provider issued, what the payer checked, what is paid."""

from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tallystick.protocol import merkle
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.errors import AcknowledgementMismatch, ReceiptDoesNotAddUp, ReceiptNotContiguous
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.units import Atoms, Hash32
from tallystick.protocol.voucher import Tally, Voucher, request_hash, require_acknowledges

hashes = st.from_type(Hash32)


@st.composite
def chains(draw, min_size=0, max_size=12):
    """Receipts as a correct provider issues them on one channel."""
    costs = draw(st.lists(st.integers(0, 2**64), min_size=min_size, max_size=max_size))
    pattern, total, receipts = draw(st.from_type(Receipt)), 0, []
    for sequence, cost in enumerate(costs):
        total += cost
        receipts.append(replace(pattern, sequence=sequence, cost=cost, cumulative_cost=total))
    return receipts


def tallied(receipts):
    return reduce(Tally.append, receipts, Tally())


@given(chains())
def test_a_tally_counts_sums_and_roots(receipts):
    tally = tallied(receipts)

    assert tally.count == len(receipts)
    assert tally.amount == sum(receipt.cost for receipt in receipts)
    assert tally.mountains.root == merkle.root([receipt.struct_hash() for receipt in receipts])


@given(chains(), st.from_type(Receipt))
def test_only_the_next_sequence_is_taken(receipts, receipt):
    tally = tallied(receipts)
    assume(receipt.sequence != tally.count)

    with pytest.raises(ReceiptNotContiguous) as caught:
        tally.append(receipt)

    assert (caught.value.required, caught.value.actual) == (tally.count, receipt.sequence)


@given(chains(), st.from_type(Receipt))
def test_only_a_sum_that_adds_up_is_taken(receipts, receipt):
    tally = tallied(receipts)
    receipt = replace(receipt, sequence=tally.count)
    assume(receipt.cumulative_cost != tally.amount + receipt.cost)

    with pytest.raises(ReceiptDoesNotAddUp) as caught:
        tally.append(receipt)

    assert (caught.value.required, caught.value.actual) == (
        tally.amount + receipt.cost,
        receipt.cumulative_cost,
    )


@given(chains(), hashes, hashes, st.integers(1, 2**64 - 1))
def test_its_voucher_pays_for_exactly_what_it_acknowledges(receipts, channel_id, asked, nonce):
    tally = tallied(receipts)

    voucher = tally.voucher(channel_id, request_hash=asked, request_nonce=nonce)

    assert (voucher.channel_id, voucher.cumulative_amount) == (channel_id, tally.amount)
    assert voucher.acknowledgement.receipt_count == tally.count
    assert (voucher.acknowledgement.request_hash, voucher.acknowledgement.request_nonce) == (asked, nonce)
    require_acknowledges(voucher, tally)


@given(chains(min_size=1), st.data())
def test_a_voucher_for_one_prefix_acknowledges_no_other(receipts, data):
    one, other = data.draw(st.lists(st.integers(0, len(receipts)), min_size=2, max_size=2, unique=True))

    with pytest.raises(AcknowledgementMismatch):
        require_acknowledges(tallied(receipts[:one]).voucher(Hash32(bytes(32))), tallied(receipts[:other]))


@given(chains(), st.from_type(Voucher))
def test_count_amount_and_root_must_all_match(receipts, stranger):
    tally = tallied(receipts)
    true = tally.voucher(stranger.channel_id)
    theirs = stranger.acknowledgement

    for forged in (
        replace(true, cumulative_amount=stranger.cumulative_amount),
        replace(true, acknowledgement=replace(true.acknowledgement, receipt_count=theirs.receipt_count)),
        replace(true, acknowledgement=replace(true.acknowledgement, receipts_root=theirs.receipts_root)),
    ):
        if forged != true:
            with pytest.raises(AcknowledgementMismatch):
                require_acknowledges(forged, tally)


@given(chains(min_size=1), st.data(), hashes)
def test_both_halves_differ_as_soon_as_one_receipt_does(receipts, data, other):
    """A provider that shows the payer one receipt and books another gets no voucher that fits."""
    at = data.draw(st.integers(0, len(receipts) - 1))
    assume(receipts[at].response_hash != other)
    booked = [*receipts[:at], replace(receipts[at], response_hash=other), *receipts[at + 1 :]]

    with pytest.raises(AcknowledgementMismatch):
        require_acknowledges(tallied(receipts).voucher(Hash32(bytes(32))), tallied(booked))


@given(hashes, hashes, st.binary(max_size=64), st.binary(max_size=64))
def test_a_request_hash_pins_offer_and_body(offer, other_offer, body, other_body):
    assert request_hash(offer, body) == keccak(offer + keccak(body))
    assert (request_hash(offer, body) == request_hash(other_offer, other_body)) == (
        (offer, body) == (other_offer, other_body)
    )


def test_an_empty_tally_pays_nothing():
    assert (Tally().count, Tally().amount) == (0, Atoms(0))
    require_acknowledges(Tally().voucher(Hash32(bytes(32))), Tally())
