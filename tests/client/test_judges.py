"""A panel over HTTP: each judge is paid for its judgement, and believed no word of any other case."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from tallystick.client.drivers import run_blocking
from tallystick.client.flow import End, Flow, Returned, Sleep, Together
from tallystick.client.judges import JUDGED_S, Heard, Judges
from tallystick.client.session import Session
from tallystick.protocol.case import Case, checked
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, Hash32
from tallystick.protocol.vote import Ballot, Choice
from tallystick.protocol.wire import signed_to_json
from tests.client.conftest import World
from tests.client.fake_chain import DOMAIN
from tests.client.provider import FakeProvider
from tests.quality.making import FIRST, SECOND, case, exhibit, streamed

MOST = Atoms(10**8)
PRICE = 1_000_000
"""As the judges', by default."""
STRANGER = Key(keccak(b"stranger")).address
USAGE = {"prompt_tokens": 40, "completion_tokens": 2, "total_tokens": 42}


class JudgeFake(FakeProvider):
    """Votes for the first, and says its ballot to whoever asks."""

    def __init__(self, *arguments: Any, **options: Any):
        self.bends: Callable[[Ballot], Ballot] = lambda ballot: ballot
        """Before it commits to it."""
        self.says: Callable[[dict[str, Any]], dict[str, Any]] = lambda told: told
        self.cast: Ballot | None = None
        super().__init__(*arguments, **options)

    def said_whole(self, body: dict[str, Any]) -> bytes:
        found = checked(Case.from_json(body["case"]), DOMAIN)
        self.cast = self.bends(found.ballot(self.key.address, Choice.FIRST, keccak(self.key.address)))
        signed = sign(self.cast.commitment, DOMAIN, self.key).signed
        choice = {"index": 0, "text": "x", "finish_reason": "stop", "token_ids": [1, 2]}
        return orjson.dumps({"choices": [choice], "usage": USAGE, **signed_to_json(signed)})

    def ballot(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self.cast is not None
        assert len(asked["commitments"]) >= 1
        return self.says({"ballot": self.cast.to_json()})


class Court:
    """A challenger with a case, and three judges."""

    def __init__(self, world: World):
        self.world = world
        self.session: Session = world.session()
        self.judges = [world.provider(JudgeFake, context=5_000) for _ in range(3)]
        self.case = replace(
            case(),
            first=exhibit(FIRST, streamed("Yes."), domain=DOMAIN, price=PRICE),
            second=exhibit(SECOND, streamed("No."), domain=DOMAIN, price=PRICE),
        )

    @property
    def panel(self) -> list[Address]:
        return [judge.key.address for judge in self.judges]

    def hear(self, most: Atoms = MOST, *, shuns: frozenset[str] = frozenset()) -> Heard:
        hearing = Judges(self.session.payer).hear(self.case, [*self.panel, ZERO_ADDRESS], most, shuns)
        return run_blocking(self.session.pools, hearing)


@pytest.fixture
def court(world: World) -> Court:
    return Court(world)


def test_all_judge_and_all_are_paid(court: Court) -> None:
    said = court.hear()
    votes = said.all_of([*court.panel, ZERO_ADDRESS])
    assert votes is not None
    assert [vote and vote.ballot.judge for vote in votes] == [*court.panel, None]
    assert said.cost == sum(judge.issued for judge in court.judges) > 0


@pytest.mark.parametrize("named", ["address", "host"])
def test_whom_the_caller_ignores_is_not_shown_the_case(court: Court, named: str) -> None:
    """Its seat is as good as empty: the panel is to be summoned."""
    ignored = court.judges[0]
    name = f"0x{ignored.key.address.hex()}" if named == "address" else urlsplit(ignored.offer.endpoint).netloc
    said = court.hear(shuns=frozenset({name}))
    assert ignored.worked == 0
    assert set(said.commitments) == set(court.panel[1:])
    assert said.all_of(court.panel) is None


def test_who_comes_to_no_end_is_silent_and_the_others_were_heard(court: Court) -> None:
    hearing = Judges(court.session.payer).hear(court.case, court.panel, MOST, frozenset())

    def late() -> Flow[Heard]:
        """The first one is still on its way as the time is over."""
        result: object = None
        while not isinstance(effect := hearing.send(result), Together):
            result = yield effect
        _, *others, clock = effect.flows
        ends: list[End[Any]] = [Returned(run_blocking(court.session.pools, one)) for one in others]
        assert not effect.enough([None, *ends, None])
        assert sum(sleep.seconds for sleep in clock if isinstance(sleep, Sleep)) == JUDGED_S
        assert effect.enough([None, *ends, Returned(None)])
        with pytest.raises(StopIteration) as end:
            hearing.send([None, *ends, Returned(None)])
        said: Heard = end.value.value
        return said

    said = run_blocking(court.session.pools, late())
    assert set(said.commitments) == set(court.panel[1:])
    assert said.cost > 0
    assert said.all_of(court.panel) is None


# ---------------------------------------------------------------------------------- a ballot of another case

OTHER = Hash32(b"\x09" * 32)
BENT: dict[str, Callable[[Ballot], Ballot]] = {
    "another duel": lambda ballot: replace(ballot, duel=OTHER),
    "another judge": lambda ballot: replace(ballot, judge=STRANGER),
    "another request": lambda ballot: replace(ballot, body_hash=OTHER),
    "another first answer": lambda ballot: replace(ballot, first_response_hash=OTHER),
    "another second answer": lambda ballot: replace(ballot, second_response_hash=OTHER),
    "no choice": lambda ballot: replace(ballot, choice=int(Choice.NONE)),
    "a choice that declines": lambda ballot: replace(ballot, choice=int(Choice.DECLINED)),
    "a choice that there is not": lambda ballot: replace(ballot, choice=9),
}


@pytest.mark.parametrize("bends", BENT.values(), ids=list(BENT))
def test_who_votes_on_anything_else_is_silent(court: Court, bends: Callable[[Ballot], Ballot]) -> None:
    """It is committed to it, and the chain would not take it: the panel is to be summoned."""
    liar = court.judges[1]
    liar.bends = bends
    duel, own = court.case.duel, liar.key
    said_whole = liar.said_whole

    def of_this_case(body: dict[str, Any]) -> bytes:
        answer = orjson.loads(said_whole(body))
        assert liar.cast is not None
        commitment = replace(liar.cast.commitment, duel=duel, judge=own.address)
        return orjson.dumps(answer | signed_to_json(sign(commitment, DOMAIN, own).signed))

    liar.said_whole = of_this_case  # type: ignore[method-assign]
    said = court.hear()
    assert set(said.commitments) == set(court.panel)
    assert set(said.votes) == {court.judges[0].key.address, court.judges[2].key.address}
    assert said.all_of(court.panel) is None


def test_a_ballot_that_is_not_the_one_committed_to_is_none(court: Court) -> None:
    liar = court.judges[1]

    def another(told: dict[str, Any]) -> dict[str, Any]:
        return {"ballot": told["ballot"] | {"choice": str(int(Choice.SECOND))}}

    liar.says = another
    assert court.hear().all_of(court.panel) is None


@pytest.mark.parametrize("told", [{}, {"ballot": None}, {"ballot": {}}, {"ballot": [1]}])
def test_what_is_no_ballot_is_none(court: Court, told: dict[str, Any]) -> None:
    court.judges[1].says = lambda _: told
    said = court.hear()
    assert len(said.commitments) == 3
    assert said.all_of(court.panel) is None


# ----------------------------------------------------------------------------------------------------- money


def test_no_judge_is_paid_more_than_its_part(court: Court) -> None:
    said = court.hear(Atoms(3))
    assert (said.votes, said.cost) == ({}, 0)
    assert sum(judge.worked for judge in court.judges) == 0


def test_who_grows_dearer_while_it_is_looked_up_is_not_asked(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offer that the part is reckoned by is not the one that it would be bought under."""
    judge, posted = court.judges[0], court.world.chain.posted
    first = replace(court.case.first, offer=replace(court.case.first.offer, model=judge.offer.model))
    reckoning = Judges(court.session.payer).worst(replace(court.case, first=first), 3)
    worst = run_blocking(court.session.pools, reckoning)
    listing = court.session.payer.listing
    offers = Judges._offers

    def grows(self: Judges, *asked: Any) -> Any:
        found = yield from offers(self, *asked)
        place = next(at for at, one in enumerate(posted) if one.offer.provider == judge.key.address)
        judge.offer = replace(judge.offer, sequence=2, input_price=judge.offer.input_price * 50)
        judge.offer_hash = judge.offer.struct_hash()
        posted[place] = replace(posted[place], offer=judge.offer, offer_hash=judge.offer_hash)
        listing.refresh()
        return found

    monkeypatch.setattr(Judges, "_offers", grows)
    said = court.hear(worst)
    assert judge.worked == 0
    assert set(said.commitments) == set(court.panel[1:])
    assert said.cost <= worst


def test_an_absurd_offer_of_the_model_keeps_nobody_from_duelling(court: Court) -> None:
    asks = Judges(court.session.payer)
    offer = replace(court.case.first.offer, model=court.judges[0].offer.model)
    shown = replace(court.case, first=replace(court.case.first, offer=offer))
    worst = run_blocking(court.session.pools, asks.worst(shown, 3))
    court.world.provider(JudgeFake, context=5_000, price=10**9, credit=10**9)
    court.session.payer.listing.refresh()
    assert run_blocking(court.session.pools, asks.worst(shown, 3)) == worst > 0


def test_a_judge_that_is_much_dearer_than_the_duellists_is_absent(court: Court) -> None:
    dear = court.world.provider(JudgeFake, context=5_000, price=10 * PRICE, credit=10**8)
    court.judges[0] = dear
    court.session.payer.listing.refresh()
    said = court.hear()
    assert dear.worked == 0
    assert set(said.commitments) == set(court.panel[1:])


def test_a_judge_that_answers_at_length_is_not_read_to_the_end(court: Court) -> None:
    long = court.judges[0]
    said_whole = long.said_whole
    long.said_whole = lambda body: said_whole(body) + b" " * (1 << 17)  # type: ignore[method-assign]
    assert set(court.hear().commitments) == set(court.panel[1:])
