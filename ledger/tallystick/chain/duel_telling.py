"""What a duel's events and calls tell, put together for its check. Pure: who read them is somebody else's
business."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tallystick.chain.duel_audit import DuelFacts, MoneyFacts, PanelFacts, Payment
from tallystick.chain.duel_calls import DuelCall
from tallystick.chain.duel_events import (
    Appealed,
    Committed,
    Credited,
    Decided,
    Ended,
    Opened,
    Penalised,
    Revealed,
    Sealed,
)
from tallystick.chain.events import (
    Awarded,
    ChainEvent,
    ReceiptKeySet,
    Slashed,
    is_next,
)
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.panel import Candidate
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, Hash32
from tallystick.protocol.vote import Choice

E = TypeVar("E", bound=ChainEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """All of one duel and its appeal."""

    domain: Domain
    duel: Hash32
    events: Sequence[ChainEvent]
    """In the chain's order: its own, its appeal's, and those of the money that it moved."""
    calls: Mapping[Hash32, DuelCall]
    """By transaction: those that went to the duels' contract itself."""
    draw_hashes: Mapping[int, Hash32]
    """Of the blocks that draw, as far as they are known."""
    candidates: Mapping[int, Sequence[Candidate]]
    """At the end of the blocks that opened it and its appeal, in the order of slots."""
    keys: Sequence[ReceiptKeySet]
    """In the chain's order: of its duellists and its judges."""


def facts_of(told: Told) -> DuelFacts | None:
    """None: it was never opened."""
    opened = _first(Opened, told, told.duel)
    if opened is None:
        return None
    appealed = _first(Appealed, told, told.duel)
    panels = [told.duel, *([] if appealed is None else [appealed.appeal])]
    decided = [found for panel in panels if (found := _first(Decided, told, panel)) is not None]
    shown = [told.calls[event.transaction] for event in told.events if event.transaction in told.calls]
    deciding = next((call for call in shown if call.name == "decide"), None)
    return DuelFacts(
        domain=told.domain,
        duel=told.duel,
        challenger=opened.challenger,
        case=next((call.case for call in shown if call.case is not None), None),
        known=Choice.NONE if deciding is None else deciding.known,
        salt=None if deciding is None else deciding.salt,
        receipt_keys=_keys(told.keys),
        first_receipt=decided[0].first_receipt_hash if decided else None,
        second_receipt=decided[0].second_receipt_hash if decided else None,
        panels=[_panel(told, event) for event in decided],
        money=_money(told),
    )


def duellists_and_judges(told: Sequence[ChainEvent], calls: Mapping[Hash32, DuelCall]) -> set[Address]:
    """Whose receipt keys a check needs."""
    found: set[Address] = set()
    for call in calls.values():
        if call.case is not None:
            found |= {call.case.first.provider, call.case.second.provider}
    for event in told:
        if isinstance(event, Decided):
            found |= {event.ruling.first, event.ruling.second, *event.ruling.judges}
    return found - {ZERO_ADDRESS}


def _first(kind: type[E], told: Told, duel: Hash32) -> E | None:
    of_kind = (event for event in told.events if isinstance(event, kind))
    return next((event for event in of_kind if getattr(event, "duel", None) == duel), None)


def _keys(named: Sequence[ReceiptKeySet]) -> Mapping[Address, frozenset[Address]]:
    return {
        provider: frozenset(event.receipt_key for event in named if event.provider == provider)
        for provider in {event.provider for event in named}
    }


def _panel(told: Told, decided: Decided) -> PanelFacts:
    opened, ruling = _first(Opened, told, decided.duel), decided.ruling
    assert opened is not None
    sealed = _first(Sealed, told, decided.duel)
    deciding = told.calls.get(decided.transaction)
    own = [event for event in told.events if getattr(event, "duel", None) == decided.duel]
    return PanelFacts(
        duel=decided.duel,
        wanted_by=opened.challenger,
        fee=opened.fee,
        seats=opened.seats,
        draw_hash=told.draw_hashes.get(opened.draw_block),
        seed=None if sealed is None else sealed.seed,
        candidates=told.candidates.get(opened.block, ()),
        judges=ruling.judges,
        choices=ruling.choices,
        known=ruling.known,
        verdict=decided.verdict,
        price=ruling.price,
        votes=() if deciding is None else deciding.votes,
        committed={event.judge: event.ballot_hash for event in own if isinstance(event, Committed)},
        revealed={
            reveal.judge: (reveal.choice, reveal.salt)
            for event in own
            if isinstance(event, Revealed) and event.transaction in told.calls
            for reveal in told.calls[event.transaction].reveals
        },
        keys={judge: _keys_at(told, judge, decided) for judge in ruling.judges},
    )


def _keys_at(told: Told, provider: Address, event: ChainEvent) -> frozenset[Address]:
    """Receipt keys that it had named when `event` was logged, and itself."""
    place = event.block, event.log_index
    named = [
        key.receipt_key
        for key in told.keys
        if key.provider == provider and (key.block, key.log_index) < place
    ]
    return frozenset({provider, *named})


def _money(told: Told) -> MoneyFacts | None:
    ended = _first(Ended, told, told.duel)
    if ended is None:
        return None
    moved = [event for event in told.events if event.transaction == ended.transaction]
    award = next((event for event in moved if isinstance(event, Awarded)), None)
    taken = 0 if award is None else award.to_winner + award.to_arbiter
    return MoneyFacts(
        verdict=ended.verdict,
        prize=ended.prize,
        to_winner=ended.to_winner,
        burnt=ended.burnt,
        loser=None if award is None else award.loser,
        loser_stake=Atoms(0 if award is None else taken + award.staked + award.exiting),
        payments=[payment for event in moved if (payment := _payment(event)) is not None],
    )


def _payment(event: ChainEvent) -> Payment | None:
    match event:
        case Credited():
            return Payment(owner=event.owner, gained=event.amount)
        case Slashed():
            lost = event.burnt + event.reward
            before = Atoms(lost + event.staked + event.exiting)
            return Payment(owner=event.provider, gained=-lost, stake=before)
        case _:
            return None


def duels_of(events: Sequence[ChainEvent]) -> Mapping[int, bytes]:
    """Whose money each of a block's events moved that names no duel, by log index: what stands before an
    `Ended` in its transaction and behind the `Ended` before it, since the duels move the money of one after
    another."""
    found: dict[int, bytes] = {}
    waiting: list[int] = []
    before: ChainEvent | None = None
    for event in events:
        if before is None or before.transaction != event.transaction:
            waiting = []
        penalty = isinstance(before, Penalised) and is_next(before, event)
        match event:
            case Awarded() | Credited():
                waiting.append(event.log_index)
            case Slashed() if penalty:
                waiting.append(event.log_index)
            case Ended():
                found |= dict.fromkeys(waiting, event.duel)
                waiting = []
            case _:
                pass
        before = event
    return found
