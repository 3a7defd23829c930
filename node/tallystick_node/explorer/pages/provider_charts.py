"""What a provider's charts are drawn from. Pure: a page's answer in, curves or columns out."""

from collections.abc import Sequence
from typing import Final

from tallystick_node.explorer.charts import Chart, Curve, chart
from tallystick_node.explorer.queries.providers import Prices
from tallystick_node.explorer.queries.rows import ProviderHour
from tallystick_node.explorer.series import BY_DAY_FROM, DAY, HOUR
from tallystick_node.explorer.values import Amount, shown

CHARTS: Final = 6
"""Models whose prices are drawn."""


@shown
class Earnings:
    """What a provider was paid, a column each; a point an hour, or a day where there are many."""

    at: tuple[int, ...]
    paid: tuple[Amount, ...]
    settlements: tuple[int, ...]


@shown
class PriceColumns:
    """The prices of one model over time, a column each: from each moment on, until the next."""

    at: tuple[int, ...]
    input: tuple[Amount, ...]
    cached_input: tuple[Amount, ...]
    output: tuple[Amount, ...]


def earnings(hours: Sequence[ProviderHour], now: int) -> Earnings:
    """Without gaps, from the first hour that is given to now; two points at least, or there is no line."""
    if not hours:
        return Earnings(at=(), paid=(), settlements=())
    step = DAY if now - hours[0].hour >= BY_DAY_FROM * DAY else HOUR
    start, end = hours[0].hour - hours[0].hour % step, max(now, hours[-1].hour)
    at = tuple(range(start if start + step <= end else start - step, end + 1, step))
    paid, settlements = dict.fromkeys(at, 0), dict.fromkeys(at, 0)
    for hour in hours:
        place = hour.hour - hour.hour % step
        paid[place] += hour.paid
        settlements[place] += hour.settlements
    return Earnings(at=at, paid=tuple(paid.values()), settlements=tuple(settlements.values()))


def earnings_chart(found: Earnings) -> Chart | None:
    if not found.at:
        return None
    points = tuple(zip(found.at, found.paid, strict=True))
    return chart([Curve("paid", points)], start=found.at[0], end=found.at[-1])


def price_columns(found: Prices, now: int) -> PriceColumns:
    """The newest prices go on until now."""
    prices = [*found.prices, found.prices[-1]]
    return PriceColumns(
        at=(*(price.at for price in found.prices), max(now, found.prices[-1].at)),
        input=tuple(price.input for price in prices),
        cached_input=tuple(price.cached_input for price in prices),
        output=tuple(price.output for price in prices),
    )


def price_chart(found: Prices, now: int) -> Chart | None:
    """In the order of the template's names."""
    at = [price.at for price in found.prices]
    curves = [
        Curve("output", [(price.at, price.output) for price in found.prices], stepped=True),
        Curve("input", [(price.at, price.input) for price in found.prices], stepped=True),
        Curve("cached input", [(price.at, price.cached_input) for price in found.prices], stepped=True),
    ]
    return chart(curves, start=at[0], end=max(now, at[-1] + HOUR))
