"""Offers: which hold, what each model costs where, and how that changed.

An offer holds while it is the newest of its provider for its model, is neither withdrawn nor expired, and
enough is staked behind it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median_low
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Row, Select, and_, exists, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.prices import Posting, Withdrawal
from tallystick_node.explorer.queries.rows import Offer
from tallystick_node.explorer.values import Address, Amount, Hash, Listing, shown

Standing = Literal["holds", "replaced", "withdrawn", "expired", "unstaked"]

_TABLE = schema.offers.c
_PROVIDERS = schema.providers.c
_BOOK: Final = 5_000
"""Offers that hold and are counted for the list of models."""
_POSTINGS: Final = 20
"""Times that one offer was posted."""
_SIDE_BY_SIDE: Final = 200
"""Offers of one model shown beside one another."""
_HISTORY: Final = 500
"""Versions that a price history is drawn from."""
_WITHDRAWALS: Final = 2_000
_OBSERVED: Final = 1_000
"""Newest receipts of a model that its speeds are taken from."""
_INTERIM: Final = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """What decides whether an offer holds."""

    now: int
    minimum_stake: int


@shown
class Offered(Offer):
    """An offer as it stands now."""

    staked: Amount
    """Behind all offers of its provider."""
    standing: Standing


@shown
class ModelRow:
    """A model that somebody offers now. Prices are the lowest, and the lower middle one."""

    model: str
    providers: int
    lowest_input_price: Amount
    median_input_price: Amount
    lowest_output_price: Amount
    median_output_price: Amount
    longest_context: int
    staked: Amount
    """Behind these offers, in all."""


@shown
class Speed:
    """What the newest published receipts of one provider and model tell; lower middle values."""

    receipts: int
    first_token_ms: int
    """From request to first token, by the provider's clock."""
    tokens_per_second: int | None
    """After the first token; none where the answers took no time."""


def _newer() -> ColumnElement[bool]:
    """A later offer of the same provider and model is there."""
    other = schema.offers.alias("newer")
    return exists(
        select(1).where(
            other.c.provider == _TABLE.provider,
            other.c.model == _TABLE.model,
            tuple_(other.c.block, other.c.log_index) > tuple_(_TABLE.block, _TABLE.log_index),
        )
    )


def _holds(moment: Moment) -> ColumnElement[bool]:
    return and_(
        _TABLE.valid_until > moment.now,
        _TABLE.sequence >= _PROVIDERS.minimum_sequence,
        _PROVIDERS.staked >= moment.minimum_stake,
        ~_newer(),
    )


def _select() -> Select[Any]:
    columns = [_TABLE[field.name] for field in fields(Offer)]
    standing = (_PROVIDERS.staked, _PROVIDERS.minimum_sequence, _newer().label("newer"))
    return select(*columns, *standing).join_from(
        schema.offers, schema.providers, _TABLE.provider == _PROVIDERS.address
    )


def _offered(row: Row[Any], moment: Moment) -> Offered:
    offer = Offer.of(row)
    standing: Standing = "holds"
    if row.newer:
        standing = "replaced"
    elif offer.sequence < row.minimum_sequence:
        standing = "withdrawn"
    elif offer.valid_until <= moment.now:
        standing = "expired"
    elif row.staked < moment.minimum_stake:
        standing = "unstaked"
    return Offered(**vars(offer), staked=row.staked, standing=standing)


async def offers(
    connection: AsyncConnection,
    cut: Cut,
    moment: Moment,
    *,
    every: bool,
    provider: Address | None = None,
    model: str | None = None,
) -> Listing[Offered]:
    """Newest first: those that hold, or every version; of all providers and models, or of one."""
    statement = _select().where(*cut.below(_TABLE.block, _TABLE.log_index))
    if provider is not None:
        statement = statement.where(_TABLE.provider == provider)
    if model is not None:
        statement = statement.where(_TABLE.model == model)
    if not every:
        statement = statement.where(_holds(moment))
    statement = statement.order_by(_TABLE.block.desc(), _TABLE.log_index.desc()).limit(cut.asked)
    rows = [_offered(row, moment) for row in await connection.execute(statement)]
    return cut.listing(rows, lambda offer: (offer.block, offer.log_index))


async def postings(connection: AsyncConnection, offer_hash: Hash, moment: Moment) -> Sequence[Offered]:
    """One offer as often as it was posted, newest first."""
    statement = _select().where(_TABLE.offer_hash == offer_hash)
    statement = statement.order_by(_TABLE.block.desc(), _TABLE.log_index.desc()).limit(_POSTINGS)
    return [_offered(row, moment) for row in await connection.execute(statement)]


async def posted_in(connection: AsyncConnection, offer: Offer) -> Hash | None:
    """The transaction that posted it."""
    events = schema.events.c
    where = events.block == offer.block, events.log_index == offer.log_index
    found: bytes | None = await connection.scalar(select(events.transaction_hash).where(*where))
    return found


async def of_model(connection: AsyncConnection, model: str, moment: Moment) -> Sequence[Offered]:
    """Those that hold, the cheapest output first."""
    statement = _select().where(_TABLE.model == model, _holds(moment))
    statement = statement.order_by(_TABLE.output_price, _TABLE.input_price).limit(_SIDE_BY_SIDE)
    return [_offered(row, moment) for row in await connection.execute(statement)]


async def models(connection: AsyncConnection, moment: Moment) -> Sequence[ModelRow]:
    """Those that somebody offers now, the most offered first."""
    columns = (_TABLE.model, _TABLE.input_price, _TABLE.output_price, _TABLE.context_length)
    statement = select(*columns, _PROVIDERS.staked).join_from(
        schema.offers, schema.providers, _TABLE.provider == _PROVIDERS.address
    )
    by_model: dict[str, list[Any]] = {}
    for row in await connection.execute(statement.where(_holds(moment)).limit(_BOOK)):
        by_model.setdefault(row.model, []).append(row)
    rows = [summary(model, offers) for model, offers in by_model.items()]
    return sorted(rows, key=lambda row: (-row.providers, row.model))


def summary(model: str, offers: Sequence[Any]) -> ModelRow:
    """Of offers that hold, at least one; each with what is staked behind it."""
    inputs = [offer.input_price for offer in offers]
    outputs = [offer.output_price for offer in offers]
    return ModelRow(
        model=model,
        providers=len(offers),
        lowest_input_price=min(inputs),
        median_input_price=median_low(inputs),
        lowest_output_price=min(outputs),
        median_output_price=median_low(outputs),
        longest_context=max(offer.context_length for offer in offers),
        staked=sum(offer.staked for offer in offers),
    )


async def speeds(connection: AsyncConnection, model: str) -> Mapping[Address, Speed]:
    """By provider, from the newest published receipts of the model."""
    table = schema.receipts.c
    columns = (
        table.provider,
        table.output_tokens,
        table.received_at,
        table.first_token_at,
        table.finished_at,
    )
    statement = select(*columns).where(table.model == model, table.finish != _INTERIM)
    found: dict[bytes, list[Any]] = {}
    for row in await connection.execute(statement.order_by(table.finished_at.desc()).limit(_OBSERVED)):
        found.setdefault(row.provider, []).append(row)
    return {provider: _speed(rows) for provider, rows in found.items()}


def _speed(rows: Sequence[Any]) -> Speed:
    rates = [
        row.output_tokens * 1_000 // (row.finished_at - row.first_token_at)
        for row in rows
        if row.finished_at > row.first_token_at
    ]
    return Speed(
        receipts=len(rows),
        first_token_ms=median_low([max(0, row.first_token_at - row.received_at) for row in rows]),
        tokens_per_second=median_low(rates) if rates else None,
    )


async def history(connection: AsyncConnection, model: str) -> tuple[Sequence[Posting], Sequence[Withdrawal]]:
    """What a model's price history follows from: its newest versions and what was withdrawn since, oldest
    first."""
    columns = (_TABLE.block, _TABLE.log_index, _TABLE.timestamp, _TABLE.provider, _TABLE.sequence)
    prices = (_TABLE.input_price, _TABLE.output_price, _TABLE.valid_until)
    statement = select(*columns, *prices).where(_TABLE.model == model)
    newest = statement.order_by(_TABLE.block.desc(), _TABLE.log_index.desc()).limit(_HISTORY)
    rows = (await connection.execute(newest)).all()[::-1]
    posted = [
        Posting(row.timestamp, row.provider, row.sequence, row.input_price, row.output_price, row.valid_until)
        for row in rows
    ]
    if not rows:
        return (), ()
    return posted, await _withdrawals(connection, rows[0].block, {row.provider for row in rows})


async def _withdrawals(
    connection: AsyncConnection, since: int, providers: set[bytes]
) -> Sequence[Withdrawal]:
    events = schema.events.c
    statement = select(events.timestamp, events.provider, events.arguments)
    statement = statement.where(events.name == "OffersWithdrawn", events.block >= since)
    statement = statement.order_by(events.block.desc(), events.log_index.desc()).limit(_WITHDRAWALS)
    found = [row for row in await connection.execute(statement) if row.provider in providers]
    return [Withdrawal.read(row.timestamp, row.provider, row.arguments) for row in found][::-1]
