"""One table's rows from the greatest key downwards: what almost every list is."""

from collections.abc import Iterable
from typing import Any, TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.rows import Record
from tallystick_node.explorer.values import Listing

R = TypeVar("R", bound=Record)


async def listed(
    connection: AsyncConnection,
    cut: Cut,
    kind: type[R],
    *columns: Any,
    where: Iterable[ColumnElement[bool]] = (),
) -> Listing[R]:
    """By these columns of its table, of which no two rows have the same."""
    statement = (
        kind.select()
        .where(*where, *cut.below(*columns))
        .order_by(*(column.desc() for column in columns))
        .limit(cut.asked)
    )
    rows = [kind.of(row) for row in await connection.execute(statement)]
    return cut.listing(rows, lambda row: tuple(getattr(row, column.name) for column in columns))
