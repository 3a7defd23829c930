"""The rows that change as the market goes on, as values: one class a table, one field a column.

Rows that are only ever added are `facts`'. It knows no database.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, ClassVar, Final, TypeAlias, get_args

from tallystick_node.explorer.index.audit_rows import Accusation, AuditAccount, Charges, Strike
from tallystick_node.explorer.index.keyed import Addressed, Balance, Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Addressed):
    TABLE: ClassVar[str] = "accounts"
    free: int = 0
    exiting: int = 0
    deposited: int = 0
    exited: int = 0
    paid: int = 0
    exits_at: int = 0
    channels: int = 0
    first_block: int
    last_block: int

    @property
    def owed(self) -> int:
        """Its part of what the market owes."""
        return self.free + self.exiting

    @property
    def is_sound(self) -> bool:
        """Whether any market can come to it."""
        return min(self.free, self.exiting) >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider(Addressed):
    TABLE: ClassVar[str] = "providers"
    staked: int = 0
    exiting: int = 0
    balance: int = 0
    earned: int = 0
    withdrawn: int = 0
    slashed: int = 0
    exits_at: int = 0
    receipt_key: bytes | None = None
    minimum_sequence: int = 0
    offers: int = 0
    channels: int = 0
    settlements: int = 0
    slashes: int = 0
    duels_won: int = 0
    duels_lost: int = 0
    duels_tied: int = 0
    prizes_won: int = 0
    prizes_lost: int = 0
    penalties: int = 0
    first_block: int
    last_block: int

    @property
    def owed(self) -> int:
        return self.staked + self.exiting + self.balance

    @property
    def is_sound(self) -> bool:
        return min(self.exiting, self.balance) >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    TABLE: ClassVar[str] = "channels"
    channel_id: bytes
    payer: bytes
    provider: bytes
    session_key: bytes
    epoch: int
    cap: int
    settled: int = 0
    returned: int = 0
    settlements: int = 0
    opened_block: int
    opened_at: int
    closes_at: int = 0
    closed_block: int = 0
    closed_at: int = 0
    last_block: int

    @property
    def key(self) -> Key:
        return self.channel_id

    @property
    def owed(self) -> int:
        """What is locked in it."""
        return 0 if self.closed_block else self.cap - self.settled

    @property
    def is_sound(self) -> bool:
        return 0 <= self.settled <= self.cap


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    TABLE: ClassVar[str] = "hours"
    hour: int
    transactions: int = 0
    gas_used: int = 0
    settle_gas: int = 0
    settlements: int = 0
    opened: int = 0
    closed: int = 0
    fees: int = 0
    settled: int = 0
    deposited: int = 0
    locked: int = 0
    staked: int = 0
    offers: int = 0

    @property
    def key(self) -> Key:
        return hour_key(self.hour)

    @property
    def is_sound(self) -> bool:
        return min(self.settled, self.locked) >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHour:
    TABLE: ClassVar[str] = "provider_hours"
    provider: bytes
    hour: int
    settlements: int = 0
    paid: int = 0

    @property
    def key(self) -> Key:
        return provider_hour_key(self.provider, self.hour)

    @property
    def is_sound(self) -> bool:
        return self.paid >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """One panel: a duel's first, or its appeal's."""

    TABLE: ClassVar[str] = "duels"
    duel: bytes
    root: bytes
    challenger: bytes
    fee: int
    seats: int
    draw_block: int
    decide_by: int
    opened_block: int
    opened_log_index: int
    opened_at: int
    seed: bytes | None = None
    reveal_from: int = 0
    first_receipt: bytes | None = None
    second_receipt: bytes | None = None
    first: bytes | None = None
    second: bytes | None = None
    price: int = 0
    known: int = 0
    judges: bytes = b""
    choices: bytes = b""
    verdict: int = 0
    decided_block: int = 0
    decided_at: int = 0
    appeal_by: int = 0
    appealed: int = 0
    final_verdict: int = 0
    prize: int = 0
    to_winner: int = 0
    burnt: int = 0
    ended_block: int = 0
    ended_at: int = 0

    @property
    def key(self) -> Key:
        return self.duel

    @property
    def owed(self) -> int:
        """Its fee, until that has moved."""
        return 0 if self.ended_block else self.fee

    @property
    def is_sound(self) -> bool:
        return len(self.judges) == 20 * len(self.choices)


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelAccount(Balance):
    TABLE: ClassVar[str] = "duel_accounts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge(Addressed):
    TABLE: ClassVar[str] = "judges"
    owner: bytes
    slot: int
    enlisted_block: int
    weight: int = 0
    seats: int = 0
    agreed: int = 0
    silent: int = 0
    declined: int = 0
    earned: int = 0
    penalties: int = 0
    last_block: int

    @property
    def is_sound(self) -> bool:
        return self.slot > 0


State: TypeAlias = (
    Account
    | Provider
    | Channel
    | Hour
    | ProviderHour
    | Duel
    | DuelAccount
    | Judge
    | Strike
    | Charges
    | Accusation
    | AuditAccount
)

KINDS: Final[Mapping[str, type[State]]] = {kind.TABLE: kind for kind in get_args(State)}
"""By table."""


def hour_key(hour: int) -> Key:
    return hour.to_bytes(8, "big")


def provider_hour_key(provider: bytes, hour: int) -> Key:
    return provider + hour_key(hour)


def columns(row: State) -> dict[str, Any]:
    """As the table has them."""
    names, values = _COLUMNS[row.TABLE]
    return dict(zip(names, values(row), strict=True))


def _names(kind: type[State]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


_COLUMNS: Final = {table: (_names(kind), attrgetter(*_names(kind))) for table, kind in KINDS.items()}


def packed(row: State) -> dict[str, Any]:
    """As JSON: bytes in hex, numbers in decimal."""
    return {
        name: value.hex() if isinstance(value, bytes) else value if value is None else str(value)
        for name, value in columns(row).items()
    }


def unpacked(table: str, data: Mapping[str, Any]) -> State:
    """What `packed` wrote of a row of `table`."""
    kind = KINDS[table]
    return kind(**{field.name: _read(field.type, data[field.name]) for field in fields(kind)})


def _read(kind: Any, value: str | None) -> Any:
    if value is None:
        return None
    return int(value) if kind is int else bytes.fromhex(value)
