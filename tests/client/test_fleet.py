"""What the default rule is for: a fleet of unequal engines serves more requests well by it than by others."""

from dataclasses import dataclass
from functools import cache
from random import Random
from statistics import median

import pytest

from tallystick.client.choose import Rule
from tallystick.client.rules import cheapest, quoted, stake_weighted
from tallystick_node.network.policies import ByLoad, Paper
from tallystick_node.sim.dispatch import Attempt, Live
from tallystick_node.sim.hardware import twelve
from tallystick_node.sim.outcome import Outcome, Result
from tallystick_node.sim.workload import CHAT, poisson
from tallystick_node.sim.world import PRICES, Node, NodeSpec, World

BUSY = 34.0
"""Requests a second: about nine tenths of what the fleet can do at all."""
SECONDS = 40.0
THREE = frozenset({2, 5, 8})
"""A quarter of the providers, the second fastest of them one."""


class Watched(Live):
    """Remembers every answer that was bought."""

    def __init__(self, rule: Rule):
        super().__init__(rule)
        self.attempts: list[Attempt] = []

    def bought(self, home: Node, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        super().bought(home, attempt)


@dataclass(frozen=True)
class Run:
    result: Result
    attempts: list[Attempt]

    @property
    def attained(self) -> float:
        """The first quarter, when all stand idle, is left out."""
        return self.result.share(Outcome.met, since=SECONDS / 4)


@cache
def run(rule: Rule, *, liars: frozenset[int] = frozenset(), papers: bool = False, seed: int = 1) -> Run:
    """Twelve providers at prices of their own, and twelve payers that have no engine."""
    takes, random = Paper() if papers else ByLoad(), Random(seed)
    providers = [
        NodeSpec(
            hardware=each,
            policy=takes,
            lies=i in liars,
            prices=PRICES.scaled_up(round(1_000 * random.uniform(0.7, 1.4))),
        )
        for i, each in enumerate(twelve())
    ]
    live = Watched(rule)
    world = World([*providers, *[NodeSpec(hardware=None)] * 12], live, seed=seed)
    workload = poisson(BUSY, SECONDS, CHAT, homes=range(12, 24), seed=seed)
    return Run(world.run(workload, until=SECONDS + 30), live.attempts)


def test_the_default_serves_nearly_all_well() -> None:
    assert run(quoted).attained > 0.98


def test_it_beats_the_rule_of_the_paper() -> None:
    """Also where providers refuse by its usage target, which is what keeps drawing by stake alive at all."""
    assert run(quoted).attained > run(stake_weighted, papers=True).attained + 0.05


def test_it_beats_the_cheapest() -> None:
    assert run(quoted).attained > run(cheapest).attained + 0.5


def test_a_quarter_of_liars_costs_little() -> None:
    """They say that they stand idle. What payers tell each other of them is worth more than what they say."""
    assert run(quoted).attained - run(quoted, liars=THREE).attained <= 0.02


def test_what_is_quoted_is_what_comes() -> None:
    """Of honest providers, in the median, without the way there and back. It comes a little sooner: of three
    that hold room for a request, two hold it for nothing."""
    done = [item for item in run(quoted).attempts if item.job.output > 20 and item.quoted is not None]
    first = median(
        (item.first_s - 2 * item.live.world.way_s(item.job.home, item.at)) / item.quoted.first_s
        for item in done
        if item.quoted
    )
    token = median(item.job.outcome.token_s / item.quoted.token_s for item in done if item.quoted)
    assert 0.8 < first < 1.1
    assert token == pytest.approx(1, abs=0.25)
