"""What the machine itself has to be, for what it finds to be true."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from tallystick.client.flow import Flow, Sleep
from tests.machine import test_machine
from tests.machine.test_machine import Market
from tests.machine.world import World, steady_chance

ONCE = settings(
    max_examples=1,
    stateful_step_count=2,
    phases=[Phase.generate],
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with steady_chance():
        made = World(tmp_path, sqlite=False, credit=800, unsecured=500, budget=2_500, deposit=5_000)
        yield made
        made.close()


def no_space(*args: object, **values: object) -> None:
    raise OSError("No space left on device")


def no_rest(world: World) -> None:
    raise AssertionError("no rest")


class Failing(Market):
    """At its first step."""

    @invariant()
    def fails(self) -> None:
        no_space()


def test_a_machine_that_cannot_begin_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_machine, "World", no_space)
    with pytest.raises(OSError, match="No space"):
        run_state_machine_as_test(Market, settings=ONCE)


def test_what_a_step_failed_by_is_told_and_not_what_comes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "come_to_rest", no_rest)
    with pytest.raises(OSError, match="No space"):
        run_state_machine_as_test(Failing, settings=ONCE)


def test_what_fails_at_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "come_to_rest", no_rest)
    with pytest.raises(AssertionError, match="no rest"):
        run_state_machine_as_test(Market, settings=ONCE)


def test_whoever_sleeps_is_woken_when_it_wanted_to_be(world: World) -> None:
    """A payer that looks at the chain for a minute does so for a minute, whatever the steps of the clock."""
    began = world.clock.now
    looks = []

    def looking() -> Flow[None]:
        for _ in range(240):
            yield Sleep(0.25)
            looks.append(world.clock.now - began)

    process = world.start(looking(), "looking")
    world.pass_time(59)
    assert looks == [250 * number for number in range(1, 236 + 1)]
    world.pass_time(2)
    assert process.done
    assert world.clock.now - began == 61_000


def test_an_event_is_in_a_block_that_was_not_there_before(world: World) -> None:
    """However many blocks came without one, and after the chain took some back."""
    for _ in range(7):
        head = world.chain.head().number
        world.post_offer(1, 10)
        assert head < world.chain.log[-1].block <= world.chain.head().number
        blocks = [event.block for event in world.chain.log]
        assert blocks == sorted(set(blocks))
        world.reorganise(2, mined_again=True)
