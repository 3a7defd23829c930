"""A market that never was, whole, and a database filled with it by the writer that fills it from a chain."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy.ext.asyncio import AsyncEngine

from tallystick_node.explorer.index.facts import MarketBlock
from tallystick_node.explorer.index.made_audits import AuditedMarket
from tallystick_node.explorer.index.made_block import DEPLOYMENT
from tallystick_node.explorer.index.reading import Stretch, final_of, header
from tallystick_node.explorer.index.writer import Writer

_STRETCH = 256
"""Blocks."""


def made_blocks(settlements: int, seed: int = 1) -> Iterator[MarketBlock]:
    """Of a market that trades until so much is settled; numbered from 1 without a gap."""
    market = AuditedMarket(seed, providers=max(16, min(60, settlements // 2_000)))
    yield from market.opening()
    while market.settlements < settlements:
        yield market.traded()


async def fill(engine: AsyncEngine, settlements: int, seed: int = 1) -> None:
    """At least so many; the database holds nothing yet."""
    await fill_with(engine, list(made_blocks(settlements, seed)))


async def fill_with(engine: AsyncEngine, blocks: Sequence[MarketBlock]) -> None:
    """All of a made market's."""
    writer = Writer(engine, DEPLOYMENT)
    assert not await writer.open(), "The database is filled already."
    latest = header(blocks[-1])
    base = None
    for part in _parts(blocks):
        final = final_of(part, latest)
        await writer.write(Stretch(latest=latest, base=base, moved=False, blocks=part, final=final))
        base = header(part[-1])


def _parts(blocks: Iterable[MarketBlock]) -> Iterator[tuple[MarketBlock, ...]]:
    rest = iter(blocks)
    while part := tuple(islice(rest, _STRETCH)):
        yield part
