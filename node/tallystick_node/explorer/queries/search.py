"""What a visitor's word may mean: numbers, hashes and addresses exactly; the beginnings of model names and
hosts."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from sqlalchemy import Column, ColumnElement, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick.protocol.units import to_hex
from tallystick_node.explorer import schema
from tallystick_node.explorer.index.facts import plain
from tallystick_node.explorer.values import shown

Kind = Literal[
    "block", "transaction", "account", "provider", "session key", "receipt key",
    "channel", "duel", "accusation", "offer", "receipt", "settlement", "model", "host",
]  # fmt: skip

LONGEST: Final = 200
"""Characters of a word that is looked for."""
_NAMES: Final = 20
"""Model names, and hosts, that are listed."""
_CHANNELS: Final = 10
"""Of one session key."""
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_HEX: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{40}|[0-9a-fA-F]{64})")
_OFFERS: Final = 5_000
"""Offers, the newest, whose hosts are looked through."""


@shown
class Hit:
    """Something of that name."""

    kind: Kind
    path: str
    """Of its page."""
    text: str
    """What it is called: perhaps a stranger's words."""
    note: str


@dataclass(frozen=True, slots=True)
class _Place:
    """A column in which a hash or an address may stand, and what it is then."""

    kind: Kind
    column: Column[Any]
    page: str
    show: Sequence[Column[Any]]
    """What the page is called by; the first is the hit's text."""
    note: str = ""


def _path(prefix: str, *values: Any) -> str:
    return prefix + "/".join(to_hex(value) if isinstance(value, bytes) else str(value) for value in values)


_HASHES: Final = (
    _Place("transaction", schema.transactions.c.hash, "/tx/", [schema.transactions.c.hash]),
    _Place("block", schema.blocks.c.hash, "/block/", [schema.blocks.c.number]),
    _Place("channel", schema.channels.c.channel_id, "/channel/", [schema.channels.c.channel_id]),
    _Place("duel", schema.duels.c.duel, "/duel/", [schema.duels.c.duel]),
    _Place("accusation", schema.accusations.c.accusation, "/accusation/", [schema.accusations.c.accusation]),
    _Place("offer", schema.offers.c.offer_hash, "/offer/", [schema.offers.c.offer_hash]),
    _Place(
        "receipt",
        schema.receipts.c.struct_hash,
        "/receipt/",
        [schema.receipts.c.channel_id, schema.receipts.c.sequence],
    ),
    _Place(
        "settlement",
        schema.settlements.c.acknowledgement_hash,
        "/settlement/",
        [schema.settlements.c.block, schema.settlements.c.log_index],
        "with this acknowledgement",
    ),
)
_ADDRESSES: Final = (
    _Place("account", schema.accounts.c.address, "/account/", [schema.accounts.c.address], "a payer"),
    _Place("provider", schema.providers.c.address, "/provider/", [schema.providers.c.address]),
    _Place("receipt key", schema.receipt_keys.c.receipt_key, "/provider/", [schema.receipt_keys.c.provider]),
    _Place(
        "session key",
        schema.channels.c.session_key,
        "/channel/",
        [schema.channels.c.channel_id],
    ),
)


async def search(connection: AsyncConnection, word: str) -> Sequence[Hit]:
    """Everything that is called so, exact matches first."""
    word = plain(word.strip()[:LONGEST])
    if not word:
        return ()
    hits = [hit async for hit in _exact(connection, word)]
    if not hits:
        hits = [*await _models(connection, word), *await _hosts(connection, word)]
    return hits


async def _exact(connection: AsyncConnection, word: str) -> AsyncIterator[Hit]:
    if _NUMBER.fullmatch(word) and int(word) <= await _read(connection):
        yield Hit(kind="block", path=f"/block/{int(word)}", text=word, note="")
    if (found := _HEX.fullmatch(word)) is not None:
        value = bytes.fromhex(found[1])
        for place in _HASHES if len(value) == 32 else _ADDRESSES:
            for hit in await _standing(connection, place, value):
                yield hit
        if len(value) == 20:
            async for hit in _sender(connection, value):
                yield hit
    for hit in await _named(connection, schema.offers.c.model == word):
        yield hit


async def _read(connection: AsyncConnection) -> int:
    """The newest block that was read. Those before it that are not indexed are the node's to show."""
    return await connection.scalar(select(schema.progress.c.block)) or 0


async def _standing(connection: AsyncConnection, place: _Place, value: bytes) -> Sequence[Hit]:
    statement = select(*place.show).where(place.column == value).distinct().limit(_CHANNELS)
    rows = (await connection.execute(statement)).all()
    return [
        Hit(
            kind=place.kind,
            path=_path(place.page, *row),
            text=to_hex(row[0]) if isinstance(row[0], bytes) else str(row[0]),
            note=place.note or (f"of this {place.kind}" if place.kind.endswith("key") else ""),
        )
        for row in rows
    ]


async def _sender(connection: AsyncConnection, address: bytes) -> AsyncIterator[Hit]:
    """Somebody who sent transactions and is neither payer nor provider."""
    table, accounts, providers = schema.transactions.c, schema.accounts.c, schema.providers.c
    known = or_(
        exists(select(1).where(accounts.address == address)),
        exists(select(1).where(providers.address == address)),
    )
    if await connection.scalar(select(1).where(table.sender == address, ~known).limit(1)):
        yield Hit(
            kind="account", path=f"/account/{to_hex(address)}", text=to_hex(address), note="sent transactions"
        )


async def _named(connection: AsyncConnection, where: ColumnElement[bool]) -> Sequence[Hit]:
    model = schema.offers.c.model
    statement = select(model).where(where).distinct().order_by(model).limit(_NAMES)
    names = (await connection.execute(statement)).scalars()
    return [
        Hit(kind="model", path=f"/model/{quote(name.encode(), safe='')}", text=name, note="")
        for name in names
    ]


async def _models(connection: AsyncConnection, word: str) -> Sequence[Hit]:
    """Names that contain the word, in any case."""
    return await _named(connection, func.lower(schema.offers.c.model).contains(word.lower(), autoescape=True))


async def _hosts(connection: AsyncConnection, word: str) -> Sequence[Hit]:
    """Providers whose newest offers name an endpoint with this word in it."""
    offers = schema.offers.c
    newest = (
        select(offers.provider, offers.endpoint)
        .order_by(offers.block.desc(), offers.log_index.desc())
        .limit(_OFFERS)
        .subquery()
    )
    contains = func.lower(newest.c.endpoint).contains(word.lower(), autoescape=True)
    statement = select(newest.c.provider, newest.c.endpoint).where(contains).distinct().limit(_NAMES)
    return [
        Hit(kind="host", path=f"/provider/{to_hex(row.provider)}", text=row.endpoint, note="")
        for row in await connection.execute(statement)
    ]
