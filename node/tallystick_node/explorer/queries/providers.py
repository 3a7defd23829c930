"""Providers: what stands behind their promises, what they promised, and what they were paid for it."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.listed import listed
from tallystick_node.explorer.queries.rows import Provider, ProviderHour, ReceiptKey
from tallystick_node.explorer.values import Address, Amount, Listing, shown

_TABLE = schema.providers.c
HOUR = 3_600
"""Seconds."""
_HOUR_MS = HOUR * 1_000
KEYS = 50
"""Receipt keys shown, the newest."""
YEAR = 366 * 24 * HOUR
VERSIONS = 500
"""Of a provider's offers in its prices over time, the newest."""


@shown
class Price:
    """From that moment on, atoms per million tokens."""

    at: int
    input: Amount
    cached_input: Amount
    output: Amount

    @classmethod
    def of(cls, at: int, *three: int) -> "Price":
        return cls(at=at, input=three[0], cached_input=three[1], output=three[2])


@shown
class Prices:
    """Of one model, oldest first."""

    model: str
    prices: tuple[Price, ...]


@shown
class Uptime:
    """Hours in which a provider was seen at work."""

    since: int
    """The hour of its first offer."""
    hours: int
    """From then to now, the present one included."""
    seen: int
    """In which it was settled with, or finished a request whose receipt is published."""


async def providers(connection: AsyncConnection, cut: Cut) -> Listing[Provider]:
    """The greatest stake first."""
    return await listed(connection, cut, Provider, _TABLE.staked, _TABLE.address)


async def provider(connection: AsyncConnection, address: Address) -> Provider | None:
    row = (await connection.execute(Provider.select().where(_TABLE.address == address))).first()
    return None if row is None else Provider.of(row)


async def receipt_keys(connection: AsyncConnection, address: Address) -> tuple[ReceiptKey, ...]:
    """Every one that it named, the newest first."""
    table = schema.receipt_keys.c
    statement = ReceiptKey.select().where(table.provider == address)
    statement = statement.order_by(table.block.desc(), table.log_index.desc()).limit(KEYS)
    return tuple(ReceiptKey.of(row) for row in await connection.execute(statement))


async def hours(connection: AsyncConnection, address: Address) -> tuple[ProviderHour, ...]:
    """What it was paid in each hour that brought something, oldest first."""
    table = schema.provider_hours.c
    statement = ProviderHour.select().where(table.provider == address).order_by(table.hour)
    return tuple(ProviderHour.of(row) for row in await connection.execute(statement))


async def prices(connection: AsyncConnection, address: Address) -> tuple[Prices, ...]:
    """Of each of its models over time, the model posted last first."""
    table = schema.offers.c
    columns = (table.timestamp, table.input_price, table.cached_input_price, table.output_price)
    statement = select(table.model, *columns).where(table.provider == address)
    newest_first = statement.order_by(table.block.desc(), table.log_index.desc()).limit(VERSIONS)
    prices: dict[str, list[Price]] = {}
    for model, at, *three in await connection.execute(newest_first):
        prices.setdefault(model, []).append(Price.of(at, *three))
    return tuple(Prices(model=model, prices=tuple(found[::-1])) for model, found in prices.items())


async def uptime(
    connection: AsyncConnection, address: Address, paid: Sequence[ProviderHour], now: int
) -> Uptime | None:
    """Of a provider that was paid in these hours. None: it never posted an offer."""
    offers = schema.offers.c
    first = select(offers.timestamp).where(offers.provider == address)
    posted = await connection.scalar(first.order_by(offers.block, offers.log_index).limit(1))
    if posted is None:
        return None
    since, end = posted - posted % HOUR, now - now % HOUR
    receipts = await _hours_of_receipts(connection, address, since, end)
    seen = receipts | {hour.hour for hour in paid if hour.settlements}
    return Uptime(
        since=since,
        hours=max(1, (end - since) // HOUR + 1),
        seen=sum(since <= hour <= end for hour in seen),
    )


async def _hours_of_receipts(connection: AsyncConnection, address: Address, since: int, end: int) -> set[int]:
    """In which one of its published receipts ended, from one hour to another.

    One look into the index an hour rather than one row a receipt: from each hour to the first receipt after
    it. A receipt's times are its provider's own: those beyond now would be looks without end.
    """
    table = schema.receipts.c
    last = (end + HOUR) * 1_000

    def next_after(milliseconds: object) -> object:
        return (
            select(func.min(table.finished_at))
            .where(table.provider == address, table.finished_at >= milliseconds, table.finished_at < last)
            .scalar_subquery()
        )

    steps = select(cast(next_after(literal(since * 1_000)), BigInteger).label("at")).cte(
        "steps", recursive=True
    )
    end_of_hour = (steps.c.at // _HOUR_MS + 1) * _HOUR_MS
    steps = steps.union_all(select(cast(next_after(end_of_hour), BigInteger)).where(steps.c.at.is_not(None)))
    found = await connection.execute(select(steps.c.at).where(steps.c.at.is_not(None)))
    return {at // _HOUR_MS * HOUR for at in found.scalars()}
