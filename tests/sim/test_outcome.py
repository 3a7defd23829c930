"""What has not ended is a miss of every objective, in every figure that is drawn from a run."""

from math import inf, isnan

import pytest

from tallystick_node.sim.outcome import Outcome, Result, quantile
from tallystick_node.sim.studies import Played
from tallystick_node.sim.workload import Arrival

LATENCIES = (100.0, 200.0, 300.0, inf)
"""Seconds; one never came."""
RUN = Played(
    arrived=(0.0, 1.0, 2.0, 3.0),
    latencies=LATENCIES,
    homes=(0,) * 4,
    served=(0, 0, 0, -1),
    probes=0,
    bounces=0,
)


@pytest.mark.parametrize(
    ("threshold_s", "part"), [(99, 0), (100, 0.25), (299, 0.5), (400, 0.75), (1e9, 0.75)]
)
def test_what_never_came_was_not_answered_in_time(threshold_s: float, part: float) -> None:
    assert RUN.attained(threshold_s) == part


@pytest.mark.parametrize(
    ("part", "seconds"), [(0.25, 100), (0.5, 200), (0.75, 300), (0.76, inf), (0.99, inf)]
)
def test_what_never_came_took_forever(part: float, seconds: float) -> None:
    assert RUN.quantile_s(part) == quantile(LATENCIES, part) == seconds


def test_a_mean_is_of_those_that_ended_and_what_was_lost_is_said_beside_it() -> None:
    assert (RUN.mean_s(), RUN.lost) == (200, 1)


def test_what_did_not_end_counts_in_a_share() -> None:
    """Also where its first token was there in time."""
    ended = [Outcome(Arrival(at, 0, 10, 10), first=at + 1, finished=at + 1.5) for at in (0.0, 1.0, 2.0)]
    begun = Outcome(Arrival(3.0, 0, 10, 10), first=3.5)
    result = Result([*ended, begun, Outcome(Arrival(4.0, 0, 10, 10))])
    assert result.share(Outcome.met) == 0.6
    assert result.share(Outcome.met, since=2.0) == pytest.approx(1 / 3)
    assert result.share(Outcome.met, since=2.0, until=4.0) == 0.5
    assert isnan(result.share(Outcome.met, since=1e6))
    assert len(result.served()) == 3
