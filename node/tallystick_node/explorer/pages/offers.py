"""`/models` and `/offers`: what is offered, by whom, at which price, and how fast it was seen to be."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Query, Request
from starlette.convertors import Convertor, register_url_convertor

from tallystick_node.explorer import prices
from tallystick_node.explorer.charts import Chart, Curve, chart
from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.index.facts import plain
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.pages.home import moment_of
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import offers as queries
from tallystick_node.explorer.queries.offers import ModelRow, Offered, Speed
from tallystick_node.explorer.site import TheSite
from tallystick_node.explorer.values import Address, Amount, Hash, Listing, shown

pages = Pages()


class _Name(Convertor[str]):
    """A stranger's word at the end of a path: slashes and line ends are part of it."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _Name())


@shown
class PriceStep:
    """From here on, until the next one."""

    at: int
    offers: int
    """That held; the prices are zero where none did."""
    lowest_output_price: Amount
    median_output_price: Amount


@shown
class Model:
    """What one model costs where."""

    model: str
    summary: ModelRow | None
    """None: no offer of it holds now."""
    offers: Sequence[Offered]
    """Those that hold, the cheapest output first."""
    speeds: Mapping[Address, Speed]
    """By provider, where receipts were published."""
    history: Sequence[PriceStep]
    now: int

    @property
    def chart(self) -> Chart | None:
        """The lowest and the median output price while there was one."""
        lowest = [(step.at, step.lowest_output_price) for step in self.history]
        median = [(step.at, step.median_output_price) for step in self.history]
        if not self.history:
            return None
        curves = [Curve("median", median, True), Curve("lowest", lowest, True)]
        return chart(curves, start=self.history[0].at, end=max(self.now, self.history[-1].at))


@shown
class Posted:
    """One time that an offer was posted, and in which transaction."""

    offer: Offered
    transaction_hash: Hash | None


@shown
class OfferPage:
    """One offer, as often as it was posted."""

    offer: Offered
    """The newest posting."""
    postings: Sequence[Posted]
    median_output_price: Amount | None
    """Of the offers of its model that hold now."""


@pages.table("/models", "models.html")
async def models(request: Request, db: Db, site: TheSite) -> Listing[ModelRow]:
    """Models that somebody offers now, the most offered first."""
    return Listing(rows=tuple(await queries.models(db, moment_of(request, site))), older=None)


@pages.page("/model/{name:name}", "model.html")
async def model(request: Request, db: Db, site: TheSite, name: str) -> Model:
    """One model: its offers side by side, and its price over time."""
    moment = moment_of(request, site)
    name = plain(name)
    posted, withdrawn = await queries.history(db, name)
    if not posted:
        raise NotFound("Nobody ever offered a model of this name.")
    steps = prices.steps(posted, withdrawn, moment.now)
    offers = await queries.of_model(db, name, moment)
    return Model(
        model=name,
        summary=queries.summary(name, offers) if offers else None,
        offers=offers,
        speeds=await queries.speeds(db, name),
        history=[
            PriceStep(
                at=step.at,
                offers=step.offers,
                lowest_output_price=step.lowest,
                median_output_price=step.median,
            )
            for step in steps
        ],
        now=moment.now,
    )


@pages.table("/offers", "offers.html")
async def offers(
    request: Request,
    db: Db,
    site: TheSite,
    cut: Cutting,
    every: Annotated[bool, Query(description="Every version ever posted, not only those that hold")] = False,
    provider: Annotated[Address | None, Query()] = None,
    model: Annotated[str | None, Query(max_length=1_000)] = None,
) -> Listing[Offered]:
    """Offers, newest first: those that hold now, or every version."""
    name = None if model is None else plain(model)
    moment = moment_of(request, site)
    return await queries.offers(db, cut, moment, every=every, provider=provider, model=name)


@pages.page("/offer/{offer_hash}", "offer.html")
async def offer(request: Request, db: Db, site: TheSite, offer_hash: Hash) -> OfferPage:
    """One offer by its struct hash."""
    moment = moment_of(request, site)
    found = await queries.postings(db, offer_hash, moment)
    if not found:
        raise NotFound(
            "An offer of this hash was never posted. One that was only shown can still prove a fraud."
        )
    rivals = await queries.of_model(db, found[0].model, moment)
    return OfferPage(
        offer=found[0],
        postings=[
            Posted(offer=posted, transaction_hash=await queries.posted_in(db, posted)) for posted in found
        ],
        median_output_price=queries.summary("", rivals).median_output_price if rivals else None,
    )
