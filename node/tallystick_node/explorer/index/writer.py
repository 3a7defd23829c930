"""The index in its database: what was read is written whole or not at all, and taken back where the chain
takes it back.

Whatever happens, the tables are what reading the chain anew would make of them. The newest blocks leave a
note of what they found, by which they are undone; where the chain goes back further, everything is read anew.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tallystick.chain.blocks import KEPT, Block
from tallystick.chain.deployment import Deployment
from tallystick.chain.events import ChannelOpened
from tallystick.protocol.units import Timestamp, to_hex
from tallystick_node.explorer import schema
from tallystick_node.explorer.index import tables
from tallystick_node.explorer.index.facts import MarketBlock, Row
from tallystick_node.explorer.index.folding import fold, needs, needs_of
from tallystick_node.explorer.index.reading import Stretch
from tallystick_node.explorer.index.rows import State, packed, unpacked
from tallystick_node.explorer.index.standing import SUMS, Place, Standing, Totals
from tallystick_node.explorer.live import Balances

_KEPT_ROWS = 100_000
"""Rows that are not looked up again; above, all are forgotten."""


class IndexMisplaced(Exception):
    """The database holds another market's index, or another program writes it too."""


@dataclass(frozen=True, slots=True)
class _Progress:
    block: int
    hash: bytes
    final: int


class Writer:
    """Of one market's index. Not for two tasks at once."""

    def __init__(self, engine: AsyncEngine, deployment: Deployment):
        self._engine = engine
        self._deployment = deployment
        self._progress: _Progress | None = None
        self._standing: Standing | None = None
        """What is known of the tables without asking them; None: nothing is."""

    async def held(self) -> Balances:
        """Atoms that the asset's transfers have left with the market and with the others, as far as was
        written."""
        async with self._engine.connect() as db:
            totals = await _totals(db)
        return Balances(market=totals.held, duels=totals.duels_held, audits=totals.audits_held)

    async def open(self) -> tuple[Block, ...]:
        """Makes the tables where they are missing, or of another version. The newest blocks that are written
        and can be gone back to, each the parent of the next; raises IndexMisplaced."""
        self._standing = None
        async with self._engine.begin() as db:
            await db.run_sync(schema.METADATA.create_all)
            found = (await db.execute(select(schema.progress.c.version))).scalar()
            if found is not None and found != schema.VERSION:
                await db.run_sync(schema.METADATA.drop_all, tables=schema.CHAIN_TABLES)
                await db.run_sync(schema.METADATA.create_all)
            progress = (await db.execute(select(schema.progress))).one_or_none()
            if progress is None:
                self._progress = None
                return ()
            if (progress.chain_id, progress.market) != (self._deployment.chain_id, self._deployment.market):
                raise IndexMisplaced(
                    f"The database holds the index of the market {to_hex(progress.market)} on chain "
                    f"{progress.chain_id}. Name another database, or that market's deployment."
                )
            self._progress = _Progress(progress.block, progress.hash, progress.final)
            return await _known(db, self._progress)

    async def write(self, stretch: Stretch) -> None:
        """All of it, or nothing where it raises; then `open` before the next."""
        try:
            async with self._engine.begin() as db:
                self._progress = await self._write(db, stretch)
        except BaseException:
            self._standing = None
            raise

    async def _write(self, db: AsyncConnection, stretch: Stretch) -> _Progress | None:
        await self._require_unchanged(db)
        if stretch.moved:
            self._standing = None
            await _take_back(db, stretch.base)
        if self._standing is None:
            self._standing = Standing(totals=await _totals(db), draws=await _draws(db, stretch.base))
        blocks, final = stretch.blocks, stretch.final
        if blocks:
            await _load(db, self._standing, blocks)
            await _fold_all(db, self._standing, blocks, final)
            last = blocks[-1]
            now = _Progress(last.number, last.hash, final)
            timestamp = last.timestamp
        elif stretch.base is not None:
            now = _Progress(stretch.base.number, bytes.fromhex(stretch.base.hash[2:]), final)
            timestamp = stretch.base.timestamp
        else:
            await db.execute(delete(schema.progress))
            return None
        if self._progress is not None:
            await _prune(db, self._progress.final, final)
        await tables.upsert(db, schema.progress, [self._progress_row(now, timestamp)])
        return now

    def _progress_row(self, now: _Progress, timestamp: int) -> Row:
        return {
            "id": 1,
            "version": schema.VERSION,
            "chain_id": self._deployment.chain_id,
            "market": self._deployment.market,
            "block": now.block,
            "hash": now.hash,
            "timestamp": timestamp,
            "final": now.final,
        }

    async def _require_unchanged(self, db: AsyncConnection) -> None:
        """Since it was opened, and until this transaction ends."""
        row, was = schema.progress.c, self._progress
        if was is None:
            if (await db.execute(select(row.id))).first() is None:
                return
        else:
            same = update(schema.progress).where(row.block == was.block, row.hash == was.hash)
            if (await db.execute(same.values(id=1))).rowcount == 1:
                return
        raise IndexMisplaced("Another program writes this index too. Let each have its own database.")


async def _known(db: AsyncConnection, progress: _Progress) -> tuple[Block, ...]:
    row = schema.blocks.c
    asked = select(row.number, row.hash, row.parent, row.timestamp)
    asked = asked.where(row.number >= progress.final, row.number <= progress.block)
    found = (await db.execute(asked.order_by(row.number.desc()).limit(KEPT))).all()
    run = [item for distance, item in enumerate(found) if item.number == progress.block - distance]
    return tuple(
        Block(item.number, to_hex(item.hash), to_hex(item.parent), Timestamp(item.timestamp))
        for item in reversed(run)
    )


async def _totals(db: AsyncConnection) -> Totals:
    """As the newest rows have them."""
    blocks, hours = schema.blocks.c, schema.hours.c
    newest = select(*(blocks[name] for name in SUMS)).order_by(blocks.number.desc()).limit(1)
    locked_staked = select(hours.locked, hours.staked).order_by(hours.hour.desc()).limit(1)
    sums = (await db.execute(newest)).one_or_none() or (0,) * len(SUMS)
    locked, staked = (await db.execute(locked_staked)).one_or_none() or (0, 0)
    return Totals(**dict(zip(SUMS, sums, strict=True)), locked=locked, staked=staked)


async def _draws(db: AsyncConnection, base: Block | None) -> set[int]:
    """Blocks after `base` whose hashes will draw judges or re-auditors."""
    read = -1 if base is None else base.number
    duels, audits = schema.duels.c.draw_block, schema.accusations.c.draw_block
    both = select(duels).where(duels > read).union(select(audits).where(audits > read))
    return set((await db.execute(both)).scalars())


async def _load(db: AsyncConnection, standing: Standing, blocks: Sequence[MarketBlock]) -> None:
    """What folding them may ask for."""
    if len(standing.rows) > _KEPT_ROWS:
        standing.rows.clear()
    places = needs(blocks)
    await tables.load(db, standing, places)
    opened = [event for block in blocks for event in block.events if isinstance(event, ChannelOpened)]
    found = [standing.rows[place] for place in places]
    await tables.load(db, standing, needs_of([*found, *opened], blocks))


async def _fold_all(
    db: AsyncConnection, standing: Standing, blocks: Sequence[MarketBlock], final: int
) -> None:
    added: dict[str, list[Row]] = {}
    changed: set[Place] = set()
    for block in blocks:
        await asyncio.sleep(0)  # Pages are shown meanwhile.
        changes = fold(standing, block)
        changed.update(changes.found)
        if block.number > final:
            added.setdefault("undo", []).extend(_undo(block.number, changes.found.items()))
        if block.is_empty and block.number < final:
            del changes.added["blocks"]
        for table, rows in changes.added.items():
            added.setdefault(table, []).extend(rows)
    for table, rows in added.items():
        await tables.add(db, schema.METADATA.tables[table], rows)
    await tables.put(db, (standing.rows[place] for place in changed))


def _undo(block: int, found: Iterable[tuple[Place, State | None]]) -> list[Row]:
    return [
        {
            "block": block,
            "kind": table,
            "key": key,
            "row": None if row is None else orjson.dumps(packed(row)).decode(),
        }
        for (table, key), row in found
    ]


async def _prune(db: AsyncConnection, was: int, final: int) -> None:
    """What only a way back was kept for."""
    blocks, undo = schema.blocks.c, schema.undo.c
    await db.execute(delete(schema.undo).where(undo.block <= final))
    empty = (blocks.transactions == 0) & (blocks.events == 0) & (blocks.transfers == 0)
    await db.execute(delete(schema.blocks).where(blocks.number.between(was, final - 1), empty))


async def _take_back(db: AsyncConnection, base: Block | None) -> None:
    """Everything after `base`."""
    if base is None:
        for table in schema.CHAIN_TABLES:
            if table is not schema.progress:
                await db.execute(delete(table))
        return
    undo = schema.undo.c
    notes = select(undo.kind, undo.key, undo.row).where(undo.block > base.number)
    found: dict[Place, str | None] = {}
    for kind, key, row in await db.execute(notes.order_by(undo.block.desc())):
        found[kind, key] = row  # The oldest of them is the last.
    await tables.put(
        db, [unpacked(kind, orjson.loads(row)) for (kind, _), row in found.items() if row is not None]
    )
    await tables.remove(db, [place for place, row in found.items() if row is None])
    for table in schema.CHAIN_TABLES:
        number = table.c.number if table is schema.blocks else table.c.get("block")
        if number is not None and table is not schema.progress:
            await db.execute(delete(table).where(number > base.number))
