"""Duels behind the caller's back: a request that was answered is put to a second provider, in a thread.

The caller has its answer by then, and nothing of its request waits for any of this. The second request goes
the way of every other one (`searching`), in the same body to the byte: its provider is told nothing else than
any other is, and the first one has answered before anybody could tell it. Who judges is nobody's business
here.
"""

import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from random import SystemRandom
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import orjson

from tallystick.chain.duels import Duels
from tallystick.client.ask import Ask, read_ask
from tallystick.client.attempts import Attempt, Call
from tallystick.client.bounds import CASE_BYTES, is_readable
from tallystick.client.drivers import run_blocking
from tallystick.client.duel import SECOND_PARTS, Duel, Known
from tallystick.client.errors import TotalBudgetExceeded
from tallystick.client.flow import Flow, run
from tallystick.client.judges import is_shown, unheard
from tallystick.client.outcome import Outcome
from tallystick.client.pairs import Pair
from tallystick.client.pools import Pools
from tallystick.client.searching import Search
from tallystick.client.trials import Trials
from tallystick.client.worker import Worker, quietly
from tallystick.protocol.case import Case, Exhibit, checked, read_body
from tallystick.protocol.errors import MarketError, Unjudgeable
from tallystick.protocol.judging import answer_of, question_of
from tallystick.protocol.units import Address, Atoms, Hash32, Tokens, to_hex
from tallystick.protocol.vote import Choice, hidden_hash

if TYPE_CHECKING:
    from tallystick.client.payer import Payer

_TIMEOUT: Final[Mapping[str, float | None]] = {"connect": 10.0, "read": 120.0, "write": 60.0, "pool": 60.0}
"""Seconds, of a second request: nobody waits for it."""
ANSWERED_S: Final = 1_800.0
"""For all of it: who says a token now and then would keep all others from being asked."""
_WAITING: Final = 100
"""Requests that may wait for their second answer; what comes then stays without one."""
LOOK_S: Final = 3.0
"""Seconds after which duels that are under way are looked at anew."""
RETRY_S: Final = 600.0
"""Seconds after which those that could not be opened are tried again."""
_FORGET_S: Final = 3600.0
"""Seconds between looks at what is too old to be kept."""
_UNDER_WAY: Final = ("opened", "appealed")
_CLOSING_S: Final = 5.0
"""Seconds that the end of a process waits for what is under way."""
_LOG: Final = logging.getLogger("tallystick.client")


@dataclass(frozen=True, slots=True)
class Answered:
    """One side of a duel, as its payer got it."""

    attempt: Attempt
    exhibit: Exhibit
    cost: Atoms
    input_tokens: Tokens
    """By its receipts."""
    output_tokens: Tokens


class Duelling:
    """Of one payer."""

    def __init__(self, pools: Pools, wanted: Duel, duels: Duels | None = None):
        """`duels`: the contract in the payer's hands, for pairs to be judged; None: they are kept."""
        self.wanted = wanted
        self._pools = pools
        self._random = SystemRandom()
        self._seconds: Worker[Answered] = Worker("tallystick-seconds", self._ask_again, most=_WAITING)
        self._trying: Worker[int] = Worker(
            "tallystick-duels", self._try, most=_WAITING, look=self._look, look_s=LOOK_S
        )
        self._opened_at = monotonic()
        """When those that wait for a budget or a fee were tried last."""
        self._forgets_at = monotonic()
        self._trials = None
        if duels is not None:
            self._trials = Trials(pools, duels, wanted, over=lambda: self._trying.over)
        self._payer: Payer

    def attend(self, payer: "Payer") -> None:
        """Whose duels these are; once."""
        self._payer = payer
        with self._quietly(self._seconds):
            self._forget()
        if self._trials is None:
            payer.purse.pairs.take_over()
            return
        self._trials.attend(payer)
        for number in payer.purse.pairs.take_over(*_UNDER_WAY, "held"):
            self._trying.take(number)

    def draws(self, said: bool | None) -> bool:
        """Whether a request is to be answered twice."""
        return self.wanted.draws(said, self._random.random())

    def take(self, attempt: Attempt, outcome: Outcome) -> None:
        """It is answered and drawn. Returns at once."""
        answered = answered_by(attempt, outcome)
        if answered is not None:
            self._seconds.take(answered)

    def wait(self, seconds: float) -> bool:
        """Whether nothing is left to do, within so many seconds."""
        until = monotonic() + seconds
        return self._seconds.wait(seconds) and self._trying.wait(max(0.0, until - monotonic()))

    def close(self) -> None:
        """What waits has a few seconds; what is under way then is broken off, and paid for what came of
        it."""
        until = monotonic() + _CLOSING_S
        self._seconds.close(until)
        self._trying.close(until)

    def _ask_again(self, answered: Answered) -> None:
        with self._quietly(self._seconds):
            self._forget()
            known = self.wanted.draws_known(self._random.random(), self._random.random())
            flow = self.second(answered, known)
            pair = run_blocking(self._pools, flow, over=lambda: self._seconds.over, within=ANSWERED_S)
            if pair is not None and self._trials is not None:
                self._trying.take(pair.number)

    def _forget(self) -> None:
        """What is too old to be kept, now and then."""
        if monotonic() >= self._forgets_at:
            self._forgets_at = monotonic() + _FORGET_S
            self._payer.purse.pairs.forget()

    def _try(self, number: int) -> None:
        with self._quietly(self._trying):
            assert self._trials is not None
            pair = self._payer.purse.pairs.pair(number)
            if pair.state in _UNDER_WAY:
                self._trials.go_on(pair)
            elif pair.state == "held" and not self._trying.closing:  # Nobody would bring it to its end.
                self._trials.run(pair)

    def _look(self) -> None:
        """Goes on with all duels that are under way, each by itself, and now and then with those that could
        not be opened. What another process is busy with is none of ours."""
        if self._trials is None:
            return
        numbers: list[int] = []
        with self._quietly(self._trying):
            states = (*_UNDER_WAY, "held") if self._is_time_to_open() else _UNDER_WAY
            numbers = self._payer.purse.pairs.take_over(*states)
        for number in numbers:
            if not self._trying.over:
                self._try(number)

    def _is_time_to_open(self) -> bool:
        now = monotonic()
        if now < self._opened_at + RETRY_S:
            return False
        self._opened_at = now
        return True

    def _quietly(self, worker: Worker[Any]) -> AbstractContextManager[None]:
        return quietly(_LOG, "duel.failed", lambda: worker.over)

    # ------------------------------------------------------------------------------------------- the second

    def second(self, first: Answered, known: Known | None = None) -> Flow[Pair | None]:
        """The same request, put to another provider, and both answers held; None: there is no budget for it,
        or no judge could read them. Where a question is `known`, it is put to two in the request's place.

        Raises
        ------
        PayerError, httpx2.TransportError :
            Nobody else takes these very bytes, or answers them.
        """
        pending, pairs, trials = first.attempt.pending, self._payer.purse.pairs, self._trials
        if not first.attempt.ask.steering.allow_fallbacks:
            return None  # Its caller wants it to go to nobody else.
        if trials is not None and (self._trying.full or not (yield from run(trials.can_pay))):
            return None
        most, asked = Atoms(SECOND_PARTS * pending.worst), 1 if known is None else 2
        try:
            if not (yield from self._can_be_read(first, first)):  # The other one may be as long.
                return None
            number = pairs.begin(Atoms(asked * most), self.wanted.budget)
        except (Unjudgeable, TotalBudgetExceeded):
            return None
        outcomes: list[Outcome] = []
        pair = None
        try:
            one: Answered | None = first
            if known is not None:
                one = yield from self._answered(instead(first.attempt, known, most, number), outcomes)
            other = None
            if one is not None:
                other = yield from self._answered(again(one.attempt, most, number), outcomes)
            if one is not None and other is not None:
                pair = yield from self._paired(number, one, other, known, _cost(outcomes))
        finally:
            if pair is None:
                pairs.void(number, _cost(outcomes))
        return pair

    def _can_be_read(self, first: Answered, second: Answered) -> Flow[bool]:
        """Whether most judges have room for both: else the fee would be lost, and who answers badly would see
        to it. Raises Unjudgeable."""
        offers = yield from self._payer.listing.offers()
        model, both = first.exhibit.offer.model, (first, second)
        body = read_body(first.attempt.pending.body)
        quoted = [(question_of(body), first.input_tokens)]
        quoted += [(answer_of(body, one.exhibit.payloads), one.output_tokens) for one in both]
        size = sum(len(payload) for one in both for payload in one.exhibit.payloads)
        listed = [posted for posted in offers if posted.offer.model == model]
        return size <= CASE_BYTES and is_readable(quoted, listed)

    def _answered(self, ask: Ask, outcomes: list[Outcome]) -> Flow[Answered | None]:
        """What somebody says to just these bytes; what it cost is in `outcomes` whatever comes of it."""
        assert ask.again is not None
        search = Search(self._payer, ask, Call(path=ask.path, body=ask.again, timeout=_TIMEOUT))
        try:
            yield from unheard(search.run())
        finally:
            if search.shown.outcome is not None:
                outcomes.append(search.shown.outcome)
        outcome, attempt = search.shown.outcome, search.shown.attempt
        return None if outcome is None or attempt is None else answered_by(attempt, outcome)

    def _paired(
        self, number: int, first: Answered, second: Answered, known: Known | None, cost: Atoms
    ) -> Flow[Pair | None]:
        salt, verdict = Hash32(secrets.token_bytes(32)), Choice.NONE
        try:
            if known is not None:
                body = read_body(first.attempt.pending.body)
                said = (answer_of(body, one.exhibit.payloads) for one in (first, second))
                verdict = known.verdict(*said)
            case = case_of(self._payer.purse.payer, first, second, hidden_hash(verdict, salt))
            checked(case, self._payer.purse.domain)
            if not (is_shown(case) and (yield from self._can_be_read(first, second))):
                return None
        except MarketError:
            return None
        pair = Pair(
            number=number,
            case=case,
            channels=(first.attempt.pending.channel.key, second.attempt.pending.channel.key),
            known=verdict,
            salt=salt,
            state="held",
            cost=cost,
            shuns=first.attempt.ask.shuns,
        )
        self._payer.purse.pairs.hold(pair)
        return pair


def answered_by(attempt: Attempt, outcome: Outcome) -> Answered | None:
    """One whole answer with the receipt for it; None: it is in parts, or not paid."""
    receipt = outcome.receipt
    if attempt.kept is None or receipt is None or outcome.earlier or outcome.refusal or outcome.cut:
        return None
    offer, payloads = attempt.pending.posted.offer, tuple(attempt.kept)
    exhibit = Exhibit(offer=offer, receipt=receipt.signed, payloads=payloads)
    receipts = [one.message for one in outcome.receipts]
    return Answered(
        attempt,
        exhibit,
        outcome.cost,
        Tokens(sum(one.input_tokens for one in receipts)),
        Tokens(sum(one.output_tokens for one in receipts)),
    )


def again(first: Attempt, most: Atoms, pair: int) -> Ask:
    """The request as the first provider got it, for anybody else whom its caller would have it from."""
    ignored = first.ask.steering.ignore | {to_hex(first.provider)}
    return _anew(first, first.pending.body, most, pair, ignored=ignored)


def instead(first: Attempt, known: Known, most: Atoms, pair: int) -> Ask:
    """A known question in the form of the request that it takes the place of."""
    fields = dict(read_body(first.pending.body))
    if "messages" in fields:
        fields["messages"] = [{"role": "user", "content": known.question}]
    else:
        fields["prompt"] = known.question
    return _anew(first, orjson.dumps(fields), most, pair, ignored=first.ask.steering.ignore)


def _anew(first: Attempt, body: bytes, most: Atoms, pair: int, *, ignored: frozenset[str]) -> Ask:
    wishes = replace(first.ask.steering, order=(), allow_fallbacks=True, ignore=ignored)
    return replace(
        read_ask(first.pending.path, body),
        steering=wishes,
        continues=False,
        hedges=False,
        duels=False,
        again=body,
        most=most,
        pair=pair,
        audits=first.ask.audits,
        shuns=first.ask.shuns,
    )


def _cost(outcomes: Sequence[Outcome]) -> Atoms:
    """What may still be billed included."""
    return Atoms(sum(outcome.cost + outcome.outstanding for outcome in outcomes))


def case_of(challenger: Address, first: Answered, second: Answered, hidden: Hash32) -> Case:
    return Case(
        challenger=challenger,
        body=first.attempt.pending.body,
        first=first.exhibit,
        second=second.exhibit,
        hidden=hidden,
    )
