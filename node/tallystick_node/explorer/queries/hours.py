"""What came in each hour: what charts are drawn from."""

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.listed import listed
from tallystick_node.explorer.queries.rows import Record
from tallystick_node.explorer.series import DAY, Tally, filled, step_of
from tallystick_node.explorer.values import Amount, Listing, shown

_TABLE = schema.hours.c
_COLUMNS = [_TABLE.hour if field.name == "at" else _TABLE[field.name] for field in fields(Tally)]


@shown
class Hour(Record):
    TABLE = schema.hours
    hour: int
    """Unix time of its beginning."""
    transactions: int
    gas_used: int
    settle_gas: int
    """Of what settle transactions took."""
    settlements: int
    opened: int
    closed: int
    fees: Amount
    """Wei."""
    settled: Amount
    deposited: Amount
    locked: Amount
    """Caps not settled, at its end, as `staked` is."""
    staked: Amount
    offers: int


async def hours(connection: AsyncConnection, cut: Cut) -> Listing[Hour]:
    """Newest first; an hour in which nothing came is left out."""
    return await listed(connection, cut, Hour, _TABLE.hour)


async def age(connection: AsyncConnection, now: int) -> int:
    """Days since anything came, rounded up; zero while nothing did."""
    first = await connection.scalar(select(_TABLE.hour).order_by(_TABLE.hour).limit(1))
    return 0 if first is None else max(1, -(-(now - first) // DAY))


async def tallies(connection: AsyncConnection, days: int, now: int) -> Sequence[Tally]:
    """So many days up to now without a gap, oldest first."""
    start = now - days * DAY
    step = step_of(days)
    start -= start % step
    statement = select(*_COLUMNS)
    inside = statement.where(_TABLE.hour >= start, _TABLE.hour <= now).order_by(_TABLE.hour)
    earlier = statement.where(_TABLE.hour < start).order_by(_TABLE.hour.desc()).limit(1)
    before = (await connection.execute(earlier)).first()
    rows = [Tally(*row) for row in await connection.execute(inside)]
    return filled(rows, before=Tally(*before) if before else None, start=start, end=now, step=step)
