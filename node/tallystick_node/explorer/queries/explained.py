"""Which part of what was settled the published receipts account for, of one provider or of all."""

from typing import Any

from sqlalchemy import Select, case, distinct, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick.protocol.receipt import Finish
from tallystick_node.explorer import schema
from tallystick_node.explorer.queries.sums import parts_of, together
from tallystick_node.explorer.values import Address, Amount, shown


@shown
class Explained:
    """What the published receipts say was bought. One of which the chain took back what paid it counts again
    once its channel has settled as much."""

    channels: int
    """With published receipts."""
    receipts: int
    requests: int
    input_tokens: int
    output_tokens: int
    atoms: Amount
    """The sum of the receipts' costs."""

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


async def explained(connection: AsyncConnection, provider: Address | None = None) -> Explained:
    """Of a provider; None: of all."""
    found: list[int] = [0] * 6
    for statement in (_whole(), _cut()):
        if provider is not None:
            statement = statement.where(schema.channels.c.provider == provider)
        *counts, atoms = _read((await connection.execute(statement)).one())
        found = [one + other for one, other in zip(found, [*counts, atoms], strict=True)]
    channels, receipts, requests, input_tokens, output_tokens, atoms = found
    return Explained(
        channels=channels,
        receipts=receipts,
        requests=requests,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        atoms=atoms,
    )


def _reach() -> Any:
    """The running sum of a channel's last published receipt."""
    table = schema.receipts.c
    ours = select(func.max(table.cumulative_cost)).where(table.channel_id == schema.channels.c.channel_id)
    return ours.correlate(schema.channels).scalar_subquery()


def _whole() -> Select[*tuple[Any, ...]]:
    """Channels that have settled all that their receipts come to: by their totals."""
    published, channels = schema.published.c, schema.channels.c
    counted = (published.receipts, published.requests, published.input_tokens, published.output_tokens)
    sums = (func.sum(column) for column in counted)
    statement = select(func.count(), *sums, *parts_of(published.cost)).join_from(
        schema.published, schema.channels, published.channel_id == channels.channel_id
    )
    return statement.where(_reach() <= channels.settled)


def _cut() -> Select[*tuple[Any, ...]]:
    """The others, of which the chain took something back: receipt by receipt."""
    published, channels, table = schema.published.c, schema.channels.c, schema.receipts.c
    requests = func.sum(case((table.finish != Finish.INTERIM, 1), else_=0))
    sums = func.count(), requests, func.sum(table.input_tokens), func.sum(table.output_tokens)
    statement = select(func.count(distinct(table.channel_id)), *sums, *parts_of(table.cost))
    joined = statement.select_from(
        schema.published.join(schema.channels, published.channel_id == channels.channel_id).join(
            schema.receipts, table.channel_id == channels.channel_id
        )
    )
    return joined.where(_reach() > channels.settled, table.cumulative_cost <= channels.settled)


def _read(row: Any) -> list[int]:
    *counts, _, _, _, _ = row
    return [*(int(count or 0) for count in counts), together(row[len(counts) :])]
