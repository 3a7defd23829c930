"""What a policy is told, and that nothing which it does stops the node."""

import signal
from dataclasses import dataclass, field
from typing import Any

import pytest

from tallystick.protocol.speed import Load, Pace, Speed, pace
from tallystick.protocol.units import Atoms, AtomsPerMTok, Milliseconds, Tokens
from tallystick_node.local.network.operated import TURN, Operated
from tallystick_node.local.network.rules import Times
from tallystick_node.network.participation import Mean, Participation, context_of
from tallystick_node.network.policies import ByLoad, Policy, Prices, Request, State

SPEED = Speed(
    fixed=10**9,
    sequence=10**8,
    weights=10**10,
    token=10**7,
    context=10**5,
    capacity=Tokens(1_000),
    chunk=Tokens(512),
)
BASE = Prices(input=AtomsPerMTok(10), cached_input=AtomsPerMTok(5), output=AtomsPerMTok(30))
OWN = Request(model="tiny", input_tokens=Tokens(100), output_tokens=Tokens(50), own=True)


@dataclass
class Engine:
    speed: Speed | None = None
    running: int = 3
    context: int = 400

    def load(self) -> Load:
        return Load(running=self.running, waiting=1, context=Tokens(self.context), queued=Tokens(100))

    def free(self) -> int:
        return 4

    def most(self) -> int:
        return 8


class Clock:
    def milliseconds(self) -> Milliseconds:
        return Milliseconds(7)


@dataclass
class Says:
    """The same to every question, and what it was told."""

    answer: Any
    told: list[State] = field(default_factory=list)

    def _say(self, state: State) -> Any:
        self.told.append(state)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def accept(self, request: Request, state: State) -> Any:
        return self._say(state)

    offload = accept

    def price(self, state: State) -> Any:
        return self._say(state)

    stake = price


def made(policy: Policy, engine: Engine | None = None) -> Participation:
    return Participation(policy, engine or Engine(), Clock())


def test_it_is_told_of_the_engine_the_market_and_the_account() -> None:
    policy = Says(True)
    elsewhere = Pace(0.1, 0.01)
    engine = Engine(speed=SPEED)
    assert made(policy, engine).offloads(OWN, elsewhere=elsewhere, providers=3, balance=Atoms(9))
    (state,) = policy.told
    expected = pace(SPEED, engine.load(), input_tokens=100, output_tokens=50)
    assert (state.here, state.elsewhere, state.providers, state.balance) == (expected, elsewhere, 3, 9)
    assert (state.room, state.usage, state.load.running, state.now) == (4, 0.5, 3, 7)


@pytest.mark.parametrize(
    ("told", "speed", "context"),
    [(0, None, 0), (900, None, 900), (900, SPEED, 900), (0, SPEED, 1_000), (1_100, SPEED, 1_000)],
)
def test_an_engine_has_the_context_that_it_tells_and_that_fits_its_memory(
    told: int, speed: Speed | None, context: int
) -> None:
    assert context_of(Tokens(told), speed) == context


@pytest.mark.parametrize("says", [True, False, None, RuntimeError("!")])
def test_of_what_the_engine_cannot_hold_no_policy_is_asked(says: object) -> None:
    policy = Says(says)
    sold = [made(policy).offloads(OWN, elsewhere=None, providers=count, holds=False) for count in (1, 0)]
    assert (sold, policy.told) == ([True, False], [])


def test_each_question_has_a_seed_of_its_own() -> None:
    policy = Says(True)
    participation = made(policy)
    for _ in range(3):
        participation.accepts(OWN)
    assert len({state.seed for state in policy.told}) == 3


def test_usage_is_of_the_context_where_that_is_known_and_of_the_requests_elsewhere() -> None:
    assert made(ByLoad(), Engine(speed=SPEED)).usage == 0.5
    assert made(ByLoad(), Engine(speed=SPEED, context=5_000)).usage == 1.0
    assert made(ByLoad(), Engine()).usage == 0.5
    assert made(ByLoad(), Engine(running=99)).usage == 1.0


@pytest.mark.parametrize("nonsense", [RuntimeError("!"), "yes", 1, None])
def test_what_is_no_decision_leaves_it_to_the_default(nonsense: object) -> None:
    participation = made(Says(nonsense))
    assert participation.accepts(OWN) is True
    if nonsense is not None:
        assert participation.offloads(OWN, elsewhere=None, providers=1) is False


@pytest.mark.parametrize(
    "nonsense",
    [
        RuntimeError("!"),
        7,
        {"input": 1},
        Prices(input=AtomsPerMTok(-1), cached_input=AtomsPerMTok(1), output=AtomsPerMTok(1)),
        Prices(input=AtomsPerMTok(1 << 64), cached_input=AtomsPerMTok(1), output=AtomsPerMTok(1)),
        Prices(input=0.5, cached_input=AtomsPerMTok(1), output=AtomsPerMTok(1)),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_price_changes_none(nonsense: object) -> None:
    assert made(Says(nonsense)).price(0.5, BASE, BASE) is None


def test_prices_and_stake_that_are_so_already_are_not_sent() -> None:
    dearer = BASE.scaled_up(1_100)
    assert made(Says(dearer)).price(0.5, BASE, BASE) == dearer
    assert made(Says(dearer)).price(0.5, BASE, dearer) is None
    assert made(Says(Atoms(300))).stake(0.5, Atoms(200), Atoms(100)) == 300
    assert made(Says(Atoms(300))).stake(0.5, Atoms(300), Atoms(100)) is None
    assert made(Says(None)).stake(0.5, Atoms(300), Atoms(100)) is None


@pytest.mark.parametrize("wanted", [0, 99, 100])
def test_no_policy_stakes_less_than_the_market_s_minimum(wanted: int) -> None:
    assert made(Says(Atoms(wanted))).stake(0.5, Atoms(200), Atoms(100)) == 100


@pytest.mark.parametrize("nonsense", [-1, 1.5, True, "all"])
def test_what_is_no_stake_changes_none(nonsense: object) -> None:
    assert made(Says(nonsense)).stake(0.5, Atoms(200), Atoms(100)) is None


def test_an_operator_s_program_puts_another_policy_in_its_place() -> None:
    before = signal.getsignal(TURN)
    try:
        operated = Operated(Times(), Engine(), Clock())
        assert operated.price(0.5, BASE, BASE) is None
        signal.raise_signal(TURN)
        assert operated.price(0.5, BASE, BASE) == BASE.scaled_up(4_000)
    finally:
        signal.signal(TURN, before)


def test_a_mean_is_of_what_came_since_it_was_asked_for() -> None:
    mean = Mean()
    assert mean.take() is None
    for value in (0.0, 0.5, 1.0):
        mean.note(value)
    assert mean.take() == 0.5
    assert mean.take() is None
