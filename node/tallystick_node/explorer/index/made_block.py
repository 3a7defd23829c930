"""Writes blocks of a market that never was: hashes, transactions, what they log. It knows no trade."""

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import Any, Final, TypeAlias

from tallystick.chain.deployment import Deployment
from tallystick.chain.events import ChainEvent
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Address, Hash32
from tallystick_node.explorer.index.facts import MarketBlock, Transaction, call_name

START: Final = 1_750_000_000
"""Unix seconds of the first block."""
MARKET: Final = Address(b"\xaa" * 20)
DUELS: Final = Address(b"\xad" * 20)
AUDITS: Final = Address(b"\xae" * 20)
DEPLOYMENT: Final = Deployment(
    chain_id=31337,
    market=MARKET,
    asset=Address(b"\xab" * 20),
    lens=Address(b"\xac" * 20),
    block=1,
    duels=DUELS,
    audits=AUDITS,
)

Told: TypeAlias = tuple[type[ChainEvent], dict[str, Any]]
"""A kind of event and its fields."""


class BlockMaker:
    """One chain's, block after block."""

    def __init__(self, seed: int, pace_s: int):
        """`pace_s`: what blocks are apart, on average."""
        self.rng = Random(seed)
        self.time = START
        """Unix seconds of the newest block."""
        self._seed = seed
        self._pace_s = pace_s
        self._number = 0
        self._parent = Hash32(bytes(32))
        """Hash of the newest block."""
        self._headers = b"", b""
        """What the newest two blocks' hashes are of, the newest last."""
        self._salt = 0
        self._begin()

    def part_ways(self, seed: int) -> None:
        """What comes now comes on another chain."""
        self._seed = seed
        self.rng = Random(seed)

    def _begin(self) -> None:
        self._events: list[ChainEvent] = []
        self._transactions: list[Transaction] = []
        self._received = self._sent = self._transfers = self._logs = 0
        self._duels_received = self._duels_sent = self._audits_received = self._audits_sent = 0
        self.coming = self.time + self.rng.randint(1, 2 * self._pace_s)
        """Unix seconds of the block that is being filled."""

    @property
    def sent(self) -> int:
        """Transactions since the newest block."""
        return len(self._transactions)

    def mined(self) -> MarketBlock:
        """All that was sent since the one before."""
        self._number += 1
        self._headers = self._headers[1], self.hash()
        parent, self._parent = self._parent, keccak(self._headers[1])
        self.time = self.coming
        block = MarketBlock(
            number=self._number,
            hash=self._parent,
            parent=parent,
            timestamp=self.time,
            base_fee=self.rng.randint(5, 60) * 10**7,
            gas_used=sum(item.gas_used for item in self._transactions),
            transactions=tuple(self._transactions),
            events=tuple(self._events),
            transfers=self._transfers,
            received=self._received,
            sent=self._sent,
            duels_received=self._duels_received,
            duels_sent=self._duels_sent,
            audits_received=self._audits_received,
            audits_sent=self._audits_sent,
        )
        self._begin()
        return block

    def hash(self) -> Hash32:
        self._salt += 1
        return Hash32(blake2b(f"{self._seed} {self._salt}".encode(), digest_size=32).digest())

    def address(self) -> Address:
        return Address(self.hash()[:20])

    def transact(
        self,
        sender: Address,
        data: bytes,
        events: Sequence[Told] = (),
        *,
        gas: int,
        error: str | None = None,
        to: Address = MARKET,
    ) -> None:
        """One transaction to the market, its duels or its audits, and what it logs."""
        transaction = self.hash()
        for kind, values in events:
            number = self._number + 1
            self._events.append(kind(block=number, log_index=self._logs, transaction=transaction, **values))
            self._logs += 1
        self._transactions.append(
            Transaction(
                position=len(self._transactions),
                hash=transaction,
                sender=sender,
                recipient=to,
                call=call_name(to, DEPLOYMENT, data),
                input=data,
                succeeded=error is None,
                error=error,
                gas_used=gas + self.rng.randint(0, 2_000),
                gas_price=self.rng.randint(6, 90) * 10**7,
            )
        )

    def moves(self, atoms: int) -> None:
        """The asset to the market; from it where negative. Each is a log of the asset's own."""
        self._transfers += 1
        self._logs += 1
        self._received += max(0, atoms)
        self._sent += max(0, -atoms)

    def duels_move(self, atoms: int) -> None:
        """The same of the duels."""
        self._transfers += 1
        self._logs += 1
        self._duels_received += max(0, atoms)
        self._duels_sent += max(0, -atoms)

    def awarded(self, atoms: int) -> None:
        """From the market to the duels."""
        self._transfers += 1
        self._logs += 1
        self._sent += atoms
        self._duels_received += atoms

    def audits_move(self, atoms: int) -> None:
        """As of the duels."""
        self._transfers += 1
        self._logs += 1
        self._audits_received += max(0, atoms)
        self._audits_sent += max(0, -atoms)

    def rewarded(self, atoms: int) -> None:
        """From the market to the audits."""
        self._transfers += 1
        self._logs += 1
        self._sent += atoms
        self._audits_received += atoms
