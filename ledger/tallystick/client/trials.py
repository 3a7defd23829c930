"""A duel from two answers to its decision: opened on chain, put to the judges drawn, decided by their votes.

Two transactions of the payer's wallet, which pays their gas and the judges' fee. What may be spent is taken
out of the duels' budget before the duel is opened. Where a judge is silent the panel is summoned on chain,
and whoever comes after decides by what is revealed there. It runs in the duels' own thread, and blocks.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from tallystick.chain.duels import EMPTY_SEAT, Answer, CastVote, Committed, Duels, Status
from tallystick.chain.duels import Case as Shown
from tallystick.client.drivers import run_blocking
from tallystick.client.duel import Duel
from tallystick.client.judges import Heard, Judges, Vote
from tallystick.client.pairs import Pair
from tallystick.client.pools import Pools
from tallystick.protocol.case import Exhibit
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.units import Address, Atoms, to_hex
from tallystick.protocol.vote import Choice, duel_commitment

if TYPE_CHECKING:
    from tallystick.client.payer import Payer

_LOOK_S: Final = 1.0
_DRAWN_S: Final = 120.0
"""Seconds in which the block that draws the judges should have come; a duel whose judges nobody knows by then
is left to lapse."""
_LOG: Final = logging.getLogger("tallystick.client")


class Trials:
    """Of one payer, who is the challenger."""

    def __init__(self, pools: Pools, duels: Duels, wanted: Duel, over: Callable[[], bool] = lambda: False):
        """`over`: once it says so, no new duel is opened, and none is waited for."""
        self._pools = pools
        self._duels = duels
        self._wanted = wanted
        self._over = over
        self._payer: Payer
        self._judges: Judges

    def attend(self, payer: "Payer") -> None:
        self._payer, self._judges = payer, Judges(payer)

    def run(self, pair: Pair) -> None:
        """As far as the duel can go now: to its decision, if its judges vote in time.

        Raises
        ------
        TotalBudgetExceeded :
            There is no room for judges in the duels' budget. The pair stays as it is.
        PurseError :
            Another process has it.
        ChainError :
            The chain refused, or is away.
        """
        seats, pairs = self._wanted.judges, self._payer.purse.pairs
        fee = Atoms(max(self._wanted.fee, seats * self._duels.terms().minimum_fee))
        most = run_blocking(self._pools, self._judges.worst(pair.case, seats))
        pairs.open(pair, Atoms(fee + most), self._wanted.budget)
        self._open(pair, seats, fee)
        judged = self._judged(pair, most)
        if judged is not None:
            pairs.end(pair, Atoms(pair.cost + fee + judged))

    def go_on(self, pair: Pair) -> None:
        """With one that was opened before; errors as of `run`. What it has cost stays what it may."""
        match self._duels.duel(pair.duel).status:
            case Status.NONE:  # Its transaction was never mined.
                seats, terms = self._wanted.judges, self._duels.terms()
                self._open(pair, seats, Atoms(max(self._wanted.fee, seats * terms.minimum_fee)))
                return
            case Status.OPEN:
                most = run_blocking(self._pools, self._judges.worst(pair.case, self._wanted.judges))
                if self._judged(pair, most) is None:
                    return
            case Status.COMMITTING | Status.REVEALING:
                return
            case Status.COUNTING:
                self._duels.decide(pair.duel, shown_of(pair), [], known=pair.known, salt=pair.salt)
        self._payer.purse.pairs.end(pair, pair.cost)

    def _open(self, pair: Pair, seats: int, fee: Atoms) -> None:
        self._duels.approve(fee)
        first, second = (one.receipt.message.struct_hash() for one in (pair.case.first, pair.case.second))
        self._duels.open(duel_commitment(first, second, pair.case.hidden), seats=seats, fee=fee)

    def _judged(self, pair: Pair, most: Atoms) -> Atoms | None:
        """Once it is decided: what the judgements cost. None: its judges are not known in time, or not all
        have voted, and are summoned."""
        panel = self._panel(pair)
        if not panel:
            return None
        said = run_blocking(self._pools, self._judges.hear(pair.case, panel, most), over=self._over)
        shown, votes = shown_of(pair), said.all_of(panel)
        if votes is None:
            self._duels.summon(pair.duel, shown, _committed(said))
            _LOG.info("duel.summoned duel=%s", to_hex(pair.duel))
            return None
        cast = [EMPTY_SEAT if vote is None else _cast(vote) for vote in votes]
        self._duels.decide(pair.duel, shown, cast, known=pair.known, salt=pair.salt)
        _LOG.info("duel.decided duel=%s", to_hex(pair.duel))
        return said.cost

    def _panel(self, pair: Pair) -> Sequence[Address]:
        """Once it is drawn; empty: it was not in time."""
        until = time.monotonic() + _DRAWN_S
        first, second = pair.case.first.provider, pair.case.second.provider
        while not (panel := self._duels.panel(pair.duel, first, second)):
            if self._over() or time.monotonic() > until:
                break
            time.sleep(_LOOK_S)
        return panel


def shown_of(pair: Pair) -> Shown:
    """The case as the contract takes it."""
    first, second = (
        _answer(exhibit, key)
        for exhibit, key in zip((pair.case.first, pair.case.second), pair.channels, strict=True)
    )
    return Shown(first=first, second=second, body_hash=pair.case.body_hash, hidden=pair.case.hidden)


def _answer(exhibit: Exhibit, key: ChannelKey) -> Answer:
    return Answer(
        provider=exhibit.provider, session_key=key.session_key, epoch=key.epoch, receipt=exhibit.receipt
    )


def _cast(vote: Vote) -> CastVote:
    ballot = vote.ballot
    return CastVote(choice=Choice(ballot.choice), salt=ballot.salt, signature=vote.commitment.signature)


def _committed(said: Heard) -> list[Committed]:
    return [
        Committed(judge=judge, ballot_hash=signed.message.ballot_hash, signature=signed.signature)
        for judge, signed in said.commitments.items()
    ]
