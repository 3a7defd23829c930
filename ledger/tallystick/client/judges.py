"""How a challenger has its judges judge: a paid request to each, and their ballots once all have committed.

Nothing that a judge says is believed unsigned, and no ballot that is not the one committed to. Who the judges
are, the chain says; what becomes of those who are silent is decided there too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from tallystick.client.ask import Ask, read_ask, worst_cost
from tallystick.client.attempts import Call
from tallystick.client.bounds import CASE_BYTES, JUDGE_BYTES, bound
from tallystick.client.errors import JudgeFailed
from tallystick.client.flow import Emit, Flow, Respond, Returned, Send, Sleep, Together, read_all, send
from tallystick.client.outcome import Outcome
from tallystick.client.replies import object_in
from tallystick.client.searching import Search
from tallystick.client.sending import endpoint_of
from tallystick.client.steering import names
from tallystick.ports import PostedOffer
from tallystick.protocol.case import Case, Checked, checked
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, Address, Atoms, to_hex
from tallystick.protocol.vote import Ballot, Choice, VoteCommitment
from tallystick.protocol.wire import BALLOTS_PATH, JUDGE_PATH, signed_from_json, signed_to_json

if TYPE_CHECKING:
    from tallystick.client.payer import Payer

_TIMEOUT: Final[Mapping[str, float | None]] = {"connect": 5.0, "read": 120.0, "write": 60.0, "pool": 60.0}
"""Seconds, for a judge to think."""
JUDGED_S: Final = 600
"""In which a panel says what it has to say: who is not done by then is silent, and what the others said
stays."""
_LOOK_S: Final = 1
"""Seconds between looks at whether they are done."""
_REVEALING: Final[Mapping[str, float | None]] = {"connect": 5.0, "read": 10.0, "write": 10.0, "pool": 10.0}
_BALLOT_BYTES: Final = 1 << 16
_CHOICES: Final = (Choice.FIRST, Choice.SECOND, Choice.TIE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One judge's, both halves of it."""

    commitment: Signed[VoteCommitment]
    ballot: Ballot


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came of asking a panel."""

    commitments: Mapping[Address, Signed[VoteCommitment]]
    votes: Mapping[Address, Vote]
    """By judge: of those whose ballots are here too."""
    cost: Atoms
    """Of the judgements, what may still be billed included."""

    def all_of(self, panel: Sequence[Address]) -> list[Vote | None] | None:
        """In the panel's order, None for a seat that could not be filled; None: somebody has not voted."""
        if any(judge not in self.votes for judge in panel if judge != ZERO_ADDRESS):
            return None
        return [self.votes.get(judge) for judge in panel]

    def to_json(self) -> dict[str, Any]:
        return {
            "commitments": [signed_to_json(one) for one in self.commitments.values()],
            "ballots": [vote.ballot.to_json() for vote in self.votes.values()],
            "cost": str(self.cost),
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Heard":
        """As it was kept."""
        signed = [signed_from_json(VoteCommitment, one) for one in kept["commitments"]]
        commitments = {one.message.judge: one for one in signed}
        ballots = [Ballot.from_json(one) for one in kept["ballots"]]
        votes = {one.judge: Vote(commitment=commitments[one.judge], ballot=one) for one in ballots}
        return cls(commitments=commitments, votes=votes, cost=Atoms(int(kept["cost"])))


class Judges:
    """Asked on behalf of one payer."""

    def __init__(self, payer: "Payer"):
        self._payer = payer

    def worst(self, case: Case, seats: int) -> Flow[Atoms]:
        """That so many judges may cost, if none is dearer than the dearest offer of the model in question
        that is not out of all proportion."""
        offers = yield from self._payer.listing.offers()
        same = [posted.offer for posted in offers if posted.offer.model == case.first.offer.model]
        most = _most(case, offers)
        costs = [cost for offer in same if (cost := _cost(case, offer)) <= most]
        return Atoms(seats * max(costs, default=0))

    def hear(self, case: Case, panel: Sequence[Address], most: Atoms, shuns: frozenset[str]) -> Flow[Heard]:
        """Puts the case to each of the panel, side by side, none of which may cost more than its part of
        `most`. `shuns`: names of whom it is not shown to."""
        seated = [judge for judge in panel if judge != ZERO_ADDRESS]
        offers = yield from self._offers(seated, case.first.offer.model, shuns)
        listed = yield from self._payer.listing.offers()
        share = min(Atoms(most // max(1, len(seated))), _most(case, listed))
        asked = [judge for judge in seated if judge in offers]
        outcomes: list[Outcome] = []
        said = yield from _all(
            [self._commitment(case, judge, offers[judge], share, shuns, outcomes) for judge in asked]
        )
        commitments = {judge: one for judge, one in zip(asked, said, strict=True) if one is not None}
        votes: dict[Address, Vote] = {}
        if len(commitments) == len(seated):
            signed = [signed_to_json(one) for one in commitments.values()]
            shown = orjson.dumps({"duel": to_hex(case.duel), "commitments": signed})
            found = checked(case, self._payer.purse.domain)
            ballots = [self._vote(found, one, offers[judge], shown) for judge, one in commitments.items()]
            told = yield from _all(ballots)
            votes = {judge: vote for judge, vote in zip(commitments, told, strict=True) if vote is not None}
        cost = sum(outcome.cost + outcome.outstanding for outcome in outcomes)
        return Heard(commitments=commitments, votes=votes, cost=Atoms(cost))

    def _offers(
        self, judges: Sequence[Address], model: str, shuns: frozenset[str]
    ) -> Flow[Mapping[Address, PostedOffer]]:
        """Under which each sells its judgement: that of the model in question where it has one."""
        found: dict[Address, PostedOffer] = {}
        for posted in (yield from self._payer.listing.offers()):
            provider = posted.offer.provider
            if provider not in judges or shuns & names(posted.offer):
                continue
            if provider not in found or posted.offer.model == model:
                found[provider] = posted
        return found

    def _commitment(
        self,
        case: Case,
        judge: Address,
        posted: PostedOffer,
        most: Atoms,
        shuns: frozenset[str],
        outcomes: list[Outcome],
    ) -> Flow[Signed[VoteCommitment]]:
        """Its own, to a ballot on this case. Raises MarketError or httpx2.TransportError."""
        payer, ask = self._payer, _ask(case, posted.offer)
        wishes = replace(ask.steering, ignore=shuns)  # It may sell elsewhere too.
        ask = replace(ask, steering=wishes, most=most, answer_bytes=JUDGE_BYTES)
        call = Call(path=JUDGE_PATH, body=_body(case, posted.offer), timeout=_TIMEOUT)
        search = Search(payer, ask, call)
        try:
            body = yield from heard(search.run())
        finally:
            if search.shown.outcome is not None:
                outcomes.append(search.shown.outcome)
        signed = signed_from_json(VoteCommitment, object_in(body))
        message = signed.message
        if (message.duel, message.judge) != (case.duel, judge) or message.ballot_hash == ZERO_HASH:
            raise JudgeFailed("The judge speaks of another duel.")
        yield from payer.listing.proven(payer.purse.domain, judge, signed)
        return signed

    def _vote(
        self, case: Checked, signed: Signed[VoteCommitment], posted: PostedOffer, shown: bytes
    ) -> Flow[Vote]:
        """The ballot that it committed to, if that is one on this case: the chain makes the ballot anew from
        the case, and would not take another. Raises MarketError or httpx2.TransportError."""
        headers = {"content-type": "application/json", "user-agent": "tallystick"}
        exchange = yield from send(
            Send(
                endpoint=endpoint_of(posted.offer),
                path=BALLOTS_PATH,
                body=shown,
                headers=headers,
                timeout=_REVEALING,
            )
        )
        body = yield from read_all(exchange, _BALLOT_BYTES, self._payer.now)
        ballot = Ballot.from_json(object_in(body).get("ballot"))
        if ballot.struct_hash() != signed.message.ballot_hash:
            raise JudgeFailed("The ballot is not the one that the judge committed to.")
        choice, judge = ballot.choice, signed.message.judge
        if choice not in _CHOICES or ballot != case.ballot(judge, Choice(choice), ballot.salt):
            raise JudgeFailed("The judge committed to a ballot that is not on the case that it was shown.")
        return Vote(commitment=signed, ballot=ballot)


def is_shown(case: Case) -> bool:
    """Whether it is not too large to be."""
    return len(_body(case, case.first.offer)) <= CASE_BYTES


def heard(flow: Flow[None]) -> Flow[bytes]:
    """The whole answer that a flow would give its caller; nobody is told anything on the way."""
    told: list[bytes] = []
    yield from unheard(flow, told.append)
    return b"".join(told)


def unheard(flow: Flow[None], tell: Callable[[bytes], None] = lambda _: None) -> Flow[None]:
    """The same flow, and its caller is told nothing of what comes; `tell` is."""
    result: object = None
    error: BaseException | None = None
    while True:
        try:
            effect = flow.send(result) if error is None else flow.throw(error)
        except StopIteration:
            return
        result, error = None, None
        if isinstance(effect, Respond | Emit):
            tell((effect.data if isinstance(effect, Emit) else effect.body) or b"")
            continue
        try:
            result = yield effect
        except GeneratorExit:
            flow.close()
            raise
        except BaseException as raised:  # noqa: BLE001  # the flow decides
            error = raised


def _all(flows: Sequence[Flow[Any]]) -> Flow[list[Any]]:
    """What each of them returns, side by side; None where it raised, or was not done in time."""

    def over() -> Flow[None]:
        for _ in range(JUDGED_S // _LOOK_S):
            yield Sleep(_LOOK_S)

    if not flows:
        return []
    ends = yield Together([*flows, over()], lambda ends: ends[-1] is not None or None not in ends[:-1])
    assert isinstance(ends, list)
    return [end.value if isinstance(end, Returned) else None for end in ends[:-1]]


def _body(case: Case, offer: Offer) -> bytes:
    return orjson.dumps({"model": offer.model, "case": case.to_json()})


def _most(case: Case, listed: Sequence[PostedOffer]) -> Atoms:
    """That one judgement may cost."""
    same = [posted.offer for posted in listed if posted.offer.model == case.first.offer.model]
    duellists = [_cost(case, one.offer) for one in (case.first, case.second)]
    return bound(duellists, [_cost(case, offer) for offer in same])


def _cost(case: Case, offer: Offer) -> Atoms:
    return worst_cost(_ask(case, offer), offer)


def _ask(case: Case, offer: Offer) -> Ask:
    """To that provider and to nobody else."""
    ask = read_ask(JUDGE_PATH, _body(case, offer))
    wishes = replace(ask.steering, only=frozenset({to_hex(offer.provider)}))
    return replace(ask, steering=wishes, continues=False, hedges=False, duels=False)
