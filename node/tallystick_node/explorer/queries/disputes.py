"""Where the market said no: slashes with their proofs, reports that it refused, and what was passed over."""

from typing import Final

from sqlalchemy import false
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.listed import listed
from tallystick_node.explorer.queries.rows import Fraud, Transaction
from tallystick_node.explorer.values import Address, Listing

_TABLE = schema.frauds.c
REPORTS: Final = ("slashOvercharge", "slashReceiptEquivocation", "slashOfferEquivocation", "slash")
"""Functions that slash."""


async def frauds(connection: AsyncConnection, cut: Cut, *, provider: Address | None = None) -> Listing[Fraud]:
    """Slashes, newest first."""
    where = [] if provider is None else [_TABLE.provider == provider]
    return await listed(connection, cut, Fraud, _TABLE.block, _TABLE.log_index, where=where)


async def refused_reports(connection: AsyncConnection, cut: Cut) -> Listing[Transaction]:
    """Reports of fraud that the contract refused, newest first: their `error` says why.

    Each function is asked for by itself, so that other transactions that fail, however many, cost nothing.
    """
    table = schema.transactions.c
    failed = Transaction.select().where(table.succeeded == false(), *cut.below(table.block, table.position))
    newest_first = failed.order_by(table.block.desc(), table.position.desc()).limit(cut.asked)
    rows = [
        Transaction.of(row)
        for call in REPORTS
        for row in await connection.execute(newest_first.where(table.call == call))
    ]
    rows.sort(key=_place, reverse=True)
    return cut.listing(rows[: cut.asked], _place)


def _place(sent: Transaction) -> tuple[int, int]:
    return sent.block, sent.position
