"""What the audits' contract has logged, as values named after the contract's own events, as `events` has the
market's. A test holds these classes to the ABI, field by field.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final

from tallystick.chain import balance_events, contracts
from tallystick.chain.events import ChainEvent, read_log
from tallystick.protocol.finding import Finding
from tallystick.protocol.strikes import Opinion, Outcome
from tallystick.protocol.units import Address, Atoms, Hash32, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditsEvent(ChainEvent):
    """One log of the audits' contract."""

    CONTRACT: ClassVar[str] = "Audits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed(AuditsEvent):
    block_number: int
    block_hash: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck(AuditsEvent):
    provider: Address
    auditor: Address
    receipt_hash: Hash32
    owner: Address
    draw_block: int
    finding: Finding
    count: int
    """Strikes against the provider that count now, whether they accuse or wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accused(AuditsEvent):
    id: Hash32
    provider: Address
    auditors: list[Address]
    """Whose strikes accuse, in the order of every ballot: of each the latest that it filed."""
    answer_by: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(AuditsEvent):
    id: Hash32
    provider: Address
    answerer: Address
    fee: Atoms
    draw_block: int
    reveal_from: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Summoned(AuditsEvent):
    id: Hash32
    provider: Address
    auditors: list[Address]


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed(AuditsEvent):
    id: Hash32
    auditor: Address
    ballot_hash: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed(AuditsEvent):
    id: Hash32
    auditor: Address
    opinions: list[Opinion]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded(AuditsEvent):
    id: Hash32
    provider: Address
    outcome: Outcome
    outcomes: list[Outcome]
    """Of each strike, in the order of `Accused`."""
    count: int
    """Strikes that count on."""
    slashed: Atoms
    rewarded: Atoms
    earned: Atoms
    burnt: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalised(AuditsEvent):
    id: Hash32
    auditor: Address
    amount: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Credited(balance_events.Credited, AuditsEvent):
    """Of a balance with this contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn(balance_events.Withdrawn, AuditsEvent):
    """From one."""


AUDIT_EVENTS: Final[Mapping[str, type[AuditsEvent]]] = {
    kind.__name__: kind
    for kind in (
        *(Sealed, Struck, Accused, Answered, Summoned),
        *(Committed, Revealed, Concluded, Penalised, Credited, Withdrawn),
    )
}


def read_audit_event(log: Mapping[str, Any]) -> ChainEvent | None:
    """A log as the node gives it; None where it is no event of the audits' contract; raises
    ChainUnavailable."""
    return read_log(log, contracts.audits(), AUDIT_EVENTS, READ)


def _finding(values: tuple[Any, ...]) -> Finding:
    """The contract's struct has the fields of the type string, in its order."""
    names = (field.name for field in fields(Finding))
    return Finding(**dict(zip(names, values, strict=True)))


READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "finding": _finding,
    "opinions": lambda values: [Opinion(value) for value in values],
    "outcome": Outcome,
    "outcomes": lambda values: [Outcome(value) for value in values],
    "auditors": list,
}
"""As `events.READ`."""
