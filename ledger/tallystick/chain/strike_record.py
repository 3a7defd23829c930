"""One accusation as a node tells it: the strikes that it rests on, its re-audit, what moved when it was
concluded, and what was at stake."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from tallystick.chain import contracts
from tallystick.chain.audit_events import (
    Accused,
    Answered,
    Committed,
    Concluded,
    Credited,
    Revealed,
    Struck,
    Summoned,
)
from tallystick.chain.audits import Audits
from tallystick.chain.chronicle import Chronicle, topics_of, words_of
from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.events import (
    Awarded,
    ChainEvent,
    Slashed,
    Staked,
    Unstaked,
    UnstakeRequested,
)
from tallystick.chain.strike_audit import AccusationFacts, Moved, ReauditFacts, StrikeFacts
from tallystick.chain.strike_calls import AuditCall, audit_call
from tallystick.chain.strike_telling import accusations_of
from tallystick.protocol.units import Address, Atoms, Hash32, to_hex

E = TypeVar("E", bound=ChainEvent)
Place = tuple[int, int]
_AT_THE_END: Final[Place] = (1 << 62, 0)
_STAKES: Final = ("Staked", "UnstakeRequested", "Unstaked", "Slashed", "Awarded")


class AccusationRecord:
    """Raises ChainUnavailable where the node does not answer, or not what the ABI says."""

    def __init__(self, audits: Audits):
        self._audits = audits
        self._chronicle = Chronicle(audits.market)
        self.block = self._chronicle.block

    def facts(self, accusation: Hash32) -> AccusationFacts | None:
        """By an accusation's id. None: there never was such a one."""
        own = list(self._chronicle.logs(contracts.audits(), self._audits.address, [None, to_hex(accusation)]))
        accused, concluded = _first(Accused, own), _first(Concluded, own)
        if accused is None:
            return None
        strikes = self._strikes(accused)
        moving = [] if concluded is None else self._moving(concluded)
        end = min((_place(event) for event in moving), default=_AT_THE_END)
        parties = {accused.provider, *accused.auditors}
        named = self._chronicle.keys(parties)
        summoned = _first(Summoned, own)
        seats = () if summoned is None else tuple(map(Address, summoned.auditors))
        stakes = self._stakes(parties | {seat for seat in seats if any(seat)})
        answered = _first(Answered, own)
        return AccusationFacts(
            domain=self._audits.market.deployment.domain,
            accusation=accusation,
            provider=accused.provider,
            strikes=[self._strike(strike, stakes, end) for strike in strikes],
            keys={
                one: frozenset({one, *(key.receipt_key for key in named if key.provider == one)})
                for one in parties
            },
            reaudit=None if answered is None else self._reaudit(answered, seats, own, stakes, end),
            moved=None if concluded is None else _moved(concluded, answered, moving, stakes, end),
        )

    def _strikes(self, accused: Accused) -> list[Struck]:
        """Of each auditor the latest before, in their order."""
        topics = [topics_of(contracts.audits(), "Struck"), words_of({accused.provider})]
        latest: dict[Address, Struck] = {}
        for event in self._chronicle.logs(contracts.audits(), self._audits.address, topics, accused.block):
            if isinstance(event, Struck) and _place(event) < _place(accused):
                latest[event.auditor] = event
        if not latest.keys() >= set(accused.auditors):
            raise ChainUnavailable(
                "The node tells of an accusation, and not of the strikes that it rests on."
            )
        return [latest[auditor] for auditor in accused.auditors]

    def _strike(self, strike: Struck, stakes: "Stakes", end: Place) -> StrikeFacts:
        call = self._call(strike.transaction)
        return StrikeFacts(
            receipt_hash=strike.receipt_hash,
            auditor=strike.auditor,
            draw_block=strike.draw_block,
            exhibit=None if call is None else call.exhibit,
            draw_hash=self._chronicle.block_hash(strike.draw_block),
            candidates=self._chronicle.candidates(strike.draw_block - 1),
            staked=stakes.staked(strike.auditor, _place(strike)),
            stake=stakes.all_of(strike.auditor, end),
        )

    def _reaudit(
        self,
        answered: Answered,
        seats: Sequence[Address],
        own: Sequence[ChainEvent],
        stakes: "Stakes",
        end: Place,
    ) -> ReauditFacts:
        revealed = [event for event in own if isinstance(event, Revealed)]
        said = {event.auditor: tuple(event.opinions) for event in revealed}
        calls = [self._call(name) for name in dict.fromkeys(event.transaction for event in revealed)]
        return ReauditFacts(
            answerer=answered.answerer,
            fee=answered.fee,
            draw_hash=self._chronicle.block_hash(answered.draw_block),
            candidates=self._chronicle.candidates(answered.block),
            seats=seats,
            opinions=[said.get(seat, ()) for seat in seats],
            committed={event.auditor: event.ballot_hash for event in own if isinstance(event, Committed)},
            revealed=[reveal for call in calls if call is not None for reveal in call.reveals],
            stakes=[stakes.all_of(seat, end) for seat in seats],
        )

    def _moving(self, concluded: Concluded) -> list[ChainEvent]:
        """The logs of its transaction that are its own, or of the money that it moved."""
        logged = self._chronicle.logged(concluded.transaction)
        moved = accusations_of(logged)
        return [
            event
            for event in logged
            if concluded.id in (getattr(event, "id", None), moved.get(event.log_index))
        ]

    def _stakes(self, providers: set[Address]) -> "Stakes":
        market, words = contracts.market(), words_of(providers)
        events: dict[Place, ChainEvent] = {}
        for topics in ([topics_of(market, *_STAKES), words], [topics_of(market, "Awarded"), None, words]):
            address = self._audits.market.deployment.market
            events |= {_place(event): event for event in self._chronicle.logs(market, address, topics)}
        return Stakes.of([events[place] for place in sorted(events)])

    def _call(self, transaction: Hash32) -> AuditCall | None:
        data = self._chronicle.called(transaction, self._audits.address)
        return None if data is None else audit_call(data)


@dataclass(frozen=True, slots=True)
class Stakes:
    """What providers had at stake: after each event (its place, what is staked, what is on its way out)."""

    after: Mapping[Address, Sequence[tuple[Place, Atoms, Atoms]]]

    @classmethod
    def of(cls, events: Sequence[ChainEvent]) -> "Stakes":
        """`events`: all that changed them, in the chain's order."""
        after: dict[Address, list[tuple[Place, Atoms, Atoms]]] = {}

        def put(provider: Address, event: ChainEvent, staked: Atoms | None, exiting: Atoms | None) -> None:
            its = after.setdefault(provider, [])
            _, was_staked, was_exiting = its[-1] if its else (None, Atoms(0), Atoms(0))
            its.append(
                (
                    _place(event),
                    was_staked if staked is None else staked,
                    was_exiting if exiting is None else exiting,
                )
            )

        for event in events:
            match event:
                case Staked():
                    put(event.provider, event, event.staked, None)
                case UnstakeRequested() | Slashed():
                    put(event.provider, event, event.staked, event.exiting)
                case Unstaked():
                    put(event.provider, event, None, Atoms(0))
                case Awarded():
                    put(event.loser, event, event.staked, event.exiting)
                    put(event.winner, event, event.winner_staked, None)
        return cls(after)

    def staked(self, provider: Address, before: Place) -> Atoms:
        return self._at(provider, before)[0]

    def all_of(self, provider: Address, before: Place) -> Atoms:
        """What is on its way out included."""
        return Atoms(sum(self._at(provider, before)))

    def _at(self, provider: Address, before: Place) -> tuple[Atoms, Atoms]:
        its = [(staked, exiting) for at, staked, exiting in self.after.get(provider, ()) if at < before]
        return its[-1] if its else (Atoms(0), Atoms(0))


def _moved(
    concluded: Concluded,
    answered: Answered | None,
    moving: Sequence[ChainEvent],
    stakes: Stakes,
    end: Place,
) -> Moved:
    gained: Counter[Address] = Counter()
    burnt = int(concluded.burnt)
    if answered is not None:
        gained[answered.answerer] -= answered.fee
    for event in moving:
        if isinstance(event, Credited):
            gained[event.owner] += event.amount
        if isinstance(event, Slashed):
            gained[event.provider] -= event.reward + event.burnt
            burnt += event.burnt
            if event.provider != concluded.provider:  # Else it goes to who struck, through the audits.
                gained[event.recipient] += event.reward
    return Moved(
        outcome=concluded.outcome,
        outcomes=concluded.outcomes,
        burnt=Atoms(burnt),
        gained=gained,
        provider_stake=stakes.all_of(concluded.provider, end),
    )


def _first(kind: type[E], events: Sequence[ChainEvent]) -> E | None:
    return next((event for event in events if isinstance(event, kind)), None)


def _place(event: ChainEvent) -> Place:
    return event.block, event.log_index
