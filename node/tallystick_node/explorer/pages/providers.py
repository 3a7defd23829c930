"""`/providers` and `/provider/…`: what a provider has at stake, promised, and was paid."""

from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.pages.asking import FEW
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import channels, disputes, settlements
from tallystick_node.explorer.queries import providers as queries
from tallystick_node.explorer.queries.rows import (
    Channel,
    Fraud,
    Offer,
    Provider,
    ProviderHour,
    ReceiptKey,
    Settlement,
)
from tallystick_node.explorer.site import TheSite
from tallystick_node.explorer.values import Address, Amount, Listing, shown

pages = Pages()


@shown
class ProviderPage:
    """One provider."""

    provider: Provider
    receipt_keys: tuple[ReceiptKey, ...]
    """Every one that it named, the newest first."""
    offers: Listing[Offer]
    """Every version, the newest first."""
    prices: tuple[queries.Prices, ...]
    """Of each model over time."""
    hours: tuple[ProviderHour, ...]
    """Of the last year, in which it was paid, oldest first."""
    paid: Amount
    """By channels, in all."""
    explained: queries.Explained
    uptime: queries.Uptime | None
    channels: Listing[Channel]
    """The last; `/channels?provider=…` has all."""
    settlements: Listing[Settlement]
    """The last; `/settlements?provider=…` has all."""
    slashes: Listing[Fraud]

    @property
    def standing(self) -> set[bytes]:
        """The newest offer of each model."""
        return {prices.newest for prices in self.prices}


@pages.table("/providers", "providers.html")
async def providers(db: Db, cut: Cutting) -> Listing[Provider]:
    """Providers, the greatest stake first."""
    return await queries.providers(db, cut)


@pages.page("/provider/{address}", "provider.html")
async def provider(address: Address, db: Db, cut: Cutting, site: TheSite) -> ProviderPage:
    """One provider: stake, offers, earnings, and what can be seen of its work."""
    found = await queries.provider(db, address)
    if found is None:
        raise NotFound("This address never was a provider of the market.")
    hours = await queries.hours(db, address)
    now = int(site.now())
    return ProviderPage(
        provider=found,
        receipt_keys=await queries.receipt_keys(db, address),
        offers=await queries.offers(db, cut, address),
        prices=await queries.prices(db, address),
        hours=tuple(hour for hour in hours if hour.hour > now - queries.YEAR),
        paid=sum(hour.paid for hour in hours),
        explained=await queries.explained(db, address),
        uptime=await queries.uptime(db, address, hours, now),
        channels=await channels.channels(db, FEW, provider=address),
        settlements=await settlements.settlements(db, FEW, settlements.Only(provider=address)),
        slashes=await disputes.frauds(db, FEW, provider=address),
    )
