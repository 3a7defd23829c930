"""What one who sees everything decides: rules over engines as they are."""

from functools import partial

import pytest

from tallystick.protocol.speed import Load
from tallystick.protocol.units import Tokens
from tallystick_node.sim.central import (
    Central,
    Pick,
    Sight,
    greedy,
    least_requests,
    papers,
    prefill_by_batch,
    strong,
)
from tallystick_node.sim.hardware import hardware, twelve
from tallystick_node.sim.workload import Arrival
from tallystick_node.sim.world import NodeSpec, World


def sight(
    gpu: str = "A100",
    *,
    running: int = 0,
    waiting: int = 0,
    queued: int = 0,
    usage: float = 0.0,
    home: bool = False,
) -> Sight:
    load = Load(
        running=running,
        waiting=waiting,
        context=Tokens(1_200 * running),
        queued=Tokens(queued or 1_000 * waiting),
    )
    return Sight(hardware("Qwen3-8B", gpu).speed, load, usage, home)


def test_the_paper_s_stays_at_home_until_that_is_full() -> None:
    others = [sight(usage=0.1), sight(usage=0.05)]
    assert papers([*others, sight(usage=0.69, home=True)], 1_000, 200) == 2
    assert papers([*others, sight(usage=0.7, home=True)], 1_000, 200) == 1


def test_least_requests_counts_those_that_wait() -> None:
    assert least_requests([sight(running=5), sight(running=2, waiting=2)], 1_000, 200) == 1


def test_prefill_by_batch_shuns_a_long_prompt_and_a_large_batch() -> None:
    assert prefill_by_batch([sight(running=9), sight(waiting=1, queued=1_000)], 1_000, 200) == 1
    assert prefill_by_batch([sight(running=9), sight(waiting=1, queued=7_000)], 1_000, 200) == 0


def test_strong_knows_which_engine_is_fast() -> None:
    assert strong([sight("L4"), sight("H100", running=10)], 1_000, 200) == 1


def test_a_toll_spares_those_that_are_served() -> None:
    """A busy fast engine would be a little faster than a slow one that stands idle."""
    busy, idle = sight("A100", running=20), sight("L40S", running=2)
    assert strong([busy, idle], 1_000, 200) == 0
    assert greedy([busy, idle], 1_000, 200, toll=1.0) == 1


@pytest.mark.parametrize(
    "rule", [papers, least_requests, prefill_by_batch, strong, partial(greedy, toll=0.5)]
)
def test_of_a_crowd_each_sees_those_before_it_on_their_way(rule: Pick) -> None:
    """A hundred at once: were they not seen before they arrive, all would go to one place."""
    world = World([NodeSpec(hardware=each) for each in twelve()], Central(rule), seed=1)
    result = world.run([Arrival(1.0, 0, 30_000, 50) for _ in range(100)], until=900)
    assert len({item.at for item in result.outcomes}) > 2
    assert len(result.served()) == 100


def test_who_dies_has_its_requests_ended_by_others() -> None:
    specs = [NodeSpec(hardware=each) for each in twelve()[:2]]
    specs.append(NodeSpec(hardware=twelve()[0], leaves_at=2.0, dies=True))
    result = World(specs, Central(strong), seed=1).run(
        [Arrival(1.9 + i / 100, 1, 1_000, 300) for i in range(20)], until=300
    )
    assert len(result.served()) == 20
    assert all(item.at != 2 for item in result.outcomes)
