"""What stands against one provider of a made market, and what a strike of it rests on: a receipt that a block
draws, an auditor that the block draws too, and its finding, each signed.

It moves no money.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tallystick.chain.audits import Exhibit, Status
from tallystick.chain.draws import Drawing
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain, named
from tallystick.protocol.finding import Check, Finding, Verdict
from tallystick.protocol.lottery import is_drawn
from tallystick.protocol.merkle import root
from tallystick.protocol.offer import Offer
from tallystick.protocol.panel import Candidate, drawn
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.strikes import AUDITORS, STRIKES, Opinion, Said, accusation_id
from tallystick.protocol.units import Address, Atoms, ChannelId, Hash32, Milliseconds, Tokens

PERIOD_S: Final = 1_800
WINDOW_S: Final = 8 * 3_600
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """A strike that counts."""

    receipt_hash: Hash32
    auditor: Address
    at: int
    staked: Atoms
    """By its auditor, then."""


@dataclass(slots=True)
class Case:
    """Against one provider."""

    provider: Address
    strikes: list[Filed] = field(default_factory=list)
    """Those that accuse first."""
    number: int = 0
    """Accusations that were concluded."""
    accusing: int = 0
    accused_at: int = 0
    is_cheat: bool = False
    """What most re-auditors find."""
    answers: bool = True
    fee: Atoms = Atoms(0)
    answered_at: int = 0
    draw_block: int = 0
    draw_hash: Hash32 | None = None
    candidates: Sequence[Candidate] = ()
    """At the end of the block that answered."""
    seats: tuple[Address, ...] = ()
    ballots: dict[Address, tuple[Sequence[Opinion], Hash32]] = field(default_factory=dict)
    """Opinions and salts of those who committed."""
    revealed: set[Address] = field(default_factory=set)

    @property
    def id(self) -> Hash32:
        return accusation_id(self.provider, self.number)

    @property
    def accusers(self) -> list[Address]:
        return [strike.auditor for strike in self.strikes[: self.accusing]]

    @property
    def reveal_from(self) -> int:
        return self.answered_at + 2 * PERIOD_S

    @property
    def said(self) -> list[Said]:
        return [
            None if not any(seat) else self.ballots[seat][0] if seat in self.revealed else ()
            for seat in self.seats
        ]

    def status(self, now: int) -> Status:
        if not self.accused_at:
            return Status.NONE
        if not self.answered_at:
            return Status.ACCUSED if now < self.accused_at + PERIOD_S else Status.DUE
        if now < self.reveal_from:
            return Status.COMMITTING
        return Status.REVEALING if now < self.reveal_from + PERIOD_S else Status.DUE

    def age(self, now: int) -> None:
        """Drops what is too old and does not accuse."""
        waiting = [strike for strike in self.strikes[self.accusing :] if strike.at + WINDOW_S > now]
        self.strikes[self.accusing :] = waiting

    def accuse(self, now: int, rng: Random) -> bool:
        if self.accused_at or len(self.strikes) < STRIKES:
            return False
        self.accused_at, self.accusing = now, len(self.strikes)
        self.is_cheat, self.answers = rng.random() < 0.5, rng.random() < 0.85
        return True

    def end(self, kept: Sequence[Filed]) -> None:
        """These strikes outlast it."""
        self.strikes = list(kept)
        self.number += 1
        self.accusing = self.accused_at = self.answered_at = self.draw_block = 0
        self.fee, self.draw_hash, self.candidates, self.seats = Atoms(0), None, (), ()
        self.ballots, self.revealed = {}, set()


def made_receipt(offer: Offer, channel: ChannelId, settled: int, finished_at: int, rng: Random) -> Receipt:
    """Of a channel that settled so much. `finished_at`: unix seconds."""
    input_tokens, output_tokens = Tokens(rng.randint(20, 4_000)), Tokens(rng.randint(40, 900))
    cost = cost_up(offer, input_tokens=input_tokens, cached_input_tokens=0, output_tokens=output_tokens)
    milliseconds = 1_000 * finished_at
    return Receipt(
        channel_id=channel,
        sequence=rng.randint(0, 9),
        offer_hash=offer.struct_hash(),
        request_hash=Hash32(rng.randbytes(32)),
        response_hash=Hash32(rng.randbytes(32)),
        tokens_hash=Hash32(rng.randbytes(32)),
        input_tokens=input_tokens,
        cached_input_tokens=Tokens(0),
        output_tokens=output_tokens,
        finish=Finish.STOP,
        received_at=Milliseconds(milliseconds - 5_000),
        first_token_at=Milliseconds(milliseconds - 4_700),
        finished_at=Milliseconds(milliseconds),
        cost=cost,
        cumulative_cost=Atoms(settled + cost),
    )


def drawn_auditors(
    drawing: Drawing, receipt: Receipt, candidates: Sequence[Candidate], provider: Address
) -> Sequence[Address]:
    """Who may strike for it; nobody where the block does not draw it. `candidates`: at the end of the block
    before."""
    receipt_hash, block_hash = receipt.struct_hash(), drawing.block.hash
    if not is_drawn(block_hash, receipt_hash, receipt.sequence):
        return ()
    seats = drawn(named(b"auditors", block_hash, receipt_hash), AUDITORS, candidates, [provider])
    return [auditor for auditor in seats if any(auditor)]


def exhibit(
    channel: ChannelKey,
    receipt: Receipt,
    drawing: Drawing,
    auditor: Address,
    *,
    keys: tuple[Key, Key],
    domain: Domain,
    found_at: int,
    rng: Random,
) -> Exhibit:
    """`keys`: the provider's and the auditor's."""
    receipt_hash = receipt.struct_hash()
    finding = Finding(
        auditor=auditor,
        provider=channel.provider,
        receipt_hash=receipt_hash,
        receipts_root=root([receipt_hash]),
        receipt_count=1,
        scales_hash=Hash32(bytes([7]) * 32),
        check=rng.choice((Check.COUNTS, Check.RANK, Check.REPLAY, Check.LOGPROB)),
        verdict=Verdict.STRIKE,
        tokens=receipt.output_tokens,
        evidence=rng.randint(14 * _MILLION, 90 * _MILLION),
        found_at=Milliseconds(1_000 * found_at),
    )
    signed: Signed[Receipt] = sign(receipt, domain, keys[0]).signed
    return Exhibit(
        channel=channel, receipt=signed, drawing=drawing, finding=sign(finding, domain, keys[1]).signed
    )
