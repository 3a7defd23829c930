"""`/duels` and `/duel/…`: two answers, the judges drawn for them, what they said and what that moved; all
of it checked again."""

import asyncio
from typing import Annotated, Final

from fastapi import Query, Request

from tallystick.chain.duel_audit import DuelFacts, check
from tallystick.chain.duels import Answer
from tallystick_node.explorer.audit.checking import CheckedStep
from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.moves import Move, left_over, moves
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.pages.home import moment_of
from tallystick_node.explorer.pages.receipts import Speed, Working, ends, speed, working
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import duels as queries
from tallystick_node.explorer.queries import receipts, settlements
from tallystick_node.explorer.queries.duel_facts import duel_facts
from tallystick_node.explorer.queries.duels import Duel
from tallystick_node.explorer.queries.rows import Event, Offer, Settlement
from tallystick_node.explorer.site import TheSite
from tallystick_node.explorer.values import Address, Amount, Bytes, Hash, Listing, shown

pages = Pages()
_SIDES: Final = ("first", "second")


@shown
class ShownAnswer:
    """One duellist's: its receipt, as it was shown on chain."""

    side: str
    provider: Address
    channel_id: Hash
    session_key: Address
    epoch: int
    sequence: int
    struct_hash: Hash
    offer_hash: Hash
    request_hash: Hash
    response_hash: Hash
    tokens_hash: Hash
    signature: Bytes
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    ends: str
    """Why it ends where it does."""
    received_at: int
    """Milliseconds, as the other times."""
    first_token_at: int
    finished_at: int
    cost: Amount
    cumulative_cost: Amount
    offer: Offer | None
    """None: it was never posted on chain."""
    working: Working | None
    speed: Speed | None
    settlement: Settlement | None
    """That paid it; none yet."""


@shown
class Ballot:
    """From one seat: what was said, and what came of it."""

    judge: Address | None
    """None: nobody could be drawn."""
    choice: queries.Choice
    with_verdict: bool
    gained: Amount
    lost: Amount


@shown
class Panel:
    """A duel's panel, or its appeal's."""

    duel: Duel
    draw_hash: Hash | None
    """Of the block that drew it; none: not there yet."""
    seed: Hash | None
    ballots: tuple[Ballot, ...]


@shown
class DuelPage:
    """One duel, with its appeal."""

    duel: Duel
    body_hash: Hash | None
    """Of the request; none: the case was not shown."""
    answers: tuple[ShownAnswer, ...]
    """Two; none where the case was not shown, or by another contract."""
    panels: tuple[Panel, ...]
    moves: tuple[Move, ...]
    left_over: Amount
    """Atoms of its fees that have not moved yet."""
    steps: tuple[CheckedStep, ...]
    """The whole of it, checked again."""
    events: tuple[Event, ...]

    @property
    def twice(self) -> bool:
        """Somebody judged it in both panels."""
        judges = [ballot.judge for panel in self.panels for ballot in panel.ballots if ballot.judge]
        return len(set(judges)) < len(judges)


@pages.table("/duels", "duels.html")
async def duels(
    request: Request,
    db: Db,
    cut: Cutting,
    site: TheSite,
    provider: Annotated[Address | None, Query(description="One of the duellists")] = None,
    judge: Annotated[Address | None, Query()] = None,
    challenger: Annotated[Address | None, Query()] = None,
    open: Annotated[bool, Query(description="Only those whose money has not moved")] = False,
) -> Listing[Duel]:
    """Duels, newest first."""
    only = queries.Only(provider=provider, judge=judge, challenger=challenger, open=open)
    return await queries.duels(db, cut, only, moment_of(request, site).now)


@pages.table("/judges", "judges.html")
async def judges(db: Db, cut: Cutting) -> Listing[queries.Judge]:
    """Judges, the weightiest first."""
    return await queries.judges(db, cut)


@pages.page("/duel/{id}", "duel.html")
async def duel(request: Request, id: Hash, db: Db, site: TheSite) -> DuelPage:
    """One duel: its receipts, judges, votes and money, each checked again."""
    found = await queries.duel(db, id, moment_of(request, site).now)
    if found is None:
        raise NotFound("No duel of this market has this id.")
    duel, appeal = found
    panels = [duel] if appeal is None else [duel, appeal]
    of_duel = await duel_facts(db, site.deployment.domain, panels)
    facts, told = of_duel.facts, of_duel.events
    answers = () if facts.case is None else (facts.case.first, facts.case.second)
    judges = frozenset(judge for panel in facts.panels for judge in panel.judges)
    moved = moves(told, judges)
    steps = await asyncio.to_thread(check, facts)
    return DuelPage(
        duel=duel,
        body_hash=None if facts.case is None else facts.case.body_hash,
        answers=tuple(
            [await _answer(db, side, answer) for side, answer in zip(_SIDES, answers, strict=False)]
        ),
        panels=await _panels(db, panels, facts, moved),
        moves=moved,
        left_over=left_over(moved),
        steps=tuple(map(CheckedStep.of, steps)),
        events=told,
    )


async def _answer(db: Db, side: str, answer: Answer) -> ShownAnswer:
    receipt = answer.receipt.message
    offer = await receipts.offer(db, receipt.offer_hash)
    return ShownAnswer(
        side=side,
        provider=answer.provider,
        channel_id=receipt.channel_id,
        session_key=answer.session_key,
        epoch=answer.epoch,
        sequence=receipt.sequence,
        struct_hash=receipt.struct_hash(),
        offer_hash=receipt.offer_hash,
        request_hash=receipt.request_hash,
        response_hash=receipt.response_hash,
        tokens_hash=receipt.tokens_hash,
        signature=answer.receipt.signature,
        input_tokens=receipt.input_tokens,
        cached_input_tokens=receipt.cached_input_tokens,
        output_tokens=receipt.output_tokens,
        ends=ends(receipt.finish),
        received_at=receipt.received_at,
        first_token_at=receipt.first_token_at,
        finished_at=receipt.finished_at,
        cost=receipt.cost,
        cumulative_cost=receipt.cumulative_cost,
        offer=offer,
        working=None if offer is None else working(receipt, offer),
        speed=speed(receipt),
        settlement=await settlements.that_paid(db, receipt.channel_id, receipt.cumulative_cost),
    )


async def _panels(db: Db, panels: list[Duel], facts: DuelFacts, moved: tuple[Move, ...]) -> tuple[Panel, ...]:
    given = [panel.duel for panel in facts.panels]
    found = []
    for panel in panels:
        draw_hash, seed = await queries.draw(db, panel)
        ballots = _ballots(panel, moved) if panel.duel in given else ()
        found.append(Panel(duel=panel, draw_hash=draw_hash, seed=seed, ballots=ballots))
    return tuple(found)


def _ballots(panel: Duel, moved: tuple[Move, ...]) -> tuple[Ballot, ...]:
    """What a judge of both panels gained or lost is told with each of its seats: all of it."""
    return tuple(
        Ballot(
            judge=seat.judge,
            choice=seat.choice,
            with_verdict=seat.choice == panel.final_verdict,
            gained=sum(move.given for move in moved if seat.judge and move.who == seat.judge),
            lost=sum(move.taken for move in moved if seat.judge and move.who == seat.judge),
        )
        for seat in panel.panel
    )
