"""The rows of audits that change, as `rows` has the others: strikes, accusations and what is owed by fees."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from tallystick_node.explorer.index.keyed import Addressed, Balance, Key

ADDRESS = 20
HASH = 32


def parted(packed: bytes, width: int) -> tuple[bytes, ...]:
    """Values of one width that stand behind one another."""
    return tuple(packed[at : at + width] for at in range(0, len(packed), width))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditAccount(Balance):
    TABLE: ClassVar[str] = "audit_accounts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One of an auditor. A receipt counts once, ever: its hash names the strike."""

    TABLE: ClassVar[str] = "strikes"
    receipt_hash: bytes
    provider: bytes
    auditor: bytes
    owner: bytes
    draw_block: int
    receipts_root: bytes
    receipt_count: int
    scales_hash: bytes
    check: int
    verdict: int
    tokens: int
    evidence: int
    found_at: int
    transaction_hash: bytes
    block: int
    log_index: int
    timestamp: int
    accusation: bytes | None = None
    outcome: int = 0
    lapsed: int = 0

    @property
    def key(self) -> Key:
        return self.receipt_hash

    @property
    def is_sound(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges(Addressed):
    """Strikes against a provider of which the contract may still make an accusation."""

    TABLE: ClassVar[str] = "charges"
    strikes: bytes = b""
    """Auditor and receipt hash of each, in the order in which they were filed."""
    accusation: bytes | None = None
    """The one that is under way."""

    @property
    def by_auditor(self) -> Iterator[tuple[bytes, bytes]]:
        """Auditors, with the receipt hashes that they struck for."""
        return ((entry[:ADDRESS], entry[ADDRESS:]) for entry in parted(self.strikes, ADDRESS + HASH))

    @property
    def is_sound(self) -> bool:
        return len(self.strikes) % (ADDRESS + HASH) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    TABLE: ClassVar[str] = "accusations"
    accusation: bytes
    provider: bytes
    strikes: bytes
    auditors: bytes
    accused_block: int
    accused_log_index: int
    accused_at: int
    answer_by: int
    answerer: bytes | None = None
    fee: int = 0
    draw_block: int = 0
    answered_block: int = 0
    answered_at: int = 0
    reveal_from: int = 0
    reauditors: bytes = b""
    committed: bytes = b""
    opinions: bytes = b""
    outcome: int = 0
    outcomes: bytes = b""
    slashed: int = 0
    rewarded: int = 0
    earned: int = 0
    burnt: int = 0
    concluded_block: int = 0
    concluded_at: int = 0

    @property
    def key(self) -> Key:
        return self.accusation

    @property
    def owed(self) -> int:
        """Its fee, until that has moved."""
        return 0 if self.concluded_block else self.fee

    @property
    def accusing(self) -> int:
        """Strikes that it rests on."""
        return len(self.strikes) // HASH

    @property
    def is_sound(self) -> bool:
        seats = len(self.reauditors) // ADDRESS
        return len(self.committed) == seats and len(self.opinions) == seats * self.accusing
