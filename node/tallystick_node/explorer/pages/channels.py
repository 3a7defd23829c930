"""`/channels` and `/channel/…`: the life of a channel, from its opening to its close."""

from typing import Annotated

from fastapi import Query

from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import channels as queries
from tallystick_node.explorer.queries import receipts
from tallystick_node.explorer.queries.rows import Channel, Published, PublishedReceipt
from tallystick_node.explorer.values import Address, Amount, Hash, Listing, shown

pages = Pages()
RECEIPTS = 50
"""Of a channel shown at once."""


@shown
class ChannelPage:
    """One life of one channel."""

    channel: Channel
    left: Amount
    """What it can still pay."""
    close_paid: Amount | None
    """What its close paid beyond its settlements: only its payer can have it so. None: it is not closed."""
    lives: tuple[Channel, ...]
    """Of the same key between the same two, this one included, the last first."""
    life: Listing[queries.Moment]
    """What happened to it, newest first."""
    published: Published | None
    receipts: tuple[PublishedReceipt, ...]
    """Published ones under `receiptsBelow`, the last first."""
    more_receipts: bool


@pages.table("/channels", "channels.html")
async def channels(
    db: Db,
    cut: Cutting,
    payer: Annotated[Address | None, Query()] = None,
    provider: Annotated[Address | None, Query()] = None,
) -> Listing[Channel]:
    """Channels, those opened last first."""
    return await queries.channels(db, cut, payer=payer, provider=provider)


@pages.page("/channel/{id}", "channel.html")
async def channel(
    id: Hash,
    db: Db,
    cut: Cutting,
    receipts_below: Annotated[
        int | None, Query(alias="receiptsBelow", ge=0, lt=2**63, description="Receipts with a lower sequence")
    ] = None,
) -> ChannelPage:
    """One channel: its whole life, and what the published receipts say of it."""
    found = await queries.channel(db, id)
    if found is None:
        raise NotFound("No channel of this market has this id. An id is of one epoch of a channel.")
    printed = await receipts.of_channel(db, id, receipts_below, RECEIPTS + 1)
    return ChannelPage(
        channel=found,
        left=found.left,
        close_paid=await queries.paid_by_close(db, found) if found.closed_at else None,
        lives=await queries.epochs(db, found),
        life=await queries.life(db, cut, id),
        published=await queries.published(db, id),
        receipts=printed[:RECEIPTS],
        more_receipts=len(printed) > RECEIPTS,
    )
