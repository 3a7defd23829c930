"""Blocks: those that hold something of the market, and the newest."""

from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.listed import listed
from tallystick_node.explorer.queries.rows import Block
from tallystick_node.explorer.values import Listing, shown

_TABLE = schema.blocks.c
_LAST = 2**63 - 1


@shown
class Neighbours:
    """The nearest blocks that hold something of the market."""

    earlier: int | None
    later: int | None


async def blocks(connection: AsyncConnection, cut: Cut) -> Listing[Block]:
    """Those that hold something of the market, newest first."""
    return await listed(connection, cut, Block, _TABLE.number, where=[_busy()])


async def block(connection: AsyncConnection, at: int | bytes) -> Block | None:
    """By number or hash; None: it is not indexed."""
    if isinstance(at, int) and at > _LAST:
        return None
    where = _TABLE.hash == at if isinstance(at, bytes) else _TABLE.number == at
    row = (await connection.execute(Block.select().where(where))).first()
    return None if row is None else Block.of(row)


async def neighbours(connection: AsyncConnection, number: int) -> Neighbours:
    number = min(number, _LAST)
    earlier, later = _TABLE.number < number, _TABLE.number > number
    return Neighbours(
        earlier=await _nearest(connection, earlier, _TABLE.number.desc()),
        later=await _nearest(connection, later, _TABLE.number.asc()),
    )


async def _nearest(connection: AsyncConnection, side: ColumnElement[bool], order: Any) -> int | None:
    statement = Block.select().where(side, _busy()).order_by(order).limit(1)
    row = (await connection.execute(statement)).first()
    return None if row is None else Block.of(row).number


def _busy() -> ColumnElement[bool]:
    """All but some of the newest 64: those are kept for reorganisations."""
    return or_(_TABLE.transactions > 0, _TABLE.events > 0, _TABLE.transfers > 0)
