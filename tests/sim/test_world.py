"""A market of simulated nodes: the live rules over imagined engines, network and chain."""

from collections.abc import Sequence
from functools import cache

import pytest

from tallystick.client.rules import stake_weighted
from tallystick_node.network.policies import Paper
from tallystick_node.sim.dispatch import Alone, Live
from tallystick_node.sim.hardware import twelve
from tallystick_node.sim.outcome import Result
from tallystick_node.sim.workload import CHAT, poisson
from tallystick_node.sim.world import Dispatch, NodeSpec, World

SECONDS = 40.0


def run(specs: Sequence[NodeSpec], dispatch: Dispatch, *, rate: float = 20.0, seed: int = 1) -> Result:
    homes = [i for i, spec in enumerate(specs) if spec.leaves_at > SECONDS]
    workload = poisson(rate, SECONDS, CHAT, homes=homes, seed=seed)
    return World(specs, dispatch, seed=seed).run(workload, until=SECONDS + 60)


@cache
def ours(seed: int = 1) -> Result:
    return run([NodeSpec(hardware=each) for each in twelve()], Live(), seed=seed)


def attained(result: Result) -> float:
    return result.share(lambda outcome: outcome.met(), since=SECONDS / 4)


def test_a_run_follows_from_its_seed() -> None:
    one, other = ours(), run([NodeSpec(hardware=each) for each in twelve()], Live())
    assert one.outcomes == other.outcomes
    assert one.counts == other.counts
    assert one.outcomes != ours(seed=2).outcomes


def test_nodes_that_buy_serve_their_users_better_than_each_alone_and_than_the_paper_s() -> None:
    alone = run([NodeSpec(hardware=each) for each in twelve()], Alone())
    paper = run([NodeSpec(hardware=each, policy=Paper()) for each in twelve()], Live(stake_weighted))
    assert attained(ours()) > 0.99
    assert attained(ours()) > attained(paper) + 0.02 > attained(alone) + 0.04


def test_every_atom_spent_is_earned_by_somebody() -> None:
    world = World([NodeSpec(hardware=each) for each in twelve()], Live(), seed=3)
    result = world.run(poisson(20, SECONDS, CHAT, homes=range(12), seed=3), until=SECONDS + 60)
    spent = sum(node.spent for node in world.nodes)
    assert spent == sum(node.earned for node in world.nodes) == sum(item.cost for item in result.outcomes) > 0


@pytest.mark.parametrize("dies", [True, False])
def test_what_a_node_that_goes_has_begun_is_ended(dies: bool) -> None:
    """By others where it died: nobody's request is lost that came to a node that is there."""
    specs = [NodeSpec(hardware=each) for each in twelve()]
    specs[0] = NodeSpec(hardware=twelve()[0], leaves_at=20, dies=dies)
    result = run(specs, Live())
    assert len(result.served()) == len(result.outcomes)
    assert any(outcome.moves for outcome in result.outcomes) is dies
    assert all(outcome.at != 0 for outcome in result.outcomes if outcome.arrival.at > 25)
