"""Equal shares, moved at will: beside what dispatches do."""

from statistics import fmean

import pytest

from tallystick_node.sim.moving import most, moved_at_will
from tallystick_node.sim.paper import Play, measure
from tallystick_node.sim.settings import SETTINGS
from tallystick_node.sim.studies import MOVED
from tallystick_node.sim.workload import Arrival

ENGINES = [machine.speed for machine in SETTINGS["S3"].machines]


def test_one_request_alone_goes_to_the_fastest_engine() -> None:
    fastest = min(engine.step_s(sequences=1, context=1_100) for engine in ENGINES)
    (took,) = moved_at_will(ENGINES, [Arrival(0.0, 0, 100, 2_000)])
    assert took == pytest.approx(2_000 * fastest, rel=0.02)


def test_more_sequences_make_more_tokens_until_memory_is_full() -> None:
    made = [most(ENGINES, count, 5_000.0) for count in (1, 10, 50, 500)]
    assert made == sorted(made)
    assert most(ENGINES, 1_000, 5_000.0) == made[-1]


@pytest.mark.parametrize("study", ["S1", "S3"])
def test_equal_shares_are_a_little_faster_than_dispatches_that_move_nothing(study: str) -> None:
    moved, ours, strong = (
        fmean(measure(Play(study, arm, seed)).mean_s() for seed in (1, 2))
        for arm in (MOVED, "ours", "strong")
    )
    assert 0.9 * ours < moved < min(ours, strong)
