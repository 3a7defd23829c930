"""A share of requests is answered twice: the caller waits for one answer, pays for both, and keeps both."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from threading import Thread
from typing import Any

import httpx2
import pytest

from tallystick.chain.errors import ChainUnavailable
from tallystick.client.audits import Audits
from tallystick.client.duel import Duel
from tallystick.client.errors import TotalBudgetExceeded
from tallystick.client.outcome import Outcome
from tallystick.client.pairs import Pair
from tallystick.client.session import Session
from tallystick.client.transport import Transport
from tallystick.protocol.case import checked
from tallystick.protocol.units import Atoms
from tallystick.protocol.vote import Choice
from tallystick.wallet.quality_view import duel_to_json
from tests.client.conftest import World, chat_body
from tests.client.echo import chunks
from tests.client.fake_chain import DOMAIN
from tests.client.provider import FakeProvider
from tests.client.serving import Handler

URL = "https://market/v1/chat/completions"
ALWAYS = Duel(share=1, budget=10**8)


class Listening(FakeProvider):
    """Keeps each paid request as it came: the names of its headers in order, and its body."""

    def __init__(self, *arguments: Any, **options: Any):
        self.heard: list[tuple[list[str], bytes]] = []
        super().__init__(*arguments, **options)

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        self.heard.append(([name.lower() for name in handler.headers], raw))
        return super().handled(handler, path, raw)


@pytest.fixture
def asked(world: World) -> Callable[..., tuple[Session, Transport, httpx2.Client]]:
    def opened(**options: Any) -> tuple[Session, Transport, httpx2.Client]:
        session = world.session(**options)
        transport = Transport(session)
        return session, transport, httpx2.Client(transport=transport)

    return opened


def paired(session: Session) -> list[Pair]:
    """Once nothing is left to do."""
    assert session.duelling is not None
    assert session.duelling.wait(20)
    return session.purse.pairs.held()


@pytest.mark.parametrize("stream", [False, True])
def test_both_answers_are_held_with_their_receipts(world: World, asked: Any, stream: bool) -> None:
    providers = [world.provider(), world.provider()]
    session, _, client = asked(duel=ALWAYS)
    assert client.post(URL, json=chat_body(stream=stream)).status_code == 200

    (pair,) = paired(session)
    found = checked(pair.case, DOMAIN)
    assert {pair.case.first.provider, pair.case.second.provider} == {one.key.address for one in providers}
    assert found.signers == (pair.case.first.provider, pair.case.second.provider)
    assert (found.question, found.answers) == ("one two three", ("one two three ", "one two three "))
    assert pair.case.challenger == world.wallet.address
    assert [one.worked for one in providers] == [1, 1]


def test_both_are_paid_and_only_the_first_is_the_caller_s(world: World, asked: Any) -> None:
    outcomes: list[Outcome] = []
    for _ in range(2):
        world.provider()
    session, _, client = asked(duel=ALWAYS, on_outcome=outcomes.append)
    body = client.post(URL, json=chat_body()).json()

    (pair,) = paired(session)
    costs = [one.receipt.message.cost for one in (pair.case.first, pair.case.second)]
    assert body["tallystick"]["cost"] == costs[0]
    assert pair.cost == session.purse.pairs.cost() == costs[1]
    assert session.purse.spending() == (sum(costs), 0)
    assert [outcome.second for outcome in outcomes] == [False, True]


def test_the_caller_waits_for_nobody_else(world: World, asked: Any) -> None:
    first, second = world.provider(), world.provider(price=1_500_000)
    second.hold.clear()
    session, _, client = asked(duel=ALWAYS)

    assert client.post(URL, json=chat_body()).status_code == 200
    assert first.worked == 1
    world.until(lambda: second.worked == 1)
    assert session.purse.pairs.held() == []
    second.hold.set()
    assert len(paired(session)) == 1


def test_the_second_is_asked_as_anybody_is(world: World, asked: Any) -> None:
    """Neither of the two can tell a duel: what they are sent differs in the credential alone."""
    providers = [world.provider(Listening), world.provider(Listening)]
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body("which?", stream=True))
    paired(session)
    client.post(URL, json=chat_body("which?", stream=True, tallystick={"duel": False}))

    heard = [item for one in providers for item in one.heard]
    assert len(heard) == 3
    for one, other in pairwise(heard):
        assert one == other


def test_the_first_has_answered_before_anybody_else_could_tell_it(world: World, asked: Any) -> None:
    said: list[int] = []
    first = world.provider()
    world.provider(price=1_500_000, latency=lambda: said.append(first.issued))
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body())
    paired(session)
    assert min(said) > 0


class NoThread(Thread):
    """One too many."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")

    def join(self, timeout: float | None = None) -> None: ...


def test_the_caller_has_its_answer_where_no_thread_can_be_started(
    world: World, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.provider()
    session, _, client = asked(duel=ALWAYS, audits=Audits(budget=10**8), block_at=lambda _: None)
    monkeypatch.setattr("tallystick.client.worker.Thread", NoThread)
    for stream in (False, True):
        assert "two" in client.post(URL, json=chat_body(stream=stream)).text
    session.close()


# ---------------------------------------------------------------------------------------------- who wants it


@pytest.mark.parametrize("kept", [{"duel": False}, {"private": True}])
def test_a_request_that_is_kept_from_judges_never_duels(
    world: World, asked: Any, kept: dict[str, bool]
) -> None:
    providers = [world.provider(), world.provider()]
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body(tallystick=kept))
    assert paired(session) == []
    assert sum(one.worked for one in providers) == 1


def test_a_request_can_ask_for_one_and_chance_draws_the_others(world: World, asked: Any) -> None:
    for _ in range(2):
        world.provider()
    session, _, client = asked(duel=Duel(share=0, budget=10**8))
    client.post(URL, json=chat_body())
    assert paired(session) == []
    client.post(URL, json=chat_body(tallystick={"duel": True}))
    assert len(paired(session)) == 1


def test_a_payer_that_wants_none_has_none(world: World, asked: Any) -> None:
    for _ in range(2):
        world.provider()
    _, _, client = asked()
    refused = client.post(URL, json=chat_body(tallystick={"duel": True}))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "malformed-request")
    assert client.post(URL, json=chat_body()).status_code == 200


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"messages": [{"role": "tool", "content": "x"}]},
    ],
)
def test_what_no_judge_could_read_is_not_asked_again(world: World, asked: Any, more: dict[str, Any]) -> None:
    providers = [world.provider(), world.provider()]
    session, _, client = asked(duel=ALWAYS)
    assert client.post(URL, json=chat_body() | more).status_code == 200
    assert paired(session) == []
    assert sum(one.worked for one in providers) == 1


def test_where_nobody_else_sells_it_there_is_no_duel(world: World, asked: Any) -> None:
    world.provider()
    session, _, client = asked(duel=ALWAYS)
    assert client.post(URL, json=chat_body()).status_code == 200
    assert paired(session) == []
    assert session.purse.pairs.cost() == 0


@pytest.mark.parametrize("wish", ["only", "ignore"])
def test_the_caller_s_wishes_hold_for_the_second_too(world: World, asked: Any, wish: str) -> None:
    providers = [world.provider(), world.provider()]
    session, _, client = asked(duel=ALWAYS)
    named = providers[0 if wish == "only" else 1]
    client.post(URL, json=chat_body(provider={wish: [f"0x{named.key.address.hex()}"]}))
    assert paired(session) == []
    assert providers[1].worked == 0


def test_whom_the_caller_ignores_is_kept_for_who_asks_the_judges(world: World, asked: Any) -> None:
    """Which may be another process; and whoever answered first may judge what others answer."""
    for _ in range(2):
        world.provider()
    ignored = world.provider()
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body(provider={"ignore": [f"0x{ignored.key.address.hex().upper()}"]}))
    (pair,) = paired(session)
    session.close()
    assert pair.shuns == {f"0x{ignored.key.address.hex()}"}
    assert world.session().purse.pairs.held() == [pair]


def test_who_refuses_fallbacks_has_no_second_asked(world: World, asked: Any) -> None:
    providers = [world.provider(), world.provider()]
    session, _, client = asked(duel=ALWAYS)
    order = [f"0x{providers[0].key.address.hex()}"]
    client.post(URL, json=chat_body(provider={"order": order, "allow_fallbacks": False}))
    assert paired(session) == []
    assert providers[1].worked == 0


def test_what_few_judges_have_room_for_is_not_asked_again(world: World, asked: Any) -> None:
    """Question and both answers: the fee would be lost, and nothing decided."""
    providers = [world.provider(context=300), world.provider(context=300), world.provider(price=10**7)]
    session, _, client = asked(duel=ALWAYS)
    assert client.post(URL, json=chat_body("word " * 60)).status_code == 200
    assert paired(session) == []
    assert sum(one.worked for one in providers) == 1
    client.post(URL, json=chat_body("word " * 20))
    assert len(paired(session)) == 1


class HidesBytes(FakeProvider):
    """In a payload that no program shows, and that is no text."""

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        first, *rest = chunks(body)
        yield first
        yield b'{"choices":[],"x":"\xff"}'
        yield from rest


def test_what_is_no_text_keeps_no_answer_from_being_judged(world: World, asked: Any) -> None:
    world.provider(HidesBytes), world.provider(price=1_500_000)
    session, _, client = asked(duel=ALWAYS)
    assert client.post(URL, json=chat_body(stream=True)).status_code == 200
    (pair,) = paired(session)
    assert checked(pair.case, DOMAIN).answers == ("one two three ", "one two three ")


class Padded(FakeProvider):
    """Says little in many bytes, to be judged by nobody: gateways read no case that is so large."""

    def said_whole(self, body: dict[str, Any]) -> bytes:
        return json.dumps(json.loads(super().said_whole(body)) | {"x": '"' * (5 << 18)}).encode()


def test_an_answer_that_is_padded_costs_no_fee(world: World, asked: Any) -> None:
    """Two and a half mebibytes as it comes, and twice as many in a case, where its quotes are escaped."""
    world.provider(), world.provider(Padded, price=1_500_000)
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body())
    assert paired(session) == []
    assert session.purse.pairs.cost() > 0


# ------------------------------------------------------------------------------------------------- the budget


def test_the_budget_bounds_what_duels_cost(world: World, asked: Any) -> None:
    providers = [world.provider(), world.provider()]
    session, _, client = asked(duel=Duel(share=1, budget=0))
    client.post(URL, json=chat_body())
    assert paired(session) == []
    assert sum(one.worked for one in providers) == 1


def test_it_is_spent_once_whatever_process_spends_it(world: World, asked: Any) -> None:
    for _ in range(2):
        world.provider()
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body())
    cost = paired(session)[0].cost
    session.close()

    tight, _, client = asked(duel=Duel(share=1, budget=cost))
    client.post(URL, json=chat_body())
    assert len(paired(tight)) == 1


def test_a_second_that_is_much_dearer_is_not_asked(world: World, asked: Any) -> None:
    world.provider()
    dear = world.provider(price=50_000_000, credit=100_000_000)
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body())
    assert paired(session) == []
    assert dear.worked == 0


def test_what_a_second_request_cost_stays_counted_where_its_answer_is_none(world: World, asked: Any) -> None:
    world.provider()
    world.provider(price=1_500_000, mishap="engine")
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body("a b c d e f g", stream=True))
    assert paired(session) == []
    world.until(lambda: session.purse.spending()[1] == 0)
    first = session.purse.held_receipts()[0].receipt.message.cost
    assert session.purse.pairs.cost() >= session.purse.spending()[0] - first > 0


class Clock:
    """As the driver sees it."""

    ahead = 0.0
    sleep = staticmethod(time.sleep)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


class SaysATokenNowAndThen(FakeProvider):
    clock: Clock

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        first, *_ = chunks(body)
        while not self.closing:
            yield first
            self.clock.ahead += 100
            time.sleep(0.01)


def test_a_second_that_never_comes_to_its_end_keeps_no_other_from_being_asked(
    world: World, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.provider()
    second = world.provider(SaysATokenNowAndThen, price=1_500_000)
    second.clock = Clock()
    monkeypatch.setattr("tallystick.client.drivers.time", second.clock)
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body(stream=True, max_tokens=10_000))
    assert paired(session) == []
    assert second.worked == 1


# --------------------------------------------------------------------------------------------- what goes on


class Stuck:
    """Trials that open nothing more, for want of a budget, and go on with all duels but the first."""

    def __init__(self) -> None:
        self.went_on: list[int] = []
        self.ran: list[int] = []

    def can_pay(self) -> bool:
        return True

    def run(self, pair: Pair) -> None:
        self.ran.append(pair.number)
        raise TotalBudgetExceeded("Spent.")

    def go_on(self, pair: Pair) -> None:
        self.went_on.append(pair.number)
        if pair.number == 1:
            raise ChainUnavailable("Gone.")


def test_duels_under_way_go_on_whatever_becomes_of_others(world: World, asked: Any) -> None:
    for _ in range(2):
        world.provider()
    session, _, client = asked(duel=ALWAYS)
    for _ in range(2):
        client.post(URL, json=chat_body())
    for pair in paired(session):
        session.purse.pairs.open(pair, Atoms(0), Atoms(0), 10**9)
    duelling, trials = session.duelling, Stuck()
    assert duelling is not None
    duelling._trials = trials  # type: ignore[assignment]
    duelling._trying.look_s = 0.05
    client.post(URL, json=chat_body())
    world.until(lambda: trials.went_on.count(2) > 2)
    assert 1 in trials.went_on
    session.close()


def test_who_is_closing_opens_no_duel_whose_fee_would_be_burnt(world: World, asked: Any) -> None:
    for _ in range(2):
        world.provider()
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body())
    (pair,) = paired(session)
    duelling, trials = session.duelling, Stuck()
    assert duelling is not None
    duelling._trials = trials  # type: ignore[assignment]
    duelling._try(pair.number)
    assert trials.ran == [pair.number]
    duelling.close()
    duelling._try(pair.number)
    assert trials.ran == [pair.number]


def test_who_cannot_pay_for_a_duel_buys_no_second_answer(world: World, asked: Any) -> None:
    providers = [world.provider(), world.provider()]
    session, _, client = asked(duel=ALWAYS)
    duelling, trials = session.duelling, Stuck()
    assert duelling is not None
    trials.can_pay = lambda: False  # type: ignore[method-assign]
    duelling._trials = trials  # type: ignore[assignment]
    client.post(URL, json=chat_body())
    assert paired(session) == []
    assert sum(one.worked for one in providers) == 1


def test_a_second_answer_that_was_broken_off_is_counted_at_what_was_asked(world: World, asked: Any) -> None:
    """And by nobody else, as long as its process lives."""
    world.provider()
    second = world.provider(price=1_500_000)
    second.hold.clear()
    session, _, client = asked(duel=ALWAYS)
    assert client.post(URL, json=chat_body()).status_code == 200
    world.until(lambda: second.worked == 1)
    taken, asked_for = session.purse.pairs.cost(), session.purse.spending()[1]
    other = world.session(duel=ALWAYS)
    assert other.purse.pairs.cost() == taken
    other.close()

    duelling = session.duelling
    assert duelling is not None
    duelling._seconds._thread = None  # Nobody waits for it.
    session.close()
    again = world.session(duel=ALWAYS).purse.pairs
    assert 0 < again.cost() <= asked_for < taken
    second.hold.set()


# ------------------------------------------------------------------------------------------------- at rest


def test_pairs_outlive_the_process_and_are_sealed(world: World, asked: Any) -> None:
    for _ in range(2):
        world.provider()
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body("a very secret question"))
    (pair,) = paired(session)
    session.close()

    files = b"".join(path.read_bytes() for path in world.home.rglob("purse.db*"))
    assert b"secret" not in files
    assert world.session().purse.pairs.held() == [pair]


def test_request_and_answers_of_an_old_duel_are_forgotten_and_what_it_came_to_is_not(
    world: World, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        world.provider()
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body("a very secret question"))
    (pair,) = paired(session)
    pairs = session.purse.pairs
    pairs.end(pairs.open(pair, Atoms(0), Atoms(0), 10**9), Choice.SECOND)
    (over,) = pairs.held("over")
    session.close()

    kept = world.session(duel=ALWAYS)
    assert kept.purse.pairs.held() == [over]
    kept.close()
    monkeypatch.setattr("tallystick.client.pairs.KEPT_MS", -60_000)
    later = world.session(duel=ALWAYS).purse.pairs
    (bare,) = later.held("over")
    assert (over.case.body != b"", over.case.first.payloads != ()) == (True, True)
    assert (bare.case.body, bare.case.first.payloads, bare.case.second.payloads) == (b"", (), ())
    assert duel_to_json(bare) == duel_to_json(over)
    assert later.cost() == over.cost
    later.forget()
    assert later.held() == [bare]


def test_all_old_duels_are_forgotten_however_many_there_are(
    world: World, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few at a time, but not one a look."""
    for _ in range(2):
        world.provider()
    session, _, client = asked(duel=ALWAYS)
    pairs = session.purse.pairs
    for made in range(3):
        client.post(URL, json=chat_body(f"question {made}"))
        world.until(lambda: pairs.held("held"))
        (pair,) = pairs.held("held")
        pairs.end(pairs.open(pair, Atoms(0), Atoms(0), 10**9), Choice.SECOND)
    monkeypatch.setattr("tallystick.client.pairs.KEPT_MS", -60_000)
    monkeypatch.setattr("tallystick.client.pairs._AT_A_TIME", 2)
    pairs.forget()
    assert [pair.case.body for pair in pairs.held("over")] == [b""] * 3


def test_a_pair_that_nobody_opens_is_none_in_the_end(
    world: World, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its second answer cost stays counted."""
    for _ in range(2):
        world.provider()
    session, _, client = asked(duel=ALWAYS)
    client.post(URL, json=chat_body())
    (pair,) = paired(session)
    session.close()
    monkeypatch.setattr("tallystick.client.pairs.OPENABLE_MS", -60_000)
    later = world.session(duel=ALWAYS).purse.pairs
    assert (later.held(), later.cost()) == ([], pair.cost)
    assert later.take_over("held") == []


def test_a_judge_s_share_says_what_duels_cost_in_the_mean() -> None:
    assert Duel(share=0.05, budget=1, judges=3).cost_factor(0.5) == pytest.approx(1.125)
    assert Duel(share=0, budget=1).cost_factor(9) == 1


@pytest.mark.parametrize(
    "wrong", [{"share": -0.1}, {"share": 1.1}, {"judges": 4}, {"budget": -1}, {"fee": -1}]
)
def test_a_wish_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Duel(**({"share": 0.1, "budget": 1} | wrong))


def test_chance_draws_the_share_that_is_wanted() -> None:
    wanted = Duel(share=0.25, budget=1)
    drawn = [wanted.draws(None, step / 100) for step in range(100)]
    assert sum(drawn) == 25
    assert wanted.draws(True, 0.99)
    assert not wanted.draws(False, 0.0)
