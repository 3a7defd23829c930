"""The audits' contract, read and written, as `Duels` is of the duels': `AuditPanels` of the ports.

Every method is one question or one transaction. Reads are at the newest block; writes need the market's
sender. It decides nothing: what auditors sign is `protocol.finding`'s, and what strikes cost
`protocol.strikes`'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from tallystick.chain import contracts
from tallystick.chain.draws import Drawing
from tallystick.chain.errors import ContractError, NoContract
from tallystick.chain.market import Market
from tallystick.chain.transaction import Mined
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.finding import Finding
from tallystick.protocol.lottery import Block
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.strikes import Opinion
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, Hash32, Timestamp


class Status(IntEnum):
    """What becomes of a provider's strikes, as the contract derives it."""

    NONE = 0
    ACCUSED = 1
    COMMITTING = 2
    REVEALING = 3
    DUE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    """What there is against a provider."""

    id: Hash32
    """That it has, or would have."""
    status: Status
    answerer: Address
    fee: Atoms
    draw_block: int
    """Its hash draws the re-auditors; zero while nobody has answered."""
    until: Timestamp
    """First second at which the status is over; zero where no clock ends it."""
    accusing: int
    """So many of its strikes, the first ones, accuse: a ballot has an opinion on each. Zero where nobody is
    accused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A strike that counts."""

    auditor: Address
    at: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Of a re-audit."""

    auditor: Address
    opinions: tuple[Opinion, ...]
    """One for each strike; none until it reveals."""
    ballot_hash: Hash32
    """Zero until it commits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """Everything that a strike rests on."""

    channel: ChannelKey
    receipt: Signed[Receipt]
    drawing: Drawing
    finding: Signed[Finding]

    def values(self) -> tuple[Any, ...]:
        key, receipt, finding = self.channel, self.receipt, self.finding
        return (
            (key.payer, key.provider, key.session_key, key.epoch),
            receipt.message.values(),
            receipt.signature,
            self.drawing.header,
            self.drawing.parent,
            finding.message.values(),
            finding.signature,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    seat: int
    """Its place among the re-auditors."""
    ballot_hash: Hash32
    signature: bytes
    """Of its `VoteCommitment` for the accusation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed:
    seat: int
    opinions: Sequence[Opinion]
    """One for each strike that accuses, in their order."""
    salt: Hash32


class Audits:
    """Of one market. Threads may share it."""

    def __init__(self, market: Market):
        """Raises NoContract where the deployment names none."""
        if market.deployment.audits is None:
            raise NoContract("This market's deployment names no audits.")
        self.market = market
        self.address = market.deployment.audits

    # ------------------------------------------------------------------------------ reads

    def auditors(self, receipt_hash: Hash32, provider: Address, block: Block) -> Sequence[Address]:
        """As `AuditPanels` says: who may strike the provider. Empty also where the chain has forgotten the
        block's hash."""
        try:
            drawn: Sequence[Address] = self._read("auditorsOf", receipt_hash, provider, block.number)[0]
        except ContractError as error:
            if error.name != "NoSeed":
                raise
            return ()
        return [auditor for auditor in drawn if auditor != ZERO_ADDRESS]

    def is_counted(self, receipt_hash: Hash32) -> bool:
        """Whether a strike was filed for the receipt."""
        return bool(self._read("isCounted", receipt_hash)[0])

    def strikes(self, provider: Address) -> Sequence[Struck]:
        """That count: first those that accuse, then those that wait for the next accusation."""
        auditors, times = self._read("strikesOf", provider)
        return [Struck(auditor=auditor, at=at) for auditor, at in zip(auditors, times, strict=True)]

    def accusation(self, provider: Address) -> Accusation:
        accusation, status, answerer, fee, draw_block, until, accusing = self._read("accusationOf", provider)
        return Accusation(
            id=accusation,
            status=Status(status),
            answerer=answerer,
            fee=Atoms(fee),
            draw_block=draw_block,
            until=until,
            accusing=accusing,
        )

    def reauditors(self, provider: Address) -> Sequence[Address]:
        """In the order of their seats, zero where one could not be filled; empty before they are drawn."""
        try:
            drawn: Sequence[Address] = self._read("reauditorsOf", provider)[0]
        except ContractError as error:
            if error.name != "NoSeed":
                raise
            return ()
        return drawn

    def seat(self, provider: Address, seat: int) -> Seat | None:
        """None before re-auditors are summoned."""
        auditor, opinions, ballot_hash = self._read("seatOf", provider, seat)
        if auditor == ZERO_ADDRESS:
            return None
        return Seat(auditor=auditor, opinions=tuple(map(Opinion, opinions)), ballot_hash=ballot_hash)

    def minimum_fee(self, strikes: int) -> Atoms:
        """For all re-auditors of an accusation of so many strikes together."""
        return Atoms(self._read("minimumFee", strikes)[0])

    def window_s(self) -> int:
        """For which a strike counts, and after a draw within which one has to be filed."""
        return int(self._read("window")[0])

    def balance_of(self, owner: Address) -> Atoms:
        """Earned, or come back, and not yet withdrawn."""
        return Atoms(self._read("balanceOf", owner)[0])

    # ------------------------------------------------------------------------------ strikes

    def seal(self, block: int) -> Mined:
        """Keeps its hash, before the chain forgets it."""
        return self._send("seal", block)

    def strike(self, exhibit: Exhibit) -> Mined:
        return self._send("strike", exhibit.values())

    # ------------------------------------------------------------------------------ accusations

    def approve(self, amount: Atoms) -> Mined | None:
        """Lets the audits take fees of `amount` in all; nothing is sent where they may already."""
        return self.market.approve(amount, spender=self.address)

    def answer(self, provider: Address, fee: Atoms) -> Mined:
        """The fee must be approved, but for what the sender's balance here holds."""
        return self._send("answer", provider, fee)

    def summon(self, provider: Address) -> Mined:
        return self._send("summon", provider)

    def commit(self, provider: Address, commitments: Sequence[Committed]) -> Mined:
        rows = [(one.seat, one.ballot_hash, one.signature) for one in commitments]
        return self._send("commit", provider, rows)

    def reveal(self, provider: Address, reveals: Sequence[Revealed]) -> Mined:
        rows = [(one.seat, list(map(int, one.opinions)), one.salt) for one in reveals]
        return self._send("reveal", provider, rows)

    def conclude(self, provider: Address) -> Mined:
        return self._send("conclude", provider)

    def withdraw(self, owner: Address | None = None) -> Mined:
        return self._send("withdraw", owner or self.market.sender.address)

    def _read(self, name: str, *values: Any) -> tuple[Any, ...]:
        return self.market.ask(contracts.audits(), self.address, name, *values)

    def _send(self, name: str, *values: Any) -> Mined:
        return self.market.sender.send(contracts.audits().call(self.address, name, *values))
