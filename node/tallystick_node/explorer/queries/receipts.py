"""Receipts that a party published, and what they say of what was paid for them.

A receipt counts as far as its channel has settled: what the chain takes back, it no longer explains.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.listed import listed
from tallystick_node.explorer.queries.rows import Offer, PublishedReceipt, Settlement
from tallystick_node.explorer.values import Hash, Listing, shown

_TABLE = schema.receipts.c


@shown
class Printed:
    """A receipt as it was published: `text` is the publisher's own JSON, checked then."""

    receipt: PublishedReceipt
    text: str


async def of_channel(
    connection: AsyncConnection, channel_id: Hash, below: int | None, limit: int
) -> tuple[PublishedReceipt, ...]:
    """Those with a sequence under `below`, the last first."""
    statement = PublishedReceipt.select().where(_TABLE.channel_id == channel_id)
    if below is not None:
        statement = statement.where(_TABLE.sequence < below)
    statement = statement.order_by(_TABLE.sequence.desc()).limit(limit)
    return tuple(PublishedReceipt.of(row) for row in await connection.execute(statement))


async def receipts(
    connection: AsyncConnection, cut: Cut, channel_id: Hash | None
) -> Listing[PublishedReceipt]:
    """Of one channel or of all, channel by channel, the last of each first."""
    if channel_id is None:
        return await listed(connection, cut, PublishedReceipt, _TABLE.channel_id, _TABLE.sequence)
    where = [_TABLE.channel_id == channel_id]
    return await listed(connection, cut, PublishedReceipt, _TABLE.sequence, where=where)


async def under(connection: AsyncConnection, cut: Cut, settlement: Settlement) -> Listing[PublishedReceipt]:
    """Those that this settlement paid for: their sums end in what it added to the channel's total."""
    where = (
        _TABLE.channel_id == settlement.channel_id,
        _TABLE.cumulative_cost > settlement.settled - settlement.paid,
        _TABLE.cumulative_cost <= settlement.settled,
    )
    return await listed(connection, cut, PublishedReceipt, _TABLE.sequence, where=where)


async def receipt(connection: AsyncConnection, channel_id: Hash, sequence: int) -> Printed | None:
    statement = (
        PublishedReceipt.select()
        .add_columns(_TABLE.text)
        .where(_TABLE.channel_id == channel_id, _TABLE.sequence == sequence)
    )
    row = (await connection.execute(statement)).first()
    if row is None:
        return None
    return Printed(receipt=PublishedReceipt.of(row), text=row._mapping[_TABLE.text])


async def offer(connection: AsyncConnection, offer_hash: Hash) -> Offer | None:
    """As it was first posted."""
    table = schema.offers.c
    statement = Offer.select().where(table.offer_hash == offer_hash)
    row = (await connection.execute(statement.order_by(table.block, table.log_index).limit(1))).first()
    return None if row is None else Offer.of(row)
