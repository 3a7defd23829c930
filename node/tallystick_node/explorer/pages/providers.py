"""`/providers` and `/provider/…`: what a provider has at stake, promised, and was paid."""

from typing import Annotated

from fastapi import Query, Request

from tallystick.protocol.units import Address as AddressBytes
from tallystick_node.explorer.charts import Chart
from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.pages.asking import FEW
from tallystick_node.explorer.pages.frame import PROBLEMS, Db, Pages
from tallystick_node.explorer.pages.home import moment_of
from tallystick_node.explorer.pages.provider_charts import (
    CHARTS,
    Earnings,
    PriceColumns,
    earnings,
    earnings_chart,
    price_chart,
    price_columns,
)
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import channels, disputes, duels, settlements, strengths, strikes
from tallystick_node.explorer.queries import offers as offer_queries
from tallystick_node.explorer.queries import providers as queries
from tallystick_node.explorer.queries.duels import Duel, Judge
from tallystick_node.explorer.queries.explained import Explained, explained
from tallystick_node.explorer.queries.offers import Offered
from tallystick_node.explorer.queries.rows import (
    Channel,
    Fraud,
    Provider,
    ProviderHour,
    ReceiptKey,
    Settlement,
)
from tallystick_node.explorer.queries.strikes import Strike
from tallystick_node.explorer.site import TheSite
from tallystick_node.explorer.values import Address, Amount, Listing, shown

pages = Pages()


@shown
class ProviderPage:
    """One provider."""

    provider: Provider
    receipt_keys: tuple[ReceiptKey, ...]
    """Every one that it named, the newest first."""
    offers: Listing[Offered]
    """Every version, the newest first."""
    prices: tuple[queries.Prices, ...]
    """Of each model over time."""
    hours: tuple[ProviderHour, ...]
    """Of the last year, in which it was paid, oldest first."""
    paid: Amount
    """By channels, in all."""
    explained: Explained
    uptime: queries.Uptime | None
    channels: Listing[Channel]
    """The last; `/channels?provider=…` has all."""
    settlements: Listing[Settlement]
    """The last; `/settlements?provider=…` has all."""
    slashes: Listing[Fraud]
    strikes: Listing[Strike]
    """The last against it; `/strikes?provider=…` has all."""
    duels: Listing[Duel]
    """The last; `/duels?provider=…` has all."""
    strength: float | None
    """Of its answers, by every duel that ended: zero is average, and 1.1 more wins three of four. None: it
    never duelled."""
    judge: Judge | None
    judged: Listing[Duel]
    """The last that it judged; `/duels?judge=…` has all."""

    asked_at: int
    """Unix seconds."""

    @property
    def earnings(self) -> Chart | None:
        return earnings_chart(earnings(self.hours, self.asked_at))

    @property
    def price_charts(self) -> list[tuple[str, Chart | None]]:
        """By model; `/api/provider/…/prices?model=…` has the figures."""
        return [(prices.model, price_chart(prices, self.asked_at)) for prices in self.prices[:CHARTS]]


@pages.table("/providers", "providers.html")
async def providers(db: Db, cut: Cutting) -> Listing[Provider]:
    """Providers, the greatest stake first."""
    return await queries.providers(db, cut)


@pages.page("/provider/{address}", "provider.html")
async def provider(request: Request, address: Address, db: Db, cut: Cutting, site: TheSite) -> ProviderPage:
    """One provider: stake, offers, earnings, and what can be seen of its work."""
    found = await queries.provider(db, address)
    if found is None:
        raise NotFound("This address never was a provider of the market.")
    hours = await queries.hours(db, address)
    moment = moment_of(request, site)
    now = moment.now
    return ProviderPage(
        provider=found,
        receipt_keys=await queries.receipt_keys(db, address),
        offers=await offer_queries.offers(db, cut, moment, every=True, provider=address),
        prices=await queries.prices(db, address),
        hours=tuple(hour for hour in hours if hour.hour > now - queries.YEAR),
        paid=sum(hour.paid for hour in hours),
        explained=await explained(db, address),
        uptime=await queries.uptime(db, address, hours, now),
        channels=await channels.channels(db, FEW, provider=address),
        settlements=await settlements.settlements(db, FEW, settlements.Only(provider=address)),
        slashes=await disputes.frauds(db, FEW, provider=address),
        strikes=await strikes.strikes(db, FEW, strikes.Only(provider=address)),
        duels=await duels.duels(db, FEW, duels.Only(provider=address), now),
        strength=(await strengths.strengths(db, site.kept)).get(AddressBytes(address)),
        judge=await duels.judge(db, address),
        judged=await duels.duels(db, FEW, duels.Only(judge=address), now),
        asked_at=now,
    )


@pages.router.get("/api/provider/{address}/earnings", operation_id="earnings", responses=PROBLEMS)
async def earnings_over_time(request: Request, address: Address, db: Db, site: TheSite) -> Earnings:
    """What a provider was paid over the last year, a column each."""
    now = moment_of(request, site).now
    hours = await queries.hours(db, address)
    return earnings([hour for hour in hours if hour.hour > now - queries.YEAR], now)


@pages.router.get("/api/provider/{address}/prices", operation_id="prices", responses=PROBLEMS)
async def prices_over_time(
    request: Request, address: Address, model: Annotated[str, Query(max_length=128)], db: Db, site: TheSite
) -> PriceColumns:
    """The prices that a provider offered a model at, a column each."""
    for found in await queries.prices(db, address):
        if found.model == model:
            return price_columns(found, moment_of(request, site).now)
    raise NotFound("This provider never offered a model of that name.")
