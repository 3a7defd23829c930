"""`/`: the market at a glance; `/hours`: what its charts are drawn from; `/live`: that a block was read."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Final

from fastapi import Depends, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field

from tallystick_node.explorer.charts import Chart, Curve, chart
from tallystick_node.explorer.errors import IndexBehind
from tallystick_node.explorer.guard import asking
from tallystick_node.explorer.live import BEHIND, Head
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.paging import Cut, Cutting
from tallystick_node.explorer.queries import home as queries
from tallystick_node.explorer.queries import hours as hour_queries
from tallystick_node.explorer.queries import offers as offer_queries
from tallystick_node.explorer.queries import settlements as settlement_queries
from tallystick_node.explorer.queries import transactions as transaction_queries
from tallystick_node.explorer.queries.explained import Explained, explained
from tallystick_node.explorer.queries.hours import Hour
from tallystick_node.explorer.queries.offers import ModelRow, Moment
from tallystick_node.explorer.queries.rows import Block, Settlement, Transaction
from tallystick_node.explorer.series import Tally
from tallystick_node.explorer.site import Site, TheSite
from tallystick_node.explorer.values import Amount, Listing, shown

pages = Pages()

MODELS: Final = 8
"""Shown with their prices."""
KEPT_S: Final = 60
"""What changes without a block: offers that expire, receipts that are published."""
Days = Annotated[int, Query(ge=1, le=3_660, description="Length of the charts, up to now")]


@shown
class Overview:
    """The market at a glance."""

    totals: queries.Totals
    gas_per_settlement: int
    """Of all settle transactions, by settled rows; rounded up."""
    sold: Explained
    gas_per_request: int | None
    """The gas of the settlements that the published receipts explain, by their requests; rounded up."""
    conservation: queries.Conservation
    models: Sequence[ModelRow]
    blocks: Sequence[Block]
    settlements: Sequence[Settlement]
    transactions: Sequence[Transaction]
    days: int
    tallies: Annotated[Sequence[Tally], Field(exclude=True)]

    @property
    def charts(self) -> Sequence[tuple[str, str, str, Chart | None]]:
        """(title, kind of number, names in the series, drawn)."""
        wanted = (
            ("Settled", "atoms", ("settled",), False),
            ("Settlement rows", "number", ("settlements",), False),
            ("Gas per settlement row", "number", ("gas_per_settlement",), False),
            ("Locked in channels, and staked", "atoms", ("locked", "staked"), True),
        )
        return [
            (title, kind, " ".join(names), _drawn(self.tallies, names, stepped=stepped))
            for title, kind, names, stepped in wanted
        ]


def _drawn(tallies: Sequence[Tally], names: Sequence[str], *, stepped: bool) -> Chart | None:
    curves = [Curve(name, [(tally.at, getattr(tally, name)) for tally in tallies], stepped) for name in names]
    return chart(curves, start=tallies[0].at, end=tallies[-1].at)


@shown
class Series:
    """Columns of equal length: one value a step."""

    days: int
    at: Sequence[int]
    """Unix time at which each step begins."""
    transactions: Sequence[int]
    settlements: Sequence[int]
    gas_per_settlement: Sequence[int]
    opened: Sequence[int]
    closed: Sequence[int]
    offers: Sequence[int]
    settled: Sequence[Amount]
    deposited: Sequence[Amount]
    locked: Sequence[Amount]
    staked: Sequence[Amount]


def moment_of(request: Request, site: TheSite) -> Moment:
    """At the visitor's time, or the chain's where that is later: a chain for tests may be ahead of it."""
    return Moment(max(int(site.now()), request.state.read.timestamp), site.minimum_stake)


@pages.page("/", "home.html")
async def overview(request: Request, db: Db, site: TheSite, days: Days | None = None) -> Overview:
    """The market at a glance."""
    moment, newest = moment_of(request, site), Cut(limit=queries.NEWEST)
    if days is None:  # Of a young market a week would be all but empty.
        days = 1 if await hour_queries.age(db, moment.now) <= 1 else 7
    version = request.state.read.hash, moment.now // KEPT_S
    totals, sold = await _totals(db, site, version)
    models = await site.kept.get("models", version, lambda: offer_queries.models(db, moment))
    return Overview(
        totals=totals,
        gas_per_settlement=totals.gas_per_settlement,
        sold=sold,
        gas_per_request=gas_per_request(totals, sold),
        conservation=await queries.conservation(db, request.state.read.block, site.live.head),
        models=models[:MODELS],
        blocks=await queries.newest_blocks(db),
        settlements=(await settlement_queries.settlements(db, newest, settlement_queries.Only())).rows,
        transactions=(await transaction_queries.transactions(db, newest, transaction_queries.Only())).rows,
        days=days,
        tallies=await hour_queries.tallies(db, days, moment.now),
    )


async def _totals(db: Db, site: Site, version: tuple[bytes, int]) -> tuple[queries.Totals, Explained]:
    async def ask() -> tuple[queries.Totals, Explained]:
        return await queries.totals(db), await explained(db)

    return await site.kept.get("totals", version, ask)


def gas_per_request(totals: queries.Totals, sold: Explained) -> int | None:
    """Rounded up. Of the gas of all settlements, the part of what the receipts explain: by atoms."""
    if not sold.requests or not totals.settled:
        return None
    return -(-totals.settle_gas * sold.atoms // (totals.settled * sold.requests))


@pages.table("/hours", "hours.html")
async def hours(db: Db, cut: Cutting) -> Listing[Hour]:
    """What came in each hour, newest first."""
    return await hour_queries.hours(db, cut)


@shown
class Health:
    """The index follows its node."""

    block: int
    """The newest that was read."""
    behind: int
    """Blocks that the node has and the index lacks."""


@pages.data("/api/health")
async def health(request: Request, db: Db, site: TheSite) -> Health:
    """Whether the index follows its node: 503 where it is empty, stands still, or lags by over 20 blocks."""
    read, head = request.state.read, site.live.head
    behind = max(0, head.chain_head - read.block) if head else 0
    if head is not None and head.trouble is not None:
        raise IndexBehind(f"The index does not go on: {head.trouble}")
    if behind > BEHIND:
        raise IndexBehind(f"The index is {behind:,} blocks behind its node.")
    return Health(block=read.block, behind=behind)


@pages.data("/api/series")
async def series(request: Request, db: Db, site: TheSite, days: Days = 7) -> Series:
    """What charts are drawn from: a step an hour, or a day where more than two weeks are asked for."""
    tallies = await hour_queries.tallies(db, days, moment_of(request, site).now)
    names = [name for name in Series.__dataclass_fields__ if name != "days"]
    return Series(days=days, **{name: [getattr(tally, name) for tally in tallies] for name in names})


async def _listening(request: Request, site: TheSite) -> AsyncIterator[AsyncIterator[Head]]:
    """A dependency, so that who comes too many is refused before an answer begins."""
    async with site.live.listen(asking(request.scope)) as heads:
        yield heads


@pages.router.get("/live", response_class=EventSourceResponse, include_in_schema=False)
async def live(heads: Annotated[AsyncIterator[Head], Depends(_listening)]) -> AsyncIterator[ServerSentEvent]:
    """`block` events: the newest one now, and each that is read."""
    async for head in heads:
        yield ServerSentEvent(data={"block": head.block, "behind": head.behind}, event="block")
