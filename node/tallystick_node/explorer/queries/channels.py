"""Channels, and the whole life of one."""

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.listed import listed
from tallystick_node.explorer.queries.rows import Channel, Event, Published
from tallystick_node.explorer.values import Address, Amount, Hash, Listing, shown

_TABLE = schema.channels.c
EPOCHS = 50
"""Of one session key, shown at most."""


@shown
class Moment:
    """Something that happened to a channel."""

    event: Event
    paid: Amount | None
    """By it, where it is a settlement."""


async def channels(
    connection: AsyncConnection, cut: Cut, *, payer: Address | None = None, provider: Address | None = None
) -> Listing[Channel]:
    """Those opened last first."""
    where = []
    if payer is not None:
        where.append(_TABLE.payer == payer)
    if provider is not None:
        where.append(_TABLE.provider == provider)
    return await listed(connection, cut, Channel, _TABLE.opened_block, _TABLE.channel_id, where=where)


async def channel(connection: AsyncConnection, channel_id: Hash) -> Channel | None:
    row = (await connection.execute(Channel.select().where(_TABLE.channel_id == channel_id))).first()
    return None if row is None else Channel.of(row)


async def epochs(connection: AsyncConnection, channel: Channel) -> tuple[Channel, ...]:
    """The lives of the same key between the same two, the newest first."""
    statement = (
        Channel.select()
        .where(
            _TABLE.session_key == channel.session_key,
            _TABLE.payer == channel.payer,
            _TABLE.provider == channel.provider,
        )
        .order_by(_TABLE.epoch.desc())
        .limit(EPOCHS)
    )
    return tuple(Channel.of(row) for row in await connection.execute(statement))


async def life(connection: AsyncConnection, cut: Cut, channel_id: Hash) -> Listing[Moment]:
    """What happened to it, newest first."""
    events, settlements = schema.events, schema.settlements
    here = and_(events.c.block == settlements.c.block, events.c.log_index == settlements.c.log_index)
    statement = (
        Event.select()
        .add_columns(settlements.c.paid)
        .select_from(events.outerjoin(settlements, here))
        .where(events.c.channel_id == channel_id, *cut.below(events.c.block, events.c.log_index))
        .order_by(events.c.block.desc(), events.c.log_index.desc())
        .limit(cut.asked)
    )
    rows = [
        Moment(event=Event.of(row), paid=row._mapping[settlements.c.paid])
        for row in await connection.execute(statement)
    ]
    return cut.listing(rows, lambda moment: (moment.event.block, moment.event.log_index))


async def paid_by_close(connection: AsyncConnection, channel: Channel) -> int:
    """Of a closed channel: what was settled in the end, without what settlements had."""
    table = schema.settlements.c
    newest = select(table.settled).where(table.channel_id == channel.channel_id)
    before = await connection.scalar(newest.order_by(table.block.desc(), table.log_index.desc()).limit(1))
    return channel.settled - (before or 0)


async def published(connection: AsyncConnection, channel_id: Hash) -> Published | None:
    """Totals of its published receipts; None: there is none."""
    statement = Published.select().where(schema.published.c.channel_id == channel_id)
    row = (await connection.execute(statement)).first()
    return None if row is None else Published.of(row)
