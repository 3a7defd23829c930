"""`/strikes`, `/accusations` and `/accusation/…`: findings that auditors filed, and what became of them; all
of it checked again."""

import asyncio
from typing import Annotated

from fastapi import Query, Request

from tallystick.chain.strike_audit import check
from tallystick_node.explorer.audit.checking import CheckedStep
from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.moves import Move, accusation_moves, left_over
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.pages.home import moment_of
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import strikes as queries
from tallystick_node.explorer.queries.rows import Event
from tallystick_node.explorer.queries.strike_facts import accusation_facts
from tallystick_node.explorer.queries.strikes import Accusation, Strike
from tallystick_node.explorer.site import TheSite
from tallystick_node.explorer.values import Address, Amount, Hash, Listing, shown

pages = Pages()


@shown
class AccusationPage:
    """One accusation."""

    accusation: Accusation
    strikes: tuple[Strike, ...]
    """In the order of every ballot."""
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
    moved = accusation_moves(told)
    steps = await asyncio.to_thread(check, facts)
    return AccusationPage(
        accusation=found,
        strikes=struck,
        moves=moved,
        left_over=left_over(moved),
        steps=tuple(map(CheckedStep.of, steps)),
        events=told,
    )
