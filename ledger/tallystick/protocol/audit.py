"""Checking a receipt after the fact, step by step, with nothing but signatures and what the chain recorded.

    format → market → signature → price → offer → place → inclusion → settlement

Each step is a value that says what was looked at, whether it holds, and why. The shell, the explorer's server
and its page (`static/verify.js`) show the same steps: `tests/vectors/audit.json` holds them together. What a
payer checks while an answer comes in needs the answer; this needs it no more. It reads no chain.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from tallystick.protocol.documents import RECEIPT, ChannelDocument, ReceiptDocument, document_from_json
from tallystick.protocol.eip712 import digest
from tallystick.protocol.errors import MalformedMessage, MalformedSignature, ReceiptDoesNotAddUp
from tallystick.protocol.facts import Facts, Posted, Settlement
from tallystick.protocol.merkle import proven_root
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, recover
from tallystick.protocol.units import Address, to_hex
from tallystick.protocol.voucher import Voucher

CLOCKS_APART_S: Final = 60
"""What a provider's clock and the chain's may differ by before a time says anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was checked."""

    name: str
    holds: bool | None
    """None: it is not wrong, and it cannot be said, or is not so yet."""
    reason: str
    inputs: Mapping[str, str]
    """What it was decided by. Names that end in `At` or `Until` are times."""

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "holds": self.holds, "reason": self.reason, "inputs": dict(self.inputs)}


class Verdict(Enum):
    """Of all steps together."""

    PAID = "paid"
    """The provider's word, at the posted price, acknowledged by its payer and paid on chain."""
    UNPAID = "unpaid"
    """Nothing is wrong with it, and that it was paid is not shown, or not so yet."""
    BAD = "bad"
    """A step does not hold."""


def verdict(steps: Sequence[Step]) -> Verdict:
    if any(step.holds is False for step in steps):
        return Verdict.BAD
    proven = {step.name for step in steps if step.holds}
    return Verdict.PAID if proven >= _PROVEN else Verdict.UNPAID


_PROVEN: Final = frozenset(("signature", "price", "place", "inclusion", "settlement"))


def read(data: object) -> ReceiptDocument | Step:
    """The document of one receipt, or the step that says why it is none."""
    try:
        document = document_from_json(data)
    except MalformedMessage as error:
        return _formless(error.message)
    if isinstance(document, ChannelDocument):
        return _formless("It is the document of a channel: it is audited as a whole.")
    return document


def check(document: ReceiptDocument, facts: Facts) -> tuple[Step, ...]:
    """Every step. Of a document of another market nothing else can be said."""
    head = (_format(document), _market(document, facts))
    return head if head[1].holds is False else (*head, *_steps(document, facts))


def checked(data: object, facts: Facts) -> tuple[Step, ...]:
    """All of it, of whatever somebody pasted."""
    document = read(data)
    return (document,) if isinstance(document, Step) else check(document, facts)


def provider_of(receipt: Receipt, facts: Facts) -> Address | None:
    """Whose word it would be: its channel's provider, else its offer's; None: nobody's here."""
    if facts.channel is not None:
        return facts.channel.provider
    posted = facts.offers.get(receipt.offer_hash)
    return None if posted is None else posted.offer.provider


# ------------------------------------------------------------------------------------------------ the steps


def _formless(reason: str) -> Step:
    return Step(name="format", holds=False, reason=reason, inputs={})


def _format(document: ReceiptDocument) -> Step:
    reason = "It is a receipt with proof of its acknowledgement."
    if document.acknowledgement is None:
        reason = "It is a receipt, without proof that it was acknowledged."
    inputs = {"kind": RECEIPT, "receiptHash": to_hex(document.signed.message.struct_hash())}
    return Step(name="format", holds=True, reason=reason, inputs=inputs)


def _market(document: ReceiptDocument, facts: Facts) -> Step:
    ours, theirs = facts.domain, document.domain
    inputs = {"askedChainId": str(ours.chain_id), "askedMarket": to_hex(ours.contract)}
    if theirs is None:
        reason = "It does not say of which market it is: it is taken for this one's."
        return Step(name="market", holds=None, reason=reason, inputs=inputs)
    inputs |= {"chainId": str(theirs.chain_id), "market": to_hex(theirs.contract)}
    if theirs == ours:
        return Step(name="market", holds=True, reason="It is of this market.", inputs=inputs)
    reason = (
        f"It is of the market {to_hex(theirs.contract)} on chain {theirs.chain_id}: what is signed for one "
        "market holds on no other."
    )
    return Step(name="market", holds=False, reason=reason, inputs=inputs)


def _steps(document: ReceiptDocument, facts: Facts) -> Iterator[Step]:
    receipt = document.signed.message
    posted = facts.offers.get(receipt.offer_hash)
    yield signature(document, facts)
    yield price(receipt, facts)
    yield _offer(receipt, posted)
    yield _place(document, facts)
    yield _inclusion(document)
    yield _settlement(document, facts)


def signature(document: ReceiptDocument, facts: Facts) -> Step:
    """By a receipt key that the provider named at some time."""
    receipt = document.signed.message
    provider = provider_of(receipt, facts)
    hashed = digest(facts.domain, receipt.struct_hash())
    inputs = {"digest": to_hex(hashed)}
    try:
        signer = recover(hashed, document.signed.signature)
    except MalformedSignature:
        reason = "No key can have made what stands there as its signature."
        return Step(name="signature", holds=False, reason=reason, inputs=inputs)
    inputs["signer"] = to_hex(signer)
    if provider is None:
        reason = f"It is signed by {to_hex(signer)}. Neither its channel nor its offer is known here."
        return Step(name="signature", holds=None, reason=reason, inputs=inputs)
    inputs["provider"] = to_hex(provider)
    if not facts.is_receipt_key(provider, signer):
        reason = (
            f"It is signed by {to_hex(signer)}, which is no receipt key of {to_hex(provider)}: it is forged, "
            "or was altered since."
        )
        return Step(name="signature", holds=False, reason=reason, inputs=inputs)
    reason = f"It is signed by {to_hex(signer)}, a receipt key of {to_hex(provider)}."
    return Step(name="signature", holds=True, reason=reason, inputs=inputs)


def price(receipt: Receipt, facts: Facts) -> Step:
    """Against the posted offer."""
    posted = facts.offers.get(receipt.offer_hash)
    inputs = {"offerHash": to_hex(receipt.offer_hash), "cost": str(receipt.cost)}
    if posted is None:
        reason = "The offer that it names was never posted on this market."
        return Step(name="price", holds=False, reason=reason, inputs=inputs)
    offer = posted.offer
    inputs |= {
        "inputTokens": str(receipt.input_tokens),
        "cachedInputTokens": str(receipt.cached_input_tokens),
        "outputTokens": str(receipt.output_tokens),
        "inputPrice": str(offer.input_price),
        "cachedInputPrice": str(offer.cached_input_price),
        "outputPrice": str(offer.output_price),
    }
    provider = provider_of(receipt, facts)
    holds, reason = False, ""
    if offer.provider != provider:
        reason = f"Its channel pays another provider than {to_hex(offer.provider)}, whose offer it names."
    elif receipt.cached_input_tokens > receipt.input_tokens:
        reason = "More input is billed as cached than there was."
    else:
        due = _price_of(receipt, offer)
        inputs["price"] = str(due)
        holds, reason = receipt.cost == due, _compared(receipt.cost, due)
    return Step(name="price", holds=holds, reason=reason, inputs=inputs)


def _price_of(receipt: Receipt, offer: Offer) -> int:
    return cost_up(
        offer,
        input_tokens=receipt.input_tokens,
        cached_input_tokens=receipt.cached_input_tokens,
        output_tokens=receipt.output_tokens,
    )


def _compared(cost: int, due: int) -> str:
    if cost > due:
        return f"Overcharged: it costs {cost} atoms, {cost - due} more than its counts cost under the offer."
    if cost < due:
        return f"It costs {cost} atoms, {due - cost} less than its counts cost under the offer."
    return f"It costs {cost} atoms, as its counts do under the offer."


def _offer(receipt: Receipt, posted: Posted | None) -> Step:
    """Valid, and not withdrawn, when the request was received: by the provider's own clock."""
    received = receipt.received_at // 1000
    inputs = {"receivedAt": str(received)}
    if posted is None:
        reason = "There is no such offer that could have held."
        return Step(name="offer", holds=None, reason=reason, inputs=inputs)
    inputs |= {"postedAt": str(posted.posted_at), "validUntil": str(posted.offer.valid_until)}
    end, ended = posted.offer.valid_until, "expired"
    if posted.withdrawn_at is not None:
        inputs["withdrawnAt"] = str(posted.withdrawn_at)
        if posted.withdrawn_at < end:
            end, ended = posted.withdrawn_at, "was withdrawn"
    holds: bool | None = True
    reason = "The request came while the offer held, by the provider's clock."
    if received >= end + CLOCKS_APART_S:
        holds, reason = False, f"The request came after the offer {ended}, by the provider's own clock."
    elif received >= end:
        holds, reason = (
            None,
            f"The request came as the offer {ended}: the clocks cannot tell which was first.",
        )
    elif received < posted.posted_at - CLOCKS_APART_S:
        holds = None
        reason = "By the provider's clock the request came before the offer was posted: the clocks differ."
    return Step(name="offer", holds=holds, reason=reason, inputs=inputs)


def _place(document: ReceiptDocument, facts: Facts) -> Step:
    receipt, acknowledgement = document.signed.message, document.acknowledgement
    inputs = {
        "channelId": to_hex(receipt.channel_id),
        "sequence": str(receipt.sequence),
        "cost": str(receipt.cost),
        "cumulativeCost": str(receipt.cumulative_cost),
    }
    holds: bool | None = False
    if acknowledgement is not None:
        inputs["receiptCount"] = str(acknowledgement.receipt_count)
    if acknowledgement is not None and receipt.sequence >= acknowledgement.receipt_count:
        reason = "Its place is not among the receipts that the acknowledgement speaks of."
    elif receipt.cumulative_cost < receipt.cost:
        reason = "The channel comes to less with it than it costs itself."
    elif receipt.sequence == 0 and receipt.cumulative_cost != receipt.cost:
        reason = "It is the channel's first, and the channel comes to another amount with it than it costs."
    elif facts.channel is None:
        holds, reason = None, "The chain has not seen its channel: a grant may be on its way."
    else:
        holds = True
        reason = (
            f"It has place {receipt.sequence} of its channel, which comes to {receipt.cumulative_cost} atoms "
            "with it."
        )
    return Step(name="place", holds=holds, reason=reason, inputs=inputs)


def _inclusion(document: ReceiptDocument) -> Step:
    receipt, acknowledgement = document.signed.message, document.acknowledgement
    inputs = {"receiptHash": to_hex(receipt.struct_hash())}
    if acknowledgement is None:
        reason = "No acknowledgement is shown with it."
        return Step(name="inclusion", holds=None, reason=reason, inputs=inputs)
    led = proven_root(document.proof, receipt.struct_hash())
    inputs |= {
        "proofLength": str(len(document.proof)),
        "provenRoot": to_hex(led),
        "receiptsRoot": to_hex(acknowledgement.receipts_root),
    }
    if led != acknowledgement.receipts_root:
        reason = (
            "Its proof does not lead to the acknowledged root: it is not among those receipts, or one of the "
            "two was altered."
        )
        return Step(name="inclusion", holds=False, reason=reason, inputs=inputs)
    reason = f"It is one of the {acknowledgement.receipt_count} receipts under the acknowledged root."
    return Step(name="inclusion", holds=True, reason=reason, inputs=inputs)


def _settlement(document: ReceiptDocument, facts: Facts) -> Step:
    """By what it was paid: the first payment that came to as much of its channel as it comes to with it. That
    it was for this receipt follows from an acknowledgement that a settlement carried, or the payer signed."""
    receipt, acknowledgement = document.signed.message, document.acknowledgement
    paying = facts.paying(receipt.cumulative_cost)
    inputs = {"cumulativeCost": str(receipt.cumulative_cost), "settled": str(facts.settled)}
    if paying is not None:
        inputs |= {
            "paidIn": to_hex(paying.transaction),
            "paidInBlock": str(paying.block),
            "paidAt": str(paying.timestamp),
        }
    if acknowledgement is None:
        reason = "Without an acknowledgement nothing says what a settlement paid for."
        return Step(name="settlement", holds=None, reason=reason, inputs=inputs)
    hashed = acknowledgement.struct_hash()
    inputs["acknowledgementHash"] = to_hex(hashed)
    carried = any(item.acknowledgement_hash == hashed for item in facts.settlements)
    vouched = _is_vouched(document, facts)
    if document.voucher is not None:
        inputs["voucherAmount"] = str(document.voucher.cumulative_amount)
    holds, reason = _paid(paying, facts.settled, receipt, carried=carried, vouched=vouched)
    return Step(name="settlement", holds=holds, reason=reason, inputs=inputs)


def _paid(
    paying: Settlement | None, settled: int, receipt: Receipt, *, carried: bool, vouched: bool | None
) -> tuple[bool | None, str]:
    if vouched is False:
        return False, "What stands there as its payer's voucher is not the session key's, or pays for less."
    if paying is None:
        return None, (
            f"Not paid yet: {settled} atoms of the channel are settled, and with this receipt it comes to "
            f"{receipt.cumulative_cost}."
        )
    if carried or vouched:
        how = "closed, by both sides, at" if paying.acknowledgement_hash is None else "settled to"
        return True, f"Paid in block {paying.block}, where the channel was {how} {paying.settled} atoms."
    if paying.acknowledgement_hash is None:
        return None, (
            f"The channel was closed at {paying.settled} atoms in block {paying.block}. A close says not for "
            "which receipts: the payer's voucher, which does, is not shown."
        )
    return False, (
        f"The channel was settled to {settled} atoms, and never by this acknowledgement: what was paid is "
        "another root's."
    )


def _is_vouched(document: ReceiptDocument, facts: Facts) -> bool | None:
    """The channel's session key signed a voucher of this acknowledgement, for as much; None: none is shown,
    or whose key that is is not known."""
    signed = voucher_of(document)
    if signed is None or facts.channel is None:
        return None
    try:
        signer = recover(digest(facts.domain, signed.message.struct_hash()), signed.signature)
    except MalformedSignature:
        return False
    covers = signed.message.cumulative_amount >= document.signed.message.cumulative_cost
    return signer == facts.channel.session_key and covers


def voucher_of(document: ReceiptDocument) -> Signed[Voucher] | None:
    """What stands there as its payer's voucher, whole."""
    shown, acknowledgement = document.voucher, document.acknowledgement
    if shown is None or acknowledgement is None:
        return None
    message = Voucher(
        channel_id=document.signed.message.channel_id,
        cumulative_amount=shown.cumulative_amount,
        acknowledgement=acknowledgement,
    )
    return Signed(message, shown.signature)


def require_price(receipt: Receipt, offer: Offer) -> None:
    """Cost = price · counts, rounded up once; raises ReceiptDoesNotAddUp."""
    if receipt.cached_input_tokens > receipt.input_tokens:
        raise ReceiptDoesNotAddUp(
            "More input is billed as cached than there was.",
            required=receipt.input_tokens,
            actual=receipt.cached_input_tokens,
        )
    required = _price_of(receipt, offer)
    if receipt.cost != required:
        raise ReceiptDoesNotAddUp(
            "The receipt's cost is not the offer's price of its counts.",
            required=required,
            actual=receipt.cost,
        )
