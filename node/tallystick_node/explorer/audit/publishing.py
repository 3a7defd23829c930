"""Receipts that a party publishes here: checked before any is kept, kept once, and counted with its channel.

Only one that is proven to be paid is kept, for atoms that no other one of its channel is for: whatever payer
and provider sign between them, their receipts come to no more than they paid on chain. It writes through the
index's own engine, each time in one short transaction of its own tables.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tallystick.protocol.documents import ReceiptDocument, document_to_json
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.facts import Facts
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.units import ChannelId, to_hex
from tallystick_node.explorer import schema
from tallystick_node.explorer.audit.checking import unpaid_step
from tallystick_node.explorer.index import tables
from tallystick_node.explorer.queries import facts as queries
from tallystick_node.explorer.values import Hash, shown

_HELD = 1 << 63
_WRITING = asyncio.Lock()
"""One publication at a time: each adds to its channels' totals."""
_Row = dict[str, Any]


@shown
class RefusedReceipt:
    receipt_hash: Hash
    step: str
    """That does not hold, or not yet."""
    reason: str


@shown
class Publication:
    """What became of the receipts that were sent."""

    kept: int
    known: int
    """They were here before."""
    refused: tuple[RefusedReceipt, ...]


@dataclass(frozen=True, slots=True)
class _Proven:
    row: _Row
    settled: int
    """Atoms, of its channel."""


async def publish(
    reading: AsyncConnection,
    writing: AsyncEngine,
    domain: Domain,
    block: int,
    documents: Sequence[ReceiptDocument],
) -> Publication:
    """Those that are proven to be paid are kept; sending one again changes nothing."""
    proven: list[_Proven] = []
    refused: list[RefusedReceipt] = []
    facts = await queries.of_receipts(reading, domain, block, documents)
    for document, known in zip(documents, facts, strict=True):
        hashed = document.signed.message.struct_hash()
        if (why := unpaid_step(document, known)) is not None:
            refused.append(RefusedReceipt(receipt_hash=hashed, step=why.name, reason=why.reason))
        elif beyond := _beyond(document.signed.message):
            refused.append(RefusedReceipt(receipt_hash=hashed, step="range", reason=beyond))
        else:
            proven.append(_Proven(_row(document, known), known.settled))
    async with _WRITING, writing.begin() as db:
        kept, spoken_against = await _keep(db, proven)
    refused += spoken_against
    before = len(proven) - kept - len(spoken_against)
    return Publication(kept=kept, known=before, refused=tuple(refused))


def _beyond(receipt: Receipt) -> str | None:
    """What a provider may sign and no database holds: 64 bits of which it needs one for a sign."""
    for name in ("sequence", "received_at", "first_token_at", "finished_at"):
        if (value := getattr(receipt, name)) >= _HELD:
            return f"{name} is {value}, and a number from {_HELD} on is not kept."
    return None


def _row(document: ReceiptDocument, known: Facts) -> _Row:
    receipt, acknowledgement = document.signed.message, document.acknowledgement
    assert acknowledgement is not None, "it is proven to be acknowledged"
    assert known.channel is not None, "its channel is known"
    columns = {column.name for column in schema.receipts.c}
    row = {name: getattr(receipt, name) for name in Receipt.__slots__ if name in columns}
    return row | {
        "struct_hash": receipt.struct_hash(),
        "model": known.offers[receipt.offer_hash].offer.model.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        "provider": known.channel.provider,
        "payer": known.channel.payer,
        "acknowledgement_hash": acknowledgement.struct_hash(),
        "text": orjson.dumps(document_to_json(document)).decode(),
    }


async def _keep(db: AsyncConnection, proven: Sequence[_Proven]) -> tuple[int, list[RefusedReceipt]]:
    """How many are new; and those that what is published already speaks against."""
    new: dict[ChannelId, list[_Row]] = defaultdict(list)
    counts: dict[ChannelId, int] = {}
    refused: list[RefusedReceipt] = []
    for item in proven:
        row, channel_id = item.row, item.row["channel_id"]
        if channel_id not in counts:
            counts[channel_id] = await _published(db, channel_id)
        before, after = await _beside(db, row, new[channel_id])
        if before is not None and before["struct_hash"] == row["struct_hash"]:
            continue
        count = counts[channel_id] + len(new[channel_id])
        if (objection := _objection(row, before, after, count=count, settled=item.settled)) is None:
            new[channel_id].append(row)
        else:
            step, reason = objection
            refused.append(RefusedReceipt(receipt_hash=row["struct_hash"], step=step, reason=reason))
    added = [row for rows in new.values() for row in rows]
    if added:
        await db.execute(insert(schema.receipts), added)
        await _count(db, added)
    return len(added), refused


def _objection(
    row: _Row, before: _Row | None, after: _Row | None, *, count: int, settled: int
) -> tuple[str, str] | None:
    """Step and reason. Receipts of a channel follow on one another, so that no atom pays for two; and there
    are no more of them than atoms, so that even those that cost nothing are paid for."""
    if before is not None and before["sequence"] == row["sequence"]:
        held = to_hex(before["struct_hash"])
        return "place", f"Another receipt was published in its place: {held}. Two prove a fraud."
    begins, ends = row["cumulative_cost"] - row["cost"], row["cumulative_cost"]
    overlaps = before is not None and begins < before["cumulative_cost"]
    if overlaps or (after is not None and ends > after["cumulative_cost"] - after["cost"]):
        return (
            "place",
            "Another receipt of its channel was published for the same atoms: one of them is wrong.",
        )
    if count >= settled:
        return "settlement", f"As many receipts of its channel were published as it settled atoms: {settled}."
    return None


async def _beside(db: AsyncConnection, row: _Row, new: Sequence[_Row]) -> tuple[_Row | None, _Row | None]:
    """In its channel, the last receipt up to its place, and the first after it."""
    table, sequence = schema.receipts.c, row["sequence"]
    columns = select(table.sequence, table.struct_hash, table.cost, table.cumulative_cost)
    ours = columns.where(table.channel_id == row["channel_id"]).limit(1)
    asked = (
        ours.where(table.sequence <= sequence).order_by(table.sequence.desc()),
        ours.where(table.sequence > sequence).order_by(table.sequence),
    )
    rows = [dict(found) for one in asked for found in (await db.execute(one)).mappings()] + [*new]
    place = itemgetter("sequence")
    before = max((item for item in rows if place(item) <= sequence), key=place, default=None)
    return before, min((item for item in rows if place(item) > sequence), key=place, default=None)


async def _published(db: AsyncConnection, channel_id: ChannelId) -> int:
    table = schema.published.c
    return await db.scalar(select(table.receipts).where(table.channel_id == channel_id)) or 0


async def _count(db: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Adds them to their channels' totals."""
    by_channel: dict[ChannelId, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_channel[row["channel_id"]].append(row)
    table = schema.published
    for channel_id, added in by_channel.items():
        found = (await db.execute(select(table).where(table.c.channel_id == channel_id))).first()
        held = (
            dict.fromkeys(_COUNTS, 0) if found is None else {name: getattr(found, name) for name in _COUNTS}
        )
        totals = {name: held[name] + sum(row[name] for row in added) for name in _SUMMED}
        totals["receipts"] = held["receipts"] + len(added)
        totals["requests"] = held["requests"] + sum(row["finish"] != Finish.INTERIM for row in added)
        row = {"channel_id": channel_id, "provider": added[0]["provider"], **totals}
        await tables.upsert(db, table, [row])


_SUMMED = ("input_tokens", "cached_input_tokens", "output_tokens", "cost")
_COUNTS = ("receipts", "requests", *_SUMMED)
