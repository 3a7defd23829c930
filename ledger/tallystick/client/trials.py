"""A duel from two answers to its decision: opened on chain, put to the judges drawn, decided by their votes,
and appealed where its payer thinks the verdict wrong and wants that.

Two transactions of the payer's wallet, and two more for an appeal; before the first of all a third, which
lets the contract take fees up to the duels' whole budget. The wallet pays their gas and the judges' fees, out
of what came back of earlier ones first. What may be spent is taken out of the duels' budget before the duel
is opened, or appealed. Where a judge is silent the panel is summoned on chain, and whoever comes after
decides by what is revealed there. It runs in the duels' own thread, and blocks."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tallystick.chain.duels import EMPTY_SEAT, Answer, CastVote, Committed, Duels, Ruling, Status
from tallystick.chain.duels import Case as Shown
from tallystick.chain.duels import Duel as On
from tallystick.chain.verdicts import rulings
from tallystick.client.drivers import run_blocking
from tallystick.client.duel import Duel
from tallystick.client.errors import TotalBudgetExceeded
from tallystick.client.judges import Heard, Judges, Vote
from tallystick.client.pairs import Pair
from tallystick.client.pools import Pools
from tallystick.protocol.case import Case, Exhibit, read_body
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.duel import verdict as verdict_of
from tallystick.protocol.judging import answer_of, question_of
from tallystick.protocol.units import Address, Atoms, to_hex
from tallystick.protocol.vote import Choice, choice_of, duel_commitment, vote_of_choice

if TYPE_CHECKING:
    from tallystick.client.payer import Payer

_LOOK_S: Final = 1.0
_DRAWN_S: Final = 120.0
"""Seconds in which the block that draws the judges should have come; a duel whose judges nobody knows by then
is left to lapse."""
_LOG: Final = logging.getLogger("tallystick.client")
_Decides = Callable[[Shown, Sequence[CastVote]], object]
"""Puts votes on chain; without any, those that were revealed there count."""


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
        fee, most = self._begin(pair)
        judged = self._judged(pair.case, self._drawn(pair.case), most, shown_of(pair), self._decides(pair))
        if judged is not None:
            self._conclude(pair, Atoms(pair.cost + fee + judged))

    def _begin(self, pair: Pair) -> tuple[Atoms, Atoms]:
        """The fee, and what the judges may cost: both taken out of the budget, also where that was done
        before and nothing was sent."""
        seats = self._wanted.judges
        fee = Atoms(max(self._wanted.fee, seats * self._duels.terms().minimum_fee))
        most = run_blocking(self._pools, self._judges.worst(pair.case, seats))
        self._payer.purse.pairs.open(pair, Atoms(fee + most), self._wanted.budget)
        self._open(pair, seats, fee)
        return fee, most

    def go_on(self, pair: Pair, *, buys: bool = True) -> None:
        """With one that was opened before, as far as it goes without waiting; errors as of `run`. What it has
        cost stays what it may. `buys`: else nothing is spent, but for gas."""
        if pair.state == "appealed":
            self._go_on_appealing(pair, buys=buys)
            return
        cost = pair.cost
        match self._duels.duel(pair.duel):
            case On(status=Status.NONE):  # Its transaction was never mined.
                if buys:
                    self._begin(pair)
                return
            case On(status=Status.OPEN, seats=seats):
                judged = self._judged_anew(pair, pair.case, seats, self._decides(pair)) if buys else None
                if judged is None:
                    return
                cost = Atoms(cost + judged)
            case On(status=Status.COMMITTING | Status.REVEALING):
                return
            case On(status=Status.COUNTING):
                self._decides(pair)(shown_of(pair), [])
        self._conclude(pair, cost)

    def _open(self, pair: Pair, seats: int, fee: Atoms) -> None:
        self._duels.approve(fee, standing=Atoms(self._wanted.budget))
        first, second = (one.receipt.message.struct_hash() for one in (pair.case.first, pair.case.second))
        self._duels.open(duel_commitment(first, second, pair.case.hidden), seats=seats, fee=fee)

    def _decides(self, pair: Pair) -> _Decides:
        def decide(shown: Shown, votes: Sequence[CastVote]) -> object:
            return self._duels.decide(pair.duel, shown, votes, known=pair.known, salt=pair.salt)

        return decide

    # ------------------------------------------------------------------------------------------- the appeal

    def _conclude(self, pair: Pair, cost: Atoms) -> None:
        """It is decided, or lapsed, and came to `cost` so far."""
        ruling = self._ruling(pair)
        if ruling is None:
            self._payer.purse.pairs.end(pair, cost)
            return
        verdict = _verdict(ruling)
        if self._duels.duel(pair.duel).status is Status.APPEALABLE and self._thinks_wrong(pair, verdict):
            self._appeal(pair, ruling, cost)
        else:
            self._payer.purse.pairs.end(pair, cost, verdict)

    def _thinks_wrong(self, pair: Pair, verdict: Choice) -> bool:
        question = question_of(read_body(pair.case.body))
        first, second = (answer_of(one.payloads) for one in (pair.case.first, pair.case.second))
        return self._wanted.thinks_wrong(question, first, second, verdict=verdict, known=pair.known)

    def _appeal(self, pair: Pair, ruling: Ruling, cost: Atoms) -> None:
        """Raises TotalBudgetExceeded where there is no room for it; the verdict stands then."""
        pairs = self._payer.purse.pairs
        fee = self._appeal_fee(pair)
        seats = 2 * self._duels.duel(pair.duel).seats + 1
        most = run_blocking(self._pools, self._judges.worst(pair.case, seats))
        try:
            pairs.appeal(pair, cost, Atoms(fee + most), self._wanted.budget)
        except TotalBudgetExceeded:
            pairs.end(pair, cost, _verdict(ruling))
            return
        self._duels.approve(fee, standing=Atoms(self._wanted.budget))
        self._duels.appeal(ruling, fee)
        case = _appealed(pair)
        judged = self._judged(case, self._drawn(case), most, shown_of(pair), self._decides_appeal(ruling))
        if judged is not None:
            pairs.end(pair, Atoms(cost + fee + judged), self._final(pair, ruling))

    def _appeal_fee(self, pair: Pair) -> Atoms:
        """Each seat's part of it is the same as before."""
        duel = self._duels.duel(pair.duel)
        return Atoms((2 * duel.seats + 1) * (duel.fee // duel.seats))

    def _go_on_appealing(self, pair: Pair, *, buys: bool) -> None:
        ruling, case = self._ruling(pair), _appealed(pair)
        assert ruling is not None  # or there were nothing to appeal
        its = self._duels.duel(case.duel)
        status, cost = its.status, pair.cost
        if status is Status.NONE and self._duels.duel(pair.duel).status is Status.APPEALABLE:
            if buys:
                fee = self._appeal_fee(
                    pair
                )  # Its transaction was never mined; the chain fixes what it costs.
                self._duels.approve(fee, standing=Atoms(self._wanted.budget))
                self._duels.appeal(ruling, fee)
            return
        if status in (Status.COMMITTING, Status.REVEALING):
            return
        decides = self._decides_appeal(ruling)
        if status is Status.OPEN:
            judged = self._judged_anew(pair, case, its.seats, decides) if buys else None
            if judged is None:
                return
            cost = Atoms(cost + judged)
        elif status is Status.COUNTING:
            decides(shown_of(pair), [])
        self._payer.purse.pairs.end(pair, cost, self._final(pair, ruling))

    def _decides_appeal(self, before: Ruling) -> _Decides:
        return lambda shown, votes: self._duels.decide_appeal(shown, votes, before)

    def _ruling(self, pair: Pair) -> Ruling | None:
        """Of its first panel; None: it has not said anything."""
        found = rulings(self._duels, pair.duel)
        return found[-1] if found else None

    def _final(self, pair: Pair, before: Ruling) -> Choice:
        """What counts: the appeal's verdict, or the first one where the appeal lapsed."""
        found = rulings(self._duels, _appealed(pair).duel)
        return _verdict(found[-1] if found else before)

    # ------------------------------------------------------------------------------------------- the judges

    def _judged_anew(self, pair: Pair, case: Case, seats: int, decides: _Decides) -> Atoms | None:
        """As `_judged`. What judges were paid before, nobody knows for sure: what they may cost now is taken
        out of the budget beside, and where it has no room the panel is summoned: those that judged say so."""
        panel, pairs = self._panel(case), self._payer.purse.pairs
        if not panel:
            return None
        most = run_blocking(self._pools, self._judges.worst(pair.case, seats))
        try:
            pairs.add(pair, most, self._wanted.budget)
        except TotalBudgetExceeded:
            most = Atoms(0)
        return self._judged(case, panel, most, shown_of(pair), decides)

    def _judged(
        self, case: Case, panel: Sequence[Address], most: Atoms, shown: Shown, decides: _Decides
    ) -> Atoms | None:
        """Once it is decided: what the judgements cost. None: its judges are not known, or not all have
        voted, and are summoned."""
        if not panel:
            return None
        said = run_blocking(self._pools, self._judges.hear(case, panel, most), over=self._over)
        votes = said.all_of(panel)
        if votes is not None:
            decides(shown, [EMPTY_SEAT if vote is None else _cast(vote) for vote in votes])
            _LOG.info("duel.decided duel=%s", to_hex(case.duel))
            return said.cost
        self._duels.summon(case.duel, shown, _committed(said))
        _LOG.info("duel.summoned duel=%s", to_hex(case.duel))
        return None

    def _panel(self, case: Case) -> Sequence[Address]:
        """Empty: it is not drawn yet."""
        return self._duels.panel(case.duel, case.first.provider, case.second.provider)

    def _drawn(self, case: Case) -> Sequence[Address]:
        """Once it is drawn; empty: it was not in time."""
        until = time.monotonic() + _DRAWN_S
        while not (panel := self._panel(case)):
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


def _appealed(pair: Pair) -> Case:
    """The same case before the judges of its appeal."""
    return replace(pair.case, appeal=True)


def _verdict(ruling: Ruling) -> Choice:
    return choice_of(verdict_of([vote_of_choice(choice) for choice in ruling.choices]))


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
