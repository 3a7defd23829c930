"""The duels' contract, read and written, as `Market` is of the market's: `Panels` of the ports.

Every method is one question or one transaction. Reads are at the newest block; writes need the market's
sender. It decides nothing: what judges sign is `tallystick.protocol.vote`'s, and what a duel moves is
`tallystick.protocol.duel`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.errors import ContractError, NoContract
from tallystick.chain.market import Market
from tallystick.chain.transaction import Mined
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Address, Atoms, Hash32, Timestamp
from tallystick.protocol.vote import Ballot, Choice


class Status(IntEnum):
    """What a duel is doing, as the contract derives it: `IDuels.sol` says what each allows."""

    NONE = 0
    OPEN = 1
    COMMITTING = 2
    REVEALING = 3
    COUNTING = 4
    APPEALABLE = 5
    APPEALED = 6
    SETTLEABLE = 7
    ENDED = 8
    LAPSED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """As it stands."""

    status: Status
    challenger: Address
    fee: Atoms
    seats: int
    draw_block: int
    """Its hash draws the judges: they are known once the chain is beyond it."""
    until: Timestamp
    """First second at which the status is over; zero where no clock ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    owner: Address
    weight: Atoms
    """What draws go by: its stake when it was last told."""
    slot: int
    """From 1; zero: it never enlisted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    minimum_fee: Atoms
    """For each judge."""
    period_s: int
    """For each step of each party."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One duellist's: the last receipt of it, on a channel of the challenger's."""

    provider: Address
    session_key: Address
    epoch: int
    receipt: Signed[Receipt]

    def values(self) -> tuple[Any, ...]:
        receipt = self.receipt
        return self.provider, self.session_key, self.epoch, receipt.message.values(), receipt.signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a duel commits to."""

    first: Answer
    second: Answer
    body_hash: Hash32
    hidden: Hash32

    def values(self) -> tuple[Any, ...]:
        return self.first.values(), self.second.values(), self.body_hash, self.hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class CastVote:
    """One judge's, where all have voted."""

    choice: Choice
    salt: Hash32
    signature: bytes
    """Of its commitment."""


FINAL: Final = frozenset(
    (
        *("WrongCase", "WrongHidden", "WrongChannel", "WrongRequest", "OneProvider", "ReceiptUsed"),
        *("NotReceiptKey", "NotDrawn", "NotAChoice", "VotesMismatch", "WrongSubject", "WrongBallot"),
    )
)
"""Refusals that the same case, or the same votes, meet for ever. Of others a node may think better, or the
duel's status says what is left to do."""

EMPTY_SEAT = CastVote(choice=Choice.NONE, salt=Hash32(bytes(32)), signature=b"")
"""In the place of a vote where nobody could be drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    judge: Address
    ballot_hash: Hash32
    """Zero: it declines."""
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed:
    judge: Address
    choice: Choice
    salt: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What one panel said, as the event `Decided` has it."""

    duel: Hash32
    first: Address
    second: Address
    price: Atoms
    known: Choice
    judges: Sequence[Address]
    choices: Sequence[Choice]

    def values(self) -> tuple[Any, ...]:
        judges, choices = list(self.judges), list(map(int, self.choices))
        return self.duel, self.first, self.second, self.price, int(self.known), judges, choices


class Duels:
    """Of one market. Threads may share it."""

    def __init__(self, market: Market):
        """Raises NoContract where the deployment names none."""
        if market.deployment.duels is None:
            raise NoContract("This market's deployment names no duels.")
        self.market = market
        self.address = market.deployment.duels

    # ------------------------------------------------------------------------------ reads

    def duel(self, duel: Hash32) -> Duel:
        status, challenger, fee, seats, draw_block, until = self._read("duelOf", duel)
        return Duel(
            status=Status(status),
            challenger=challenger,
            fee=fee,
            seats=seats,
            draw_block=draw_block,
            until=until,
        )

    def panel(self, duel: Hash32, first: Address, second: Address) -> Sequence[Address]:
        """In the order of the seats, zero where one could not be filled; empty where there is no such duel,
        or its judges are not drawn yet, or the chain forgot the hash that draws them."""
        try:
            drawn: Sequence[Address] = self._read("panelOf", duel, first, second)[0]
        except ContractError as error:
            if error.name not in ("NoSeed", "WrongStatus"):
                raise
            return ()
        return drawn

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        return self.market.is_receipt_key(provider, key)

    def judge(self, provider: Address) -> Judge:
        owner, weight, slot = self._read("judgeOf", provider)
        return Judge(owner=owner, weight=weight, slot=slot)

    def is_used(self, receipt_hash: Hash32) -> bool:
        """Whether a receipt was judged, or is being."""
        return bool(self._read("isUsed", receipt_hash)[0])

    def balance_of(self, owner: Address) -> Atoms:
        """Earned, or come back, and not yet withdrawn."""
        return Atoms(self._read("balanceOf", owner)[0])

    def terms(self) -> Terms:
        return Terms(minimum_fee=self._read("minimumFee")[0], period_s=self._read("period")[0])

    # ------------------------------------------------------------------------------ judges

    def consent(self, provider: Address) -> Mined:
        """That the provider names the sender as its owner."""
        return self._send("consent", provider)

    def enlist(self, owner: Address | None = None) -> Mined:
        return self._send("enlist", owner or self.market.sender.address)

    def retire(self) -> Mined:
        return self._send("retire")

    def refresh(self, judge: Address) -> Mined:
        return self._send("refresh", judge)

    # ------------------------------------------------------------------------------ duels

    def approve(self, amount: Atoms, *, standing: Atoms = Atoms(0)) -> Mined | None:
        """Lets the duels take fees of `amount` in all, what they hold of the sender's first; nothing is sent
        where they may already. `standing`: as of the market's."""
        missing = Atoms(amount - self.balance_of(self.market.sender.address))
        if missing <= 0:
            return None
        return self.market.approve(missing, spender=self.address, standing=standing)

    def open(self, commitment: Hash32, *, seats: int, fee: Atoms) -> Mined:
        """The fee must be approved, but for what the sender's balance here holds."""
        return self._send("open", commitment, seats, fee)

    def seal(self, duel: Hash32) -> Mined:
        return self._send("seal", duel)

    def decide(
        self,
        duel: Hash32,
        case: Case,
        votes: Sequence[CastVote],
        *,
        known: Choice = Choice.NONE,
        salt: Hash32,
    ) -> Mined:
        """By all votes, in the panel's order, or, with none, by what was revealed on chain."""
        return self._send("decide", duel, case.values(), int(known), salt, _votes(votes))

    def decide_appeal(self, case: Case, votes: Sequence[CastVote], before: Ruling) -> Mined:
        return self._send("decideAppeal", case.values(), _votes(votes), before.values())

    def summon(self, duel: Hash32, case: Case, commitments: Sequence[Committed]) -> Mined:
        return self._send("summon", duel, case.values(), _commitments(commitments))

    def commit(self, duel: Hash32, commitments: Sequence[Committed]) -> Mined:
        return self._send("commit", duel, _commitments(commitments))

    def reveal(self, duel: Hash32, case: Case, reveals: Sequence[Revealed]) -> Mined:
        answers = (case.first.receipt.message.response_hash, case.second.receipt.message.response_hash)
        rows = [(one.judge, int(one.choice), one.salt) for one in reveals]
        return self._send("reveal", duel, (case.body_hash, *answers), rows)

    def reveal_ballot(self, ballot: Ballot) -> Mined:
        """A judge's own, of which it knows what it is about without the case."""
        subject = (ballot.body_hash, ballot.first_response_hash, ballot.second_response_hash)
        return self._send("reveal", ballot.duel, subject, [(ballot.judge, ballot.choice, ballot.salt)])

    def appeal(self, ruling: Ruling, fee: Atoms) -> Mined:
        return self._send("appeal", ruling.values(), fee)

    def settle(self, rulings: Sequence[Ruling]) -> Mined:
        """Those that are not ready are passed over."""
        return self._send("settle", [ruling.values() for ruling in rulings])

    def expire(self, duel: Hash32) -> Mined:
        return self._send("expire", duel)

    def withdraw(self, owner: Address | None = None) -> Mined:
        return self._send("withdraw", owner or self.market.sender.address)

    def _read(self, name: str, *values: Any) -> tuple[Any, ...]:
        return self.market.ask(contracts.duels(), self.address, name, *values)

    def _send(self, name: str, *values: Any) -> Mined:
        return self.market.sender.send(contracts.duels().call(self.address, name, *values))


def _votes(votes: Sequence[CastVote]) -> list[tuple[Any, ...]]:
    return [(int(vote.choice), vote.salt, vote.signature) for vote in votes]


def _commitments(commitments: Sequence[Committed]) -> list[tuple[Any, ...]]:
    return [(one.judge, one.ballot_hash, one.signature) for one in commitments]
