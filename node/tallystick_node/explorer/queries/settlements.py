"""Settlements, row by row."""

from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.listed import listed
from tallystick_node.explorer.queries.rows import Settlement
from tallystick_node.explorer.values import Address, Hash, Listing, shown

_TABLE = schema.settlements.c
ROWS = ("Settled", "RowSkipped")
"""What a row of a settle transaction logs: one or the other, once."""


@shown
class Only:
    """Which settlements of a list; all that is given must hold."""

    channel_id: Hash | None = None
    payer: Address | None = None
    provider: Address | None = None


async def settlements(connection: AsyncConnection, cut: Cut, only: Only) -> Listing[Settlement]:
    """Newest first."""
    where = []
    if only.channel_id is not None:
        where.append(_TABLE.channel_id == only.channel_id)
    if only.payer is not None:
        where.append(_TABLE.payer == only.payer)
    if only.provider is not None:
        where.append(_TABLE.provider == only.provider)
    return await listed(connection, cut, Settlement, _TABLE.block, _TABLE.log_index, where=where)


async def settlement(connection: AsyncConnection, block: int, log_index: int) -> Settlement | None:
    where = _TABLE.block == block, _TABLE.log_index == log_index
    row = (await connection.execute(Settlement.select().where(*where))).first()
    return None if row is None else Settlement.of(row)


async def of_transaction(connection: AsyncConnection, block: int, position: int) -> Mapping[int, Settlement]:
    """By log index."""
    where = _TABLE.block == block, _TABLE.position == position
    rows = [Settlement.of(row) for row in await connection.execute(Settlement.select().where(*where))]
    return {row.log_index: row for row in rows}


async def that_paid(connection: AsyncConnection, channel_id: Hash, cumulative: int) -> Settlement | None:
    """The first settlement of a channel that brought what it settled to so many atoms; None: none did."""
    statement = (
        Settlement.select()
        .where(_TABLE.channel_id == channel_id, _TABLE.settled >= cumulative)
        .order_by(_TABLE.block, _TABLE.log_index)
        .limit(1)
    )
    row = (await connection.execute(statement)).first()
    return None if row is None else Settlement.of(row)


async def rows_beside(connection: AsyncConnection, settlement: Settlement) -> int:
    """Rows that the transaction of this one presented, skipped ones included: they share its gas."""
    table = schema.events.c
    statement = select(func.count()).where(
        table.block == settlement.block, table.position == settlement.position, table.name.in_(ROWS)
    )
    return (await connection.execute(statement)).scalar_one()
