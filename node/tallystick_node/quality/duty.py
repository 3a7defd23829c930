"""What a judge owes the chain: a summoned one that says nothing loses a fee.

It commits to the ballot that it has, or declines where it was never shown the case; reveals when it is time;
and moves the money of split verdicts in which it has a part. What to do follows from the duel's status and
the ballots kept, so after a crash it is done again, and the contract passes over what it knows.
"""

from collections.abc import Callable
from typing import Final

import structlog

from tallystick.chain.docket import Docket, Split, Summons
from tallystick.chain.duels import FINAL, Committed, Duels, Status
from tallystick.chain.errors import ChainError, ContractError
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_HASH, Address, Hash32, Timestamp, to_hex
from tallystick.protocol.vote import VoteCommitment
from tallystick_node.store.records import BallotCast

SEAT_S: Final = 60
"""Seconds that each seat leaves to those before it, to move the money: one transaction is enough."""

log = structlog.get_logger("tallystick.judge")


class Duty:
    """Of one provider. Synchronous, and slow: it asks the chain."""

    def __init__(
        self,
        *,
        provider: Address,
        key: Key,
        domain: Domain,
        duels: Duels,
    ):
        self._provider = provider
        self._key = key
        self._domain = domain
        self._duels = duels
        self._docket = Docket(duels)
        self._summoned: dict[Hash32, Summons] = {}
        self._split: dict[Hash32, Split] = {}
        self._said: set[tuple[Hash32, Status]] = set()
        """What was sent, and in which status."""

    def step(self, ballot: Callable[[Hash32], BallotCast | None], *, clear: bool) -> None:
        """Reads on, and does what is due. `ballot`: that was cast in a duel; `clear`: nothing else of this
        key's is on its way. Where something is, what is sent next may take its place, so only what has half
        of its time left, or less, is sent. Raises ChainError, once it has tried all."""
        head = self._duels.market.head()
        failure: ChainError | None = None
        try:
            self._read(head.number)
        except ChainError as error:
            failure = error
        for duel in (*self._summoned, *self._split):
            try:
                if (summons := self._summoned.get(duel)) is not None:
                    self._answer(summons, ballot(duel), head.timestamp, clear)
                if clear and (split := self._split.get(duel)) is not None:
                    self._settle(split, head.timestamp)
            except ChainError as error:
                failure = error
        if failure is not None:
            raise failure

    def _read(self, head: int) -> None:
        for told in self._docket.news(head):
            if isinstance(told, Summons) and self._provider in told.judges:
                self._summoned[told.duel] = told
            if isinstance(told, Split) and self._provider in told.ruling.judges:
                self._split[told.ruling.duel] = told

    def _answer(self, summons: Summons, cast: BallotCast | None, now: Timestamp, clear: bool) -> None:
        status = self._duels.duel(summons.duel).status
        if status not in (Status.COMMITTING, Status.REVEALING):
            del self._summoned[summons.duel]
            return
        if (summons.duel, status) in self._said:
            return
        commits, period_s = status is Status.COMMITTING, self._duels.terms().period_s
        until = summons.reveal_from if commits else summons.reveal_from + period_s
        may_be_shown = commits and cast is None
        if now < until - period_s // 2 and (may_be_shown or not clear):
            return
        try:
            if commits:
                self._commit(summons.duel, ZERO_HASH if cast is None else cast.ballot.struct_hash())
            elif cast is not None:
                self._duels.reveal_ballot(cast.ballot)
        except ContractError as error:
            # A case that was shown after this judge had declined has a ballot too, and no seat for it.
            if error.name not in FINAL:
                raise
            log.info("judge.refused", duel=to_hex(summons.duel), error=error.name)
        self._said.add((summons.duel, status))

    def _commit(self, duel: Hash32, ballot_hash: Hash32) -> None:
        commitment = VoteCommitment(duel=duel, judge=self._provider, ballot_hash=ballot_hash)
        signature = sign(commitment, self._domain, self._key).signature
        self._duels.commit(
            duel, [Committed(judge=self._provider, ballot_hash=ballot_hash, signature=signature)]
        )

    def _settle(self, split: Split, now: Timestamp) -> None:
        duel = split.ruling.duel
        if now < split.appeal_by + SEAT_S * list(split.ruling.judges).index(self._provider):
            return
        status = self._duels.duel(duel).status
        if status is Status.SETTLEABLE:
            self._duels.settle([split.ruling])
        if status is not Status.APPEALABLE:
            del self._split[duel]
