"""`/disputes`: slashes with their proofs, reports that the contract refused, stake that left, and rows and
grants that were passed over.
"""

from tallystick_node.explorer.pages.asking import FEW
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import disputes as queries
from tallystick_node.explorer.queries import events
from tallystick_node.explorer.queries.rows import Event, Fraud, Transaction
from tallystick_node.explorer.values import Listing, shown

pages = Pages()


@shown
class Disputes:
    """Slashes, and the newest of what else went wrong."""

    rows: tuple[Fraud, ...]
    older: str | None
    refused_reports: Listing[Transaction]
    unstaked: Listing[Event]
    skipped_rows: Listing[Event]
    skipped_grants: Listing[Event]


@pages.table("/disputes", "disputes.html")
async def disputes(db: Db, cut: Cutting) -> Disputes:
    """Slashes and the proofs that they follow, newest first, and the newest of what else went wrong."""
    slashes = await queries.frauds(db, cut)
    return Disputes(
        rows=slashes.rows,
        older=slashes.older,
        refused_reports=await queries.refused_reports(db, FEW),
        unstaked=await events.named(db, FEW, "Unstaked"),
        skipped_rows=await events.named(db, FEW, "RowSkipped"),
        skipped_grants=await events.named(db, FEW, "GrantSkipped"),
    )


@pages.table("/disputes/refused-reports", "refused_reports.html")
async def refused_reports(db: Db, cut: Cutting) -> Listing[Transaction]:
    """Reports of fraud that the contract refused, newest first."""
    return await queries.refused_reports(db, cut)


@pages.table("/disputes/unstaked", "unstaked.html")
async def unstaked(db: Db, cut: Cutting) -> Listing[Event]:
    """Stake that left after its notice, newest first."""
    return await events.named(db, cut, "Unstaked")


@pages.table("/disputes/skipped-rows", "skipped_rows.html")
async def skipped_rows(db: Db, cut: Cutting) -> Listing[Event]:
    """Rows of settle transactions that were passed over, newest first."""
    return await events.named(db, cut, "RowSkipped")


@pages.table("/disputes/skipped-grants", "skipped_grants.html")
async def skipped_grants(db: Db, cut: Cutting) -> Listing[Event]:
    """Grants that opened no channel, newest first."""
    return await events.named(db, cut, "GrantSkipped")
