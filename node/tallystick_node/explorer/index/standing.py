"""The rows as they are while blocks are folded into them, and what changes. Pure: it knows no event."""

from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from tallystick.chain.errors import ChainUnavailable
from tallystick_node.explorer.index.audit_rows import Accusation, AuditAccount
from tallystick_node.explorer.index.facts import Row
from tallystick_node.explorer.index.keyed import Balance, Key
from tallystick_node.explorer.index.rows import Account, Channel, Duel, DuelAccount, Provider, State

S = TypeVar("S", bound=State)
Place: TypeAlias = tuple[str, Key]
"""Table and key."""


@dataclass(slots=True)
class Totals:
    """Sums over all rows, as far as blocks were folded."""

    held: int = 0
    """Atoms that the asset's transfers have left with the market."""
    owed: int = 0
    """Atoms that the market's events have it owe."""
    locked: int = 0
    """Of `owed`: caps not settled."""
    staked: int = 0
    """Of `owed`: stake that is not on its way out."""
    duels_held: int = 0
    duels_owed: int = 0
    audits_held: int = 0
    audits_owed: int = 0


SUMS: Final = ("held", "owed", "duels_held", "duels_owed", "audits_held", "audits_owed")
"""Those that each block is told with."""


@dataclass(slots=True)
class Standing:
    """Rows as they are. It holds those that the blocks to come need, and perhaps more."""

    rows: dict[Place, State | None] = field(default_factory=dict)
    """None: there is no such row. What is missing was not looked up."""
    totals: Totals = field(default_factory=Totals)
    draws: set[int] = field(default_factory=set)
    """Blocks to come whose hashes draw judges or re-auditors."""

    def find(self, kind: type[S], key: Key) -> S | None:
        found = self.rows[kind.TABLE, key]
        assert found is None or isinstance(found, kind)
        return found


@dataclass(slots=True)
class Changes:
    """What one block brings."""

    added: dict[str, list[Row]] = field(default_factory=dict)
    """By table."""
    found: dict[Place, State | None] = field(default_factory=dict)
    """What was in each row that changed, before; None: there was no such row."""


def incoherent(what: str) -> ChainUnavailable:
    return ChainUnavailable(f"What the node tells does not add up: {what}.")


class Changing:
    """The rows while one block is folded."""

    def __init__(self, standing: Standing, block: int, timestamp: int):
        self.standing = standing
        self.changes = Changes()
        self.block = block
        self.timestamp = timestamp

    def put(self, row: State) -> None:
        """In the place of the one with its key; raises ChainUnavailable where no market can come to it."""
        table, key = row.TABLE, row.key
        before = self.standing.rows[table, key]
        if not row.is_sound:
            raise incoherent(f"{table} {key.hex()} in block {self.block}")
        self.changes.found.setdefault((table, key), before)
        self.standing.rows[table, key] = row
        totals = self.standing.totals
        owed = _owed(row) - _owed(before)
        match row:
            case Account() | Channel():
                totals.owed += owed
                totals.locked += owed if isinstance(row, Channel) else 0
            case Provider():
                assert before is None or isinstance(before, Provider)
                totals.owed += owed
                totals.staked += row.staked - (0 if before is None else before.staked)
            case Duel() | DuelAccount():
                totals.duels_owed += owed
            case Accusation() | AuditAccount():
                totals.audits_owed += owed

    def add(self, table: str, row: Row) -> None:
        self.changes.added.setdefault(table, []).append(row)

    def add_fraud(self, row: Row) -> bool:
        """Whether it is one more: what strikes cost is slashed in two parts, one behind the other."""
        rows = self.changes.added.setdefault("frauds", [])
        if rows and row["kind"] == "strikes" and row["evidence"] == rows[-1]["evidence"]:
            rows[-1] |= {name: rows[-1][name] + row[name] for name in ("reward", "burnt")}
            return False
        rows.append(row)
        return True

    def provider(self, address: bytes) -> Provider:
        found = self.standing.find(Provider, address)
        return found or Provider(address=address, first_block=self.block, last_block=self.block)


def _owed(row: State | None) -> int:
    """What a contract owes by it."""
    kinds = Account | Channel | Provider | Duel | Accusation | Balance
    return row.owed if isinstance(row, kinds) else 0
