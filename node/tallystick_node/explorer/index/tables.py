"""Rows in and out of the tables, many at a time, in SQLite and in PostgreSQL. It decides nothing."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Final, TypeVar

from sqlalchemy import ColumnElement, Table, delete, insert, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.index.facts import Row
from tallystick_node.explorer.index.keyed import Key
from tallystick_node.explorer.index.rows import KINDS, State, columns
from tallystick_node.explorer.index.standing import Place, Standing

T = TypeVar("T")

_ROWS: Final = 500
"""In one statement: the event loop is held no longer."""


async def add(db: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """New ones."""
    for part in _parts(rows):
        await db.execute(insert(table), part)


async def upsert(db: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """New ones, or in the place of those with their key."""
    dialect = postgresql if db.dialect.name == "postgresql" else sqlite
    key = [column.name for column in table.primary_key]
    new = dialect.insert(table)
    rest = {column.name: new.excluded[column.name] for column in table.c if column.name not in key}
    statement = new.on_conflict_do_update(index_elements=key, set_=rest)
    for part in _parts(rows):
        await db.execute(statement, part)


async def put(db: AsyncConnection, rows: Iterable[State | None]) -> None:
    by_table = attrgetter("TABLE")
    present = sorted((row for row in rows if row is not None), key=by_table)
    for name, group in groupby(present, key=by_table):
        await upsert(db, schema.METADATA.tables[name], [columns(row) for row in group])


async def remove(db: AsyncConnection, places: Iterable[Place]) -> None:
    for table, keys in _by_table(places):
        for part in _parts(keys):
            await db.execute(delete(table).where(_is_any(table, part)))


async def load(db: AsyncConnection, standing: Standing, places: Iterable[Place]) -> None:
    """Brings what is missing of `places` to `standing`."""
    missing = [place for place in places if place not in standing.rows]
    standing.rows.update(dict.fromkeys(missing))
    for table, keys in _by_table(missing):
        kind = KINDS[table.name]
        for part in _parts(keys):
            for found in (await db.execute(select(table).where(_is_any(table, part)))).mappings():
                row = kind(**found)
                standing.rows[table.name, row.key] = row


def _by_table(places: Iterable[Place]) -> Iterator[tuple[Table, list[Key]]]:
    for name, group in groupby(sorted(places), key=itemgetter(0)):
        yield schema.METADATA.tables[name], [key for _, key in group]


def _is_any(table: Table, keys: Collection[Key]) -> ColumnElement[bool]:
    """One of the rows with these keys."""
    if table is schema.hours:
        return table.c.hour.in_([int.from_bytes(key, "big") for key in keys])
    if table is schema.provider_hours:
        pairs = [(key[:20], int.from_bytes(key[20:], "big")) for key in keys]
        return tuple_(table.c.provider, table.c.hour).in_(pairs)
    (column,) = table.primary_key
    return column.in_(keys)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _ROWS):
        yield items[start : start + _ROWS]
