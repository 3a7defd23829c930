"""What the default rule is for: a fleet of unequal engines serves more requests well by it than by others."""

from dataclasses import dataclass
from functools import cache
from statistics import median

import pytest

from tallystick.client.choose import Policy
from tallystick.client.rules import cheapest, quoted, stake_weighted
from tests.client.engines import Job
from tests.client.fleet import Fleet

BUSY = 34.0
"""Requests a second: about nine tenths of what the fleet can do at all."""
THREE = frozenset({2, 5, 8})
"""A quarter of the providers, the second fastest of them one."""


@dataclass(frozen=True)
class Run:
    attained: float
    jobs: list[Job]


@cache
def run(policy: Policy, *, liars: frozenset[int] = frozenset(), papers: bool = False, seed: int = 1) -> Run:
    fleet = Fleet(policy=policy, rate=BUSY, seed=seed, seconds=40, liars=liars, papers=papers).run()
    return Run(fleet.attained(), fleet.jobs)


def test_the_default_serves_nearly_all_well() -> None:
    assert run(quoted).attained > 0.99


def test_it_beats_the_rule_of_the_paper() -> None:
    """Also where providers refuse by its usage target, which is what keeps drawing by stake alive at all."""
    assert run(quoted).attained > run(stake_weighted, papers=True).attained + 0.05


def test_it_beats_the_cheapest() -> None:
    assert run(quoted).attained > run(cheapest).attained + 0.5


def test_a_quarter_of_liars_costs_little() -> None:
    """They say that they stand idle. What payers tell each other of them is worth more than what they say."""
    assert run(quoted).attained - run(quoted, liars=THREE).attained <= 0.02


def test_what_is_quoted_is_what_comes() -> None:
    """Of honest providers, in the median and by the gateway's own clock."""
    done = [job for job in run(quoted).jobs if job.finished and job.output > 20 and job.quote is not None]
    first = median((job.first - job.reached) / job.quote.first_s for job in done if job.quote)
    token = median(
        (job.finished - job.first) / (job.output - 1) / job.quote.token_s for job in done if job.quote
    )
    assert first == pytest.approx(1, abs=0.15)
    assert token == pytest.approx(1, abs=0.25)


def test_a_run_follows_from_its_seed() -> None:
    one, other = (
        [(job.at, job.finished) for job in Fleet(policy=quoted, rate=10, seed=7, seconds=5).run().jobs]
        for _ in range(2)
    )
    assert one == other
