"""`/strikes`, `/accusations` and `/accusation/…`: findings that auditors filed, and what became of them; all
of it checked again."""

import asyncio
from typing import Annotated

from fastapi import Query, Request

from tallystick.chain.audits import Exhibit
from tallystick.chain.strike_audit import check
from tallystick.protocol.strikes import SEATS
from tallystick_node.explorer.audit.checking import CheckedStep
from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.moves import Move, accusation_moves, left_over
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.pages.home import moment_of
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import receipts
from tallystick_node.explorer.queries import strikes as queries
from tallystick_node.explorer.queries.rows import Event
from tallystick_node.explorer.queries.strike_facts import accusation_facts
from tallystick_node.explorer.queries.strikes import Accusation, Strike
from tallystick_node.explorer.site import TheSite
from tallystick_node.explorer.values import Address, Amount, Hash, Listing, shown

pages = Pages()


@shown
class StruckFor:
    """The receipt that a strike is for, as the call that filed it showed it."""

    payer: Address
    channel_id: Hash
    sequence: int
    offer_hash: Hash
    model: str | None
    """That was promised; none: its offer was never posted on chain."""
    input_tokens: int
    output_tokens: int
    cost: Amount
    finished_at: int
    """Milliseconds."""
    published: bool
    """At this explorer: it has a page."""


@shown
class Tally:
    """What re-auditors say of one strike, so far."""

    uphold: int
    clear: int
    neither: int
    """Seats with somebody on them that said nothing of it."""


@shown
class AccusationPage:
    """One accusation."""

    accusation: Accusation
    strikes: tuple[Strike, ...]
    """In the order of every ballot."""
    receipts: tuple[StruckFor | None, ...]
    """Of each strike; none of one that was filed through another contract."""
    tallies: tuple[Tally, ...]
    """Of each strike, once re-auditors are seated."""
    majority: int
    """So many seats decide a strike."""
    moves: tuple[Move, ...]
    left_over: Amount
    """Atoms of its fee that have not moved yet."""
    steps: tuple[CheckedStep, ...]
    """The whole of it, checked again."""
    events: tuple[Event, ...]


@pages.table("/strikes", "strikes.html")
async def strikes(
    db: Db,
    cut: Cutting,
    provider: Annotated[Address | None, Query(description="Whom they are against")] = None,
    auditor: Annotated[Address | None, Query()] = None,
) -> Listing[Strike]:
    """Strikes of auditors, newest first."""
    return await queries.strikes(db, cut, queries.Only(provider=provider, auditor=auditor))


@pages.table("/accusations", "accusations.html")
async def accusations(
    request: Request,
    db: Db,
    cut: Cutting,
    site: TheSite,
    provider: Annotated[Address | None, Query(description="Who is accused")] = None,
    auditor: Annotated[Address | None, Query(description="Whose strike accuses")] = None,
    reauditor: Annotated[Address | None, Query()] = None,
    open: Annotated[bool, Query(description="Only those that are not concluded")] = False,
) -> Listing[Accusation]:
    """Accusations, newest first."""
    only = queries.Only(provider=provider, auditor=auditor, reauditor=reauditor, open=open)
    return await queries.accusations(db, cut, only, moment_of(request, site).now)


@pages.page("/accusation/{id}", "accusation.html")
async def accusation(request: Request, id: Hash, db: Db, site: TheSite) -> AccusationPage:
    """One accusation: its strikes, re-auditors, opinions and money, each checked again."""
    found = await queries.accusation(db, id, moment_of(request, site).now)
    if found is None:
        raise NotFound("No accusation of this market has this id.")
    struck, told = await queries.strikes_of(db, found), await queries.events(db, id)
    facts = await accusation_facts(db, site.deployment.domain, found, struck, told)
    moved = accusation_moves(told, frozenset(seat.auditor for seat in found.seats if seat.auditor))
    steps = await asyncio.to_thread(check, facts)
    return AccusationPage(
        accusation=found,
        strikes=struck,
        receipts=tuple([await _struck_for(db, strike.exhibit) for strike in facts.strikes]),
        tallies=tuple(_tally(found, place) for place in range(len(struck)) if found.seats),
        majority=SEATS // 2 + 1,
        moves=moved,
        left_over=left_over(moved),
        steps=tuple(map(CheckedStep.of, steps)),
        events=told,
    )


async def _struck_for(db: Db, exhibit: Exhibit | None) -> StruckFor | None:
    if exhibit is None:
        return None
    receipt = exhibit.receipt.message
    offer = await receipts.offer(db, receipt.offer_hash)
    printed = await receipts.receipt(db, receipt.channel_id, receipt.sequence)
    return StruckFor(
        payer=exhibit.channel.payer,
        channel_id=receipt.channel_id,
        sequence=receipt.sequence,
        offer_hash=receipt.offer_hash,
        model=None if offer is None else offer.model,
        input_tokens=receipt.input_tokens,
        output_tokens=receipt.output_tokens,
        cost=receipt.cost,
        finished_at=receipt.finished_at,
        published=printed is not None and printed.receipt.struct_hash == receipt.struct_hash(),
    )


def _tally(accusation: Accusation, place: int) -> Tally:
    said = [seat.opinions[place] if seat.opinions else "none" for seat in accusation.seats if seat.auditor]
    return Tally(uphold=said.count("uphold"), clear=said.count("clear"), neither=said.count("none"))
