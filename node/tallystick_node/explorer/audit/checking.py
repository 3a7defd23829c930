"""Receipts and channels checked for a visitor: the chain's word from the index, the rest by the protocol."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick.protocol import audit
from tallystick.protocol.acknowledgements import of_settlements
from tallystick.protocol.audit import Step, Verdict
from tallystick.protocol.documents import (
    CHANNEL,
    ChannelDocument,
    Document,
    ReceiptDocument,
    proofs,
)
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.facts import Facts
from tallystick.protocol.reconcile import ChannelAudit, Half, ManyAudit, halves, reconcile
from tallystick.protocol.units import ChannelId
from tallystick_node.explorer.audit import intake
from tallystick_node.explorer.errors import Malformed, TooLarge
from tallystick_node.explorer.queries import facts as queries
from tallystick_node.explorer.values import Amount, Hash, shown

RECEIPTS: Final = 200
"""Checked step by step in one answer."""
CHANNELS: Final = 200
"""Audited in one answer."""


@shown
class CheckedStep:
    """One thing that was checked."""

    name: str
    holds: bool | None
    """None: not wrong, and it cannot be said, or is not so yet."""
    reason: str
    inputs: dict[str, str]

    @classmethod
    def of(cls, step: Step) -> "CheckedStep":
        return cls(name=step.name, holds=step.holds, reason=step.reason, inputs=dict(step.inputs))


@shown
class CheckedReceipt:
    """One receipt, step by step."""

    verdict: str
    """`paid`, `unpaid` or `bad`."""
    receipt_hash: Hash | None
    """None: it is no receipt."""
    channel_id: Hash | None
    sequence: int | None
    cost: Amount | None
    steps: tuple[CheckedStep, ...]

    @classmethod
    def of(cls, document: ReceiptDocument | None, steps: Iterable[Step]) -> "CheckedReceipt":
        taken = tuple(steps)
        receipt = None if document is None else document.signed.message
        return cls(
            verdict=audit.verdict(taken).value,
            receipt_hash=None if receipt is None else receipt.struct_hash(),
            channel_id=None if receipt is None else receipt.channel_id,
            sequence=None if receipt is None else receipt.sequence,
            cost=None if receipt is None else receipt.cost,
            steps=tuple(map(CheckedStep.of, taken)),
        )


async def receipts(db: AsyncConnection, domain: Domain, block: int, data: Any) -> tuple[CheckedReceipt, ...]:
    """Of a document or a list of them; a channel's is taken apart. Raises Malformed where that is none, or
    TooLarge."""
    found: list[ReceiptDocument | Step] = []
    budget = _Budget(db)
    entries = data if isinstance(data, list) else [data]
    if len(entries) > RECEIPTS:
        raise TooLarge(f"At most {RECEIPTS} documents at a time.")
    for entry in entries:
        if isinstance(entry, dict) and entry.get("tallystick") == CHANNEL:
            (whole,) = await asyncio.to_thread(intake.documents, entry)
            assert isinstance(whole, ChannelDocument)
            await budget.spend(whole.channel.id)
            found += await _taken_apart(db, domain, block, whole)
        else:
            found.append(audit.read(entry))
        if len(found) > RECEIPTS:
            raise TooLarge(f"At most {RECEIPTS} receipts at a time; an audit takes whole channels.")
    documents = [item for item in found if isinstance(item, ReceiptDocument)]
    known = iter(await queries.of_receipts(db, domain, block, documents))
    return tuple(
        CheckedReceipt.of(None, [item])
        if isinstance(item, Step)
        else CheckedReceipt.of(item, audit.check(item, next(known)))
        for item in found
    )


async def _taken_apart(
    db: AsyncConnection, domain: Domain, block: int, whole: ChannelDocument
) -> Sequence[ReceiptDocument]:
    if len(whole.receipts) > RECEIPTS:
        raise TooLarge(f"At most {RECEIPTS} receipts at a time; an audit takes whole channels.")
    known = await queries.of_channel(db, domain, block, whole.channel.id, ())
    settled = of_settlements(whole.acknowledgements, known.settlements)
    return proofs(whole.domain, whole.receipts, settled, whole.voucher)


class _Budget:
    """Payments that may be read for one answer: each channel of it may have as many as all together."""

    def __init__(self, db: AsyncConnection):
        self._db = db
        self._left = queries.SETTLEMENTS

    async def spend(self, channel_id: ChannelId) -> None:
        """Before the channel is read; raises TooLarge."""
        self._left -= await queries.payments(self._db, channel_id)
        if self._left < 0:
            raise TooLarge(
                f"These channels have more than {queries.SETTLEMENTS:,} payments together: "
                "send fewer at a time, or audit them from the shell."
            )


def unpaid_step(document: ReceiptDocument, known: Facts) -> Step | None:
    """None: it is proven to be paid. Else the step that says why not."""
    steps = audit.check(document, known)
    if audit.verdict(steps) is Verdict.PAID:
        return None
    wrong = next((step for step in steps if step.holds is False), None)
    return wrong or next(step for step in reversed(steps) if step.holds is None)


# ------------------------------------------------------------------------------------------------ channels


async def uploaded(
    db: AsyncConnection, domain: Domain, block: int, documents: Sequence[Document]
) -> ManyAudit:
    """Every channel that these hold receipts of; raises Malformed or TooLarge."""
    for document in documents:
        if document.domain not in (None, domain):
            raise Malformed("One of them is of another market: what is signed for one holds on no other.")
    given = halves(documents)
    if len(given) > CHANNELS:
        raise TooLarge(f"At most {CHANNELS} channels at a time.")
    budget = _Budget(db)
    for channel_id in given:
        await budget.spend(channel_id)
    return await _audited(db, domain, block, given)


async def of_published(
    db: AsyncConnection, domain: Domain, block: int, channel_ids: Sequence[ChannelId]
) -> ManyAudit:
    """These channels, by what was published of them."""
    given: dict[ChannelId, Half] = {}
    left = intake.DOCUMENTS
    for channel_id in channel_ids:
        texts = await queries.published(db, channel_id, left)
        left -= len(texts)
        given[channel_id] = await asyncio.to_thread(_half, texts, channel_id)
    return await _audited(db, domain, block, given)


def _half(texts: Sequence[str], channel_id: ChannelId) -> Half:
    found = halves(intake.documents([intake.json(text) for text in texts]))
    return found.get(channel_id, Half())


async def _audited(
    db: AsyncConnection, domain: Domain, block: int, given: dict[ChannelId, Half]
) -> ManyAudit:
    audits: list[ChannelAudit] = []
    for channel_id, half in given.items():
        offers = {item.message.offer_hash for item in half.receipts}
        known = await queries.of_channel(db, domain, block, channel_id, offers)
        shown_half = half.receipts, half.acknowledgements, channel_id, known, half.vouchers
        audits.append(await asyncio.to_thread(reconcile, *shown_half))
    return ManyAudit(channels=audits, block=block)
