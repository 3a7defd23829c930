"""What the duels' contract has logged, as values named after the contract's own events, as `events` has the
market's. A test holds these classes to the ABI, field by field.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from tallystick.chain import balance_events, contracts
from tallystick.chain.duels import Ruling
from tallystick.chain.events import ChainEvent, read_log
from tallystick.protocol.units import Address, Atoms, Hash32, Timestamp
from tallystick.protocol.vote import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelsEvent(ChainEvent):
    """One log of the duels' contract."""

    CONTRACT: ClassVar[str] = "Duels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consented(DuelsEvent):
    owner: Address
    provider: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Enlisted(DuelsEvent):
    judge: Address
    owner: Address
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed(DuelsEvent):
    """Draws go by `weight` from this block on."""

    judge: Address
    weight: Atoms
    total: Atoms
    """Of all judges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(DuelsEvent):
    """A duel, or the appeal of one: an `Appealed` follows that then."""

    duel: Hash32
    challenger: Address
    fee: Atoms
    seats: int
    draw_block: int
    decide_by: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed(DuelsEvent):
    duel: Hash32
    seed: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class Summoned(DuelsEvent):
    duel: Hash32
    judges: list[Address]
    reveal_from: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed(DuelsEvent):
    duel: Hash32
    judge: Address
    ballot_hash: Hash32
    """Zero: it declined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed(DuelsEvent):
    duel: Hash32
    judge: Address
    choice: Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(DuelsEvent):
    duel: Hash32
    verdict: Choice
    appeal_by: Timestamp
    """Zero: nobody may."""
    first_receipt_hash: Hash32
    second_receipt_hash: Hash32
    ruling: Ruling


@dataclass(frozen=True, slots=True, kw_only=True)
class Appealed(DuelsEvent):
    duel: Hash32
    appeal: Hash32
    appellant: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(DuelsEvent):
    """The money of a duel has moved: what moved stands before it in the transaction."""

    duel: Hash32
    first: Address
    second: Address
    verdict: Choice
    prize: Atoms
    to_winner: Atoms
    burnt: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalised(DuelsEvent):
    """The market's `Slashed` that follows it says what is left."""

    duel: Hash32
    judge: Address
    amount: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Credited(balance_events.Credited, DuelsEvent):
    """Of a balance with this contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapsed(DuelsEvent):
    duel: Hash32
    burnt: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn(balance_events.Withdrawn, DuelsEvent):
    """From one."""


DUEL_EVENTS: Final[Mapping[str, type[DuelsEvent]]] = {
    kind.__name__: kind
    for kind in (
        *(Consented, Enlisted, Weighed),
        *(Opened, Sealed, Summoned, Committed, Revealed, Decided, Appealed),
        *(Ended, Penalised, Credited, Lapsed, Withdrawn),
    )
}


def read_duel_event(log: Mapping[str, Any]) -> ChainEvent | None:
    """A log as the node gives it; None where it is no event of the duels' contract; raises
    ChainUnavailable."""
    return read_log(log, contracts.duels(), DUEL_EVENTS, READ)


def ruling_of(values: tuple[Any, ...]) -> Ruling:
    """As the contract's struct has it; raises ValueError where a choice is none."""
    duel, first, second, price, known, judges, choices = values
    return Ruling(
        duel=duel,
        first=first,
        second=second,
        price=Atoms(price),
        known=Choice(known),
        judges=list(judges),
        choices=[Choice(choice) for choice in choices],
    )


READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "ruling": ruling_of,
    "verdict": Choice,
    "choice": Choice,
    "judges": list,
}
"""As `events.READ`."""
