"""With the chain's facts anyone can tell a true half from one changed, cut, doubled or overpriced."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tallystick.protocol.acknowledgements import find_settled
from tallystick.protocol.audit import Verdict, check, require_price, verdict
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.documents import ChannelDocument, document_from_json, document_to_json, proofs
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import ReceiptDoesNotAddUp
from tallystick.protocol.facts import Facts, Posted, Settlement
from tallystick.protocol.message import fields_of
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.reconcile import halves, reconcile
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, Address
from tallystick.protocol.voucher import Tally

DOMAIN = Domain(chain_id=31337, contract=ZERO_ADDRESS)
KEY, SESSION = Key(b"\7" * 32), Key(b"\5" * 32)
CHANNEL = ChannelKey(payer=Address(b"\1" * 20), provider=KEY.address, session_key=SESSION.address)
OFFER = Offer(
    provider=KEY.address,
    sequence=1,
    endpoint="https://example.org",
    endpoint_key=ZERO_HASH,
    model="m",
    model_hash=ZERO_HASH,
    input_price=3_000_000,
    cached_input_price=1_000_000,
    output_price=7_000_000,
    context_length=1 << 20,
    credit=1 << 40,
    valid_until=1 << 40,
)


def priced(receipt, offer):
    """The receipt at the offer's price."""
    receipt = replace(
        receipt,
        offer_hash=offer.struct_hash(),
        cached_input_tokens=min(receipt.input_tokens, receipt.cached_input_tokens),
    )
    names = ("input_tokens", "cached_input_tokens", "output_tokens")
    return replace(receipt, cost=cost_up(offer, **{name: getattr(receipt, name) for name in names}))


@given(st.from_type(Receipt), st.from_type(Offer), st.integers(-5, 5))
def test_a_cost_that_is_off_by_a_few_atoms_is_refused(receipt, offer, off):
    receipt = priced(receipt, offer)
    assume(0 <= receipt.cost + off < 1 << 128)

    if off == 0:
        require_price(receipt, offer)
        return
    with pytest.raises(ReceiptDoesNotAddUp) as caught:
        require_price(replace(receipt, cost=receipt.cost + off), offer)
    assert (caught.value.required, caught.value.actual) == (receipt.cost, receipt.cost + off)


@st.composite
def channels(draw):
    """(receipts, acknowledgements, facts) of a channel in which all is in order, settled now and then by
    vouchers that were bare or came with requests, and perhaps closed by both sides in the end."""
    counts = draw(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=12))
    settled_at = draw(st.sets(st.integers(1, len(counts)), max_size=4))
    tally, receipts, acknowledgements, settlements = Tally(), [], [], []
    for sequence, (read, written) in enumerate(counts):
        receipt = priced(
            Receipt(
                channel_id=CHANNEL.id,
                sequence=sequence,
                **dict.fromkeys(("offer_hash", "request_hash", "response_hash", "tokens_hash"), ZERO_HASH),
                input_tokens=read,
                cached_input_tokens=read // 2,
                output_tokens=written,
                finish=1,
                received_at=5_000,
                first_token_at=5_001,
                finished_at=5_002,
                cost=0,
                cumulative_cost=0,
            ),
            OFFER,
        )
        receipt = replace(receipt, cumulative_cost=tally.amount + receipt.cost)
        tally = tally.append(receipt)
        receipts.append(sign(receipt, DOMAIN, KEY).signed)
        if tally.count in settled_at:
            nonce = draw(st.integers(0, 3))
            hashed = bytes(31) + bytes((nonce,))
            voucher = tally.voucher(CHANNEL.id, request_hash=hashed, request_nonce=nonce)
            acknowledgements.append(voucher.acknowledgement)
            settlements.append(
                Settlement(
                    settled=tally.amount,
                    acknowledgement_hash=voucher.acknowledgement.struct_hash(),
                    block=tally.count,
                    log_index=0,
                    transaction=ZERO_HASH,
                    timestamp=tally.count,
                )
            )
    if draw(st.booleans()) and settlements:
        settlements[-1] = replace(settlements[-1], acknowledgement_hash=None)
        acknowledgements.pop()
    facts = Facts(
        domain=DOMAIN,
        block=99,
        channel=CHANNEL,
        offers={OFFER.struct_hash(): Posted(offer=OFFER, posted_at=4)},
        settlements=settlements,
    )
    return receipts, acknowledgements, facts


def audited(receipts, acknowledgements, facts):
    return reconcile(receipts, acknowledgements, CHANNEL.id, facts)


@given(channels(), st.randoms())
def test_a_true_half_adds_up_in_any_order_and_doubled(channel, random):
    receipts, acknowledgements, facts = channel
    shuffled = [*receipts, *receipts]
    random.shuffle(shuffled)

    audit = audited(shuffled, acknowledgements, facts)

    assert audit.adds_up is True
    assert audit.amount == sum(item.message.cost for item in receipts)
    assert audit.explained == audit.settled == facts.settled
    assert audit.unsettled == audit.amount - audit.settled


@given(channels())
def test_what_was_settled_is_found_from_receipts_and_requests_alone(channel):
    receipts, acknowledgements, facts = channel
    requests = [(bytes(31) + bytes((nonce,)), nonce) for nonce in range(1, 4)]

    found = find_settled([item.message for item in receipts], requests, facts.settlements)

    assert found == acknowledgements


@given(channels())
def test_every_settled_receipt_is_proven_paid_and_no_other(channel):
    receipts, acknowledgements, facts = channel
    tally = Tally()
    for item in receipts:
        tally = tally.append(item.message)
    voucher = sign(tally.voucher(CHANNEL.id), DOMAIN, SESSION).signed

    for document in proofs(DOMAIN, receipts, acknowledgements, voucher):
        paid = document.signed.message.cumulative_cost <= facts.settled
        expected = Verdict.PAID if paid else Verdict.UNPAID
        assert verdict(check(document, facts)) is expected


@given(channels(), st.data())
def test_a_receipt_that_is_missing_is_a_gap_and_no_lie(channel, data):
    receipts, acknowledgements, facts = channel
    assume(len(receipts) > 1)
    gone = data.draw(st.integers(0, len(receipts) - 2))

    audit = audited([*receipts[:gone], *receipts[gone + 1 :]], acknowledgements, facts)

    assert [(fault.kind, fault.first, fault.last) for fault in audit.faults] == [("gap", gone, gone)]
    assert audit.adds_up is None


@given(channels(), st.data())
def test_a_field_that_was_altered_is_found(channel, data):
    receipts, acknowledgements, facts = channel
    place = data.draw(st.integers(0, len(receipts) - 1))
    name = data.draw(st.sampled_from(["cost", "output_tokens", "finish", "received_at", "cumulative_cost"]))
    altered = replace(receipts[place].message, **{name: getattr(receipts[place].message, name) + 1})
    changed = [*receipts]
    changed[place] = replace(receipts[place], message=altered)

    audit = audited(changed, acknowledgements, facts)

    assert audit.adds_up is False
    assert "forged" in {fault.kind for fault in audit.faults}


@given(channels(), st.data(), st.integers(1, 1_000))
def test_an_overcharge_that_both_sides_signed_is_found(channel, data, extra):
    receipts, _, facts = channel
    place = data.draw(st.integers(0, len(receipts) - 1))
    tally, changed = Tally(), []
    for signed in receipts:
        cost = signed.message.cost + (extra if signed.message.sequence == place else 0)
        receipt = replace(signed.message, cost=cost, cumulative_cost=tally.amount + cost)
        tally = tally.append(receipt)
        changed.append(sign(receipt, DOMAIN, KEY).signed)

    audit = audited(changed, [], replace(facts, settlements=()))

    assert [(fault.kind, fault.first) for fault in audit.faults] == [("overcharged", place)]
    assert audit.adds_up is False


@given(channels(), st.data())
def test_two_receipts_in_one_place_are_found_in_either_order(channel, data):
    receipts, acknowledgements, facts = channel
    place = data.draw(st.integers(0, len(receipts) - 1))
    twin = sign(replace(receipts[place].message, finish=2), DOMAIN, KEY).signed

    for given_ in ([*receipts, twin], [twin, *receipts]):
        audit = audited(given_, acknowledgements, facts)
        assert ("double", place) in {(fault.kind, fault.first) for fault in audit.faults}
        assert audit.adds_up is False


@given(channels(), st.integers(1, 1_000))
def test_an_atom_more_settled_than_the_receipts_come_to_is_found(channel, extra):
    receipts, acknowledgements, facts = channel
    assume(facts.settlements)
    *earlier, last = facts.settlements
    more = replace(last, settled=last.settled + extra)

    audit = audited(receipts, acknowledgements, replace(facts, settlements=[*earlier, more]))

    by_close = last.acknowledgement_hash is None
    assert audit.rows[-1].holds is (None if by_close else False)
    assert audit.adds_up is (None if by_close else False)


@given(channels())
def test_a_settlement_under_a_root_that_nobody_shows_stays_unexplained(channel):
    receipts, acknowledgements, facts = channel
    assume(facts.settlements)
    *earlier, last = facts.settlements
    strange = replace(last, acknowledgement_hash=b"\xee" * 32)

    audit = audited(receipts, acknowledgements, replace(facts, settlements=[*earlier, strange]))

    assert audit.adds_up is None
    assert audit.unexplained == last.settled - (earlier[-1].settled if earlier else 0)


@given(channels())
def test_documents_are_read_as_they_were_written(channel):
    receipts, acknowledgements, facts = channel
    whole = ChannelDocument(
        domain=DOMAIN, channel=CHANNEL, receipts=receipts, acknowledgements=acknowledgements, following=9
    )
    single = proofs(DOMAIN, receipts, acknowledgements)

    for document in (whole, *single):
        written = orjson.loads(orjson.dumps(document_to_json(document)))
        assert document_from_json(written) == document
    (half,) = halves(single).values()
    assert audited(half.receipts, half.acknowledgements, facts).adds_up in (True, None)


def test_every_field_of_a_receipt_is_signed_for():
    assert len(fields_of(Receipt.TYPE)) == 15
