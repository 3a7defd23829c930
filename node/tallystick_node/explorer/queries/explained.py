"""Which part of what was settled the published receipts account for, of one provider or of all."""

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.queries.sums import parts_of, together
from tallystick_node.explorer.values import Address, Amount, shown


@shown
class Explained:
    """What the published receipts say was bought."""

    channels: int
    """With published receipts."""
    receipts: int
    requests: int
    input_tokens: int
    output_tokens: int
    atoms: Amount
    """The sum of the receipts' costs, in each channel no more than it has settled."""

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


async def explained(connection: AsyncConnection, provider: Address | None = None) -> Explained:
    """Of a provider; None: of all."""
    published, channels = schema.published.c, schema.channels.c
    counted = (published.receipts, published.requests, published.input_tokens, published.output_tokens)
    cost = case((published.cost < channels.settled, published.cost), else_=channels.settled)
    sums = (func.coalesce(func.sum(column), 0) for column in counted)
    statement = select(func.count(), *sums, *parts_of(cost)).join_from(
        schema.published, schema.channels, published.channel_id == channels.channel_id
    )
    if provider is not None:
        statement = statement.where(published.provider == provider)
    number, receipts, requests, input_tokens, output_tokens, *atoms = (
        await connection.execute(statement)
    ).one()
    return Explained(
        channels=number,
        receipts=int(receipts),
        requests=int(requests),
        input_tokens=int(input_tokens),
        output_tokens=int(output_tokens),
        atoms=together(atoms),
    )
