"""`/settlements` and `/settlement/…`: what vouchers brought, row by row."""

from typing import Annotated

from fastapi import Query

from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.pages.asking import BlockNumber, LogIndex
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import channels, receipts, transactions
from tallystick_node.explorer.queries import settlements as queries
from tallystick_node.explorer.queries.rows import Channel, PublishedReceipt, Settlement, Transaction
from tallystick_node.explorer.values import Address, Hash, Listing, shown

pages = Pages()


@shown
class SettlementPage:
    """One row of a settle transaction."""

    settlement: Settlement
    channel: Channel | None
    transaction: Transaction | None
    rows_beside: int
    """Rows that the transaction presented, this one and skipped ones included."""
    gas_share: int | None
    """An equal share of the transaction's gas, rounded up."""
    receipts: Listing[PublishedReceipt]
    """Published ones that it paid for."""


@pages.table("/settlements", "settlements.html")
async def settlements(
    db: Db,
    cut: Cutting,
    channel: Annotated[Hash | None, Query()] = None,
    payer: Annotated[Address | None, Query()] = None,
    provider: Annotated[Address | None, Query()] = None,
) -> Listing[Settlement]:
    """Settlements, newest first."""
    return await queries.settlements(
        db, cut, queries.Only(channel_id=channel, payer=payer, provider=provider)
    )


@pages.page("/settlement/{block}/{log_index}", "settlement.html")
async def settlement(block: BlockNumber, log_index: LogIndex, db: Db, cut: Cutting) -> SettlementPage:
    """One settlement: what it paid, for what, in which transaction."""
    found = await queries.settlement(db, block, log_index)
    if found is None:
        raise NotFound("No settlement stands there.")
    sent = await transactions.transaction(db, found.transaction_hash)
    beside = await queries.rows_beside(db, found)
    return SettlementPage(
        settlement=found,
        channel=await channels.channel(db, found.channel_id),
        transaction=sent.transaction if sent else None,
        rows_beside=beside,
        gas_share=-(-sent.transaction.gas_used // beside) if sent and beside else None,
        receipts=await receipts.under(db, cut, found),
    )
