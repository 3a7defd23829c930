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

import orjson

from tallystick.chain.duels import EMPTY_SEAT, FINAL, Answer, CastVote, Committed, Duels, Ruling, Status
from tallystick.chain.duels import Case as Shown
from tallystick.chain.duels import Duel as On
from tallystick.chain.errors import ContractError, GasUnaffordable
from tallystick.chain.verdicts import rulings
from tallystick.client.drivers import run_blocking
from tallystick.client.duel import Duel
from tallystick.client.errors import TotalBudgetExceeded
from tallystick.client.judges import Heard, Judges, Vote
from tallystick.client.pairs import Pair
from tallystick.client.pools import Pools
from tallystick.protocol.case import Case, Exhibit, texts_of
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.duel import verdict as verdict_of
from tallystick.protocol.units import Address, Atoms, to_hex
from tallystick.protocol.vote import Choice, choice_of, duel_commitment, vote_of_choice

if TYPE_CHECKING:
    from tallystick.client.payer import Payer

_LOOK_S: Final = 1.0
_DRAWN_S: Final = 120.0
"""Seconds in which the block that draws the judges should have come; a duel whose judges nobody knows by then
is left to lapse."""
_GAS: Final = 1_000_000
"""For an approval, a duel, and the decision by five judges: about twice what they take."""
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
        self._able = True
        """To pay for duels, as far as was told."""
        self._payer: Payer
        self._judges: Judges

    def attend(self, payer: "Payer") -> None:
        self._payer, self._judges = payer, Judges(payer)

    def can_pay(self) -> bool:
        """Whether the wallet has one more duel's fee beside those that are held for theirs, and gas: who can
        never open a duel is to buy no second answer for it. Raises ChainError."""
        duels, payer = self._duels, self._payer.purse.payer
        waiting = len(self._payer.purse.pairs.mine("held"))
        held = duels.market.asset_balance(payer) + duels.balance_of(payer)
        gas = duels.market.gas_balance(payer)
        able = held >= self._fee() * (waiting + 1) and gas >= _GAS * duels.market.gas_price()
        self._say(able)
        return able

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
        pair = self._begin(pair)
        panel = self._drawn(pair.case)
        if panel and self._judged(pair, pair.case, panel, self._decides(pair)):
            self._conclude(pair)

    def _fee(self) -> Atoms:
        return Atoms(max(self._wanted.fee, self._wanted.judges * self._duels.terms().minimum_fee))

    def _begin(self, pair: Pair) -> Pair:
        """Its fee, and what the judges may cost, are taken out of the budget, also where that was done before
        and nothing was sent. Where the chain refuses they are given back."""
        pairs, seats, fee = self._payer.purse.pairs, self._wanted.judges, self._fee()
        most = run_blocking(self._pools, self._judges.worst(pair.case, seats))
        pair = pairs.open(pair, fee, most, self._wanted.budget)
        try:
            self._open(pair, seats, fee)
        except (GasUnaffordable, ContractError):
            if self._duels.duel(pair.duel).status is Status.NONE:
                pairs.leave(pair)
                self._say(False)
            raise
        self._say(True)
        return pair

    def _say(self, able: bool) -> None:
        """Once, that duels wait for the wallet."""
        if self._able and not able:
            _LOG.warning("duel.unaffordable wallet=%s", to_hex(self._payer.purse.payer))
        self._able = able

    def go_on(self, pair: Pair) -> None:
        """With one that was opened before, as far as it goes without waiting; errors as of `run`."""
        if pair.state == "appealed":
            self._go_on_appealing(pair)
            return
        match self._duels.duel(pair.duel):
            case On(status=Status.NONE):  # Its transaction was never mined.
                self._begin(pair)
                return
            case On(status=Status.OPEN):
                panel = self._panel(pair.case)
                if not panel or not self._judged(pair, pair.case, panel, self._decides(pair)):
                    return
            case On(status=Status.COMMITTING | Status.REVEALING):
                return
            case On(status=Status.COUNTING):
                if not self._is_taken(pair.case, lambda: self._decides(pair)(shown_of(pair), [])):
                    self._give_up(pair)
                    return
        self._conclude(pair)

    def _open(self, pair: Pair, seats: int, fee: Atoms) -> None:
        self._duels.approve(fee, standing=Atoms(self._wanted.budget))
        first, second = (one.receipt.message.struct_hash() for one in (pair.case.first, pair.case.second))
        self._duels.open(duel_commitment(first, second, pair.case.hidden), seats=seats, fee=fee)

    def _decides(self, pair: Pair) -> _Decides:
        def decide(shown: Shown, votes: Sequence[CastVote]) -> object:
            return self._duels.decide(pair.duel, shown, votes, known=pair.known, salt=pair.salt)

        return decide

    # ------------------------------------------------------------------------------------------- the appeal

    def _conclude(self, pair: Pair) -> None:
        """It is decided, or lapsed."""
        ruling = self._ruling(pair)
        if ruling is None:
            self._payer.purse.pairs.end(pair)
            return
        verdict = _verdict(ruling)
        if self._duels.duel(pair.duel).status is Status.APPEALABLE and self._thinks_wrong(pair, verdict):
            self._appeal(pair, ruling)
        else:
            self._payer.purse.pairs.end(pair, verdict)

    def _thinks_wrong(self, pair: Pair, verdict: Choice) -> bool:
        question, answers = texts_of(pair.case)
        return self._wanted.thinks_wrong(question, *answers, verdict=verdict, known=pair.known)

    def _appeal(self, pair: Pair, ruling: Ruling) -> None:
        """Where there is no room for it, the verdict stands."""
        pairs, fee = self._payer.purse.pairs, self._appeal_fee(pair)
        seats = 2 * self._duels.duel(pair.duel).seats + 1
        most = run_blocking(self._pools, self._judges.worst(pair.case, seats))
        try:
            pair = pairs.appeal(pair, fee, most, self._wanted.budget)
        except TotalBudgetExceeded:
            pairs.end(pair, _verdict(ruling))
            return
        self._duels.approve(fee, standing=Atoms(self._wanted.budget))
        self._duels.appeal(ruling, fee)
        case = _appealed(pair)
        panel = self._drawn(case)
        if panel and self._judged(pair, case, panel, self._decides_appeal(ruling)):
            pairs.end(pair, self._final(pair, ruling))

    def _appeal_fee(self, pair: Pair) -> Atoms:
        """Each seat's part of it is the same as before."""
        duel = self._duels.duel(pair.duel)
        return Atoms((2 * duel.seats + 1) * (duel.fee // duel.seats))

    def _go_on_appealing(self, pair: Pair) -> None:
        ruling, case = self._ruling(pair), _appealed(pair)
        assert ruling is not None  # or there were nothing to appeal
        status = self._duels.duel(case.duel).status
        if status is Status.NONE and self._duels.duel(pair.duel).status is Status.APPEALABLE:
            fee = self._appeal_fee(pair)  # Its transaction was never mined; the chain fixes what it costs.
            self._duels.approve(fee, standing=Atoms(self._wanted.budget))
            self._duels.appeal(ruling, fee)
            return
        if status in (Status.COMMITTING, Status.REVEALING):
            return
        decides = self._decides_appeal(ruling)
        if status is Status.OPEN:
            panel = self._panel(case)
            if not panel or not self._judged(pair, case, panel, decides):
                return
        elif status is Status.COUNTING and not self._is_taken(case, lambda: decides(shown_of(pair), [])):
            self._give_up(pair)
            return
        self._payer.purse.pairs.end(pair, self._final(pair, ruling))

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

    def _judged(self, pair: Pair, case: Case, panel: Sequence[Address], decides: _Decides) -> bool:
        """Whether it is decided. If not, not all of its judges have voted, or the chain does not take what
        one of them signed, and they are summoned; where it does not take the case, nothing comes of it."""
        said, shown = self._heard(pair, case, panel), shown_of(pair)
        votes = said.all_of(panel)
        if votes is not None:
            cast = [EMPTY_SEAT if vote is None else _cast(vote) for vote in votes]
            if self._is_taken(case, lambda: decides(shown, cast)):
                _LOG.info("duel.decided duel=%s", to_hex(case.duel))
                return True
        if self._is_taken(case, lambda: self._duels.summon(case.duel, shown, _committed(said))):
            _LOG.info("duel.summoned duel=%s", to_hex(case.duel))
        else:
            self._give_up(pair)
        return False

    def _is_taken(self, case: Case, send: Callable[[], object]) -> bool:
        """Whether the chain takes it; not, where it never will. Raises what may pass."""
        try:
            send()
        except ContractError as error:
            if error.name not in FINAL:
                raise
            _LOG.warning("duel.refused duel=%s error=%s", to_hex(case.duel), error.name)
            return False
        return True

    def _give_up(self, pair: Pair) -> None:
        """Its panel, or its appeal's, will decide nothing: it lapses, and a verdict before it stands."""
        ruling = self._ruling(pair)
        self._payer.purse.pairs.end(pair, Choice.NONE if ruling is None else _verdict(ruling))

    def _heard(self, pair: Pair, case: Case, panel: Sequence[Address]) -> Heard:
        """What its judges say. It is asked and paid for once, and kept: the chain may be away as it is to be
        told. Where a process died as it asked, nobody knows what they were paid: `Pairs.hear`."""
        pairs = self._payer.purse.pairs
        kept = pairs.heard(pair)
        if kept is not None:
            return Heard.from_json(orjson.loads(kept))
        worst = run_blocking(self._pools, self._judges.worst(pair.case, len(panel)))
        most = pairs.hear(pair, worst, self._wanted.budget)
        said = run_blocking(self._pools, self._judges.hear(case, panel, most, pair.shuns), over=self._over)
        pairs.keep(pair, orjson.dumps(said.to_json()), Atoms(max(0, most - said.cost)))
        return said

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
