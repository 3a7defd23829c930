"""`/events`: what the contract logged, all of it or of one thing."""

from typing import Annotated, Final

from fastapi import Query

from tallystick_node.explorer.errors import Malformed
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import events as queries
from tallystick_node.explorer.queries.rows import Event
from tallystick_node.explorer.values import Address, Hash, Listing

pages = Pages()
Name = Annotated[
    str | None, Query(pattern="^[A-Za-z.]{1,32}$", description="Such as Settled, or Duels.Ended")
]
_ONE: Final = "Events are asked for of one block, channel, party, duel, accusation or name at a time."


@pages.table("/events", "events.html")
async def events(
    db: Db,
    cut: Cutting,
    block: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    channel: Annotated[Hash | None, Query()] = None,
    payer: Annotated[Address | None, Query()] = None,
    provider: Annotated[Address | None, Query()] = None,
    duel: Annotated[Hash | None, Query()] = None,
    accusation: Annotated[Hash | None, Query()] = None,
    name: Name = None,
) -> Listing[Event]:
    """Events, newest first: all, or those of one block, channel, party, duel, accusation or name."""
    if sum(asked is not None for asked in (block, channel, payer, provider, duel, accusation, name)) > 1:
        raise Malformed(_ONE)
    if block is not None:
        return await queries.of_block(db, cut, block)
    if channel is not None:
        return await queries.of_channel(db, cut, channel)
    if payer is not None:
        return await queries.of_payer(db, cut, payer)
    if provider is not None:
        return await queries.of_provider(db, cut, provider)
    if duel is not None:
        return await queries.of_duel(db, cut, duel)
    if accusation is not None:
        return await queries.of_accusation(db, cut, accusation)
    return await (queries.every(db, cut) if name is None else queries.named(db, cut, name))
