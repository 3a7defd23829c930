"""Receipts that a party publishes here: checked before any is kept, kept once, and counted with its channel.

Only one that is proven to be paid is kept, so that nobody can fill the table but by paying on chain. It
writes through the index's own engine, each time in one short transaction of its own tables.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tallystick.protocol.documents import ReceiptDocument, document_to_json
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.facts import Facts
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.units import ChannelId
from tallystick_node.explorer import schema
from tallystick_node.explorer.audit.checking import unpaid_step
from tallystick_node.explorer.index import tables
from tallystick_node.explorer.queries import facts as queries
from tallystick_node.explorer.values import Hash, shown

_HELD = 1 << 63
_WRITING = asyncio.Lock()
"""One publication at a time: each adds to its channels' totals."""


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
    document: ReceiptDocument
    row: dict[str, Any]


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
            proven.append(_Proven(document, _row(document, known)))
    async with _WRITING, writing.begin() as db:
        kept, doubles = await _keep(db, proven)
    refused += doubles
    before = len(proven) - kept - len(doubles)
    return Publication(kept=kept, known=before, refused=tuple(refused))


def _beyond(receipt: Receipt) -> str | None:
    """What a provider may sign and no database holds: 64 bits of which it needs one for a sign."""
    for name in ("sequence", "received_at", "first_token_at", "finished_at"):
        if (value := getattr(receipt, name)) >= _HELD:
            return f"{name} is {value}, and a number from {_HELD} on is not kept."
    return None


def _row(document: ReceiptDocument, known: Facts) -> dict[str, Any]:
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
    """How many are new; and those whose place another receipt has, which proves that its provider cheats."""
    table = schema.receipts.c
    new: dict[tuple[bytes, int], dict[str, Any]] = {}
    doubles: list[RefusedReceipt] = []
    for item in proven:
        place = item.row["channel_id"], item.row["sequence"]
        held = new[place]["struct_hash"] if place in new else None
        if held is None:
            where = table.channel_id == place[0], table.sequence == place[1]
            held = (await db.execute(select(table.struct_hash).where(*where))).scalar()
        if held is None:
            new[place] = item.row
        elif held != item.row["struct_hash"]:
            reason = f"Another receipt was published in its place: 0x{held.hex()}. Two prove a fraud."
            doubles.append(RefusedReceipt(receipt_hash=item.row["struct_hash"], step="place", reason=reason))
    if new:
        await db.execute(insert(schema.receipts), list(new.values()))
        await _count(db, list(new.values()))
    return len(new), doubles


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
