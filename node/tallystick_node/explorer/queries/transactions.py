"""Transactions that were sent to the market or made it log something."""

from sqlalchemy import false
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.listed import listed
from tallystick_node.explorer.queries.rows import Event, Transaction
from tallystick_node.explorer.values import Address, Hash, Listing, shown

_TABLE = schema.transactions.c


@shown
class Only:
    """Which transactions of a list; all that is given must hold."""

    sender: Address | None = None
    block: int | None = None
    failed: bool = False


@shown
class Sent:
    """One transaction, with what it was called with."""

    transaction: Transaction
    input: bytes


async def transactions(connection: AsyncConnection, cut: Cut, only: Only) -> Listing[Transaction]:
    """Newest first."""
    where = []
    if only.sender is not None:
        where.append(_TABLE.sender == only.sender)
    if only.block is not None:
        where.append(_TABLE.block == only.block)
    if only.failed:
        where.append(_TABLE.succeeded == false())
    return await listed(connection, cut, Transaction, _TABLE.block, _TABLE.position, where=where)


async def transaction(connection: AsyncConnection, hash: Hash) -> Sent | None:
    """None: it is not indexed."""
    statement = Transaction.select().add_columns(_TABLE.input).where(_TABLE.hash == hash)
    row = (await connection.execute(statement)).first()
    return None if row is None else Sent(transaction=Transaction.of(row), input=row._mapping[_TABLE.input])


async def logged(connection: AsyncConnection, block: int, position: int, limit: int) -> tuple[Event, ...]:
    """The events of the transaction at that place, in order, `limit` at most."""
    table = schema.events.c
    statement = (
        Event.select()
        .where(table.block == block, table.position == position)
        .order_by(table.log_index)
        .limit(limit)
    )
    return tuple(Event.of(row) for row in await connection.execute(statement))
