"""A market of simulated nodes: the live rules over imagined engines, network and chain."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import inf
from typing import Any

import pytest

from tallystick.client.rules import quoted, stake_weighted
from tallystick.protocol.units import Atoms
from tallystick_node.gateway.settling import SettlePolicy
from tallystick_node.network.policies import ByLoad
from tallystick_node.sim.central import Central, least_requests, papers, prefill_by_batch, strong
from tallystick_node.sim.dispatch import Alone, Live
from tallystick_node.sim.hardware import hardware, twelve
from tallystick_node.sim.links import Links
from tallystick_node.sim.outcome import Result
from tallystick_node.sim.settings import FOLLOWED_EVERY_S, FOLLOWING, SETTINGS
from tallystick_node.sim.workload import CHAT, Arrival, poisson
from tallystick_node.sim.world import MINIMUM_STAKE, Dispatch, NodeSpec, World

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
    papers = [NodeSpec(hardware=each, policy=FOLLOWING, stake_every_s=FOLLOWED_EVERY_S) for each in twelve()]
    paper = run(papers, Live(stake_weighted))
    assert attained(ours()) > 0.99
    assert attained(ours()) > attained(paper) + 0.02 > attained(alone) + 0.04


def test_what_no_engine_can_hold_is_a_miss_and_in_nobody_s_way() -> None:
    """Half a million tokens, and two that together are one too many, of 403,011 at most."""
    specs = [NodeSpec(hardware=each) for each in twelve()]
    asked = [(0.0, 500_000, 10), (0.1, 403_002, 10), (0.2, 403_001, 10), (0.3, 200, 10)]
    for dispatch in (Alone(), Live()):
        arrivals = [Arrival(at, 0, input_, output) for at, input_, output in asked]
        result = World(specs, dispatch, seed=1).run(arrivals, until=200.0)
        assert [item.finished < inf for item in result.outcomes] == [False, False, True, True]
        assert result.counts["too long"] == 2


@pytest.mark.parametrize("rule", [quoted, stake_weighted, papers, least_requests, prefill_by_batch, strong])
def test_what_some_engines_cannot_hold_runs_on_those_that_can(rule: Any) -> None:
    """Of 36,023 tokens, and of 88,450. Of some the prompt alone does not tell: the paper's rule gives up
    those that the three it has drawn refuse."""
    gpus = ("L4", "RTX5090", "RTX4090", "RTX3090")
    specs = [NodeSpec(hardware=hardware("Qwen3-8B", gpu)) for gpu in gpus]
    specs.append(NodeSpec(hardware=None))
    dispatch = Live(rule) if rule in (quoted, stake_weighted) else Central(rule)
    sizes = [(60_000, 500), (30_000, 8_000), (36_023, 1), (30_000, 6_023)]
    arrivals = [Arrival(20.0 * i, 4, *sizes[i % 4]) for i in range(20)]
    world = World(specs, dispatch, seed=1)
    result = world.run(arrivals, until=3_000)
    for item in result.outcomes:
        prompt, whole = item.arrival.input, item.arrival.input + item.arrival.output
        assert item.finished < inf or (rule is stake_weighted and prompt <= 36_023 < whole)
        assert item.at == 1 or whole <= 36_023 or item.finished == inf
    assert [world.chain.posted[i].offer.context_length for i in range(4)] == [36_023, 88_450, 36_023, 36_023]


@pytest.mark.parametrize(("dispatch", "at"), [(Alone(), -1), (Live(stake_weighted), 1)])
def test_what_one_s_own_engine_cannot_hold_is_bought_or_refused(dispatch: Dispatch, at: int) -> None:
    """Whatever the policy says, which here keeps all."""
    stays = replace(FOLLOWING, offload_frequency=0.0, queue_frequency=1.0)
    specs = [NodeSpec(hardware=hardware("Qwen3-8B", gpu), policy=stays) for gpu in ("L4", "RTX5090")]
    specs[1] = replace(specs[1], leaves_at=50.0)
    arrivals = [Arrival(t, i, 60_000, 5) for t, i in ((1.0, 0), (1.0, 1), (60.0, 0))]
    result = World(specs, dispatch, seed=1).run(arrivals, until=100)
    assert [item.at for item in result.outcomes] == [at, 1, -1]
    assert result.counts["too long"] == (1 if at == 1 else 2)


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


def test_what_is_lost_on_the_way_costs_time_and_no_answer() -> None:
    """A quarter of all messages."""
    specs = [NodeSpec(hardware=each) for each in twelve()]
    world = World(specs, Live(), seed=1, links=Links(loss=0.25))
    lossy = world.run(poisson(20, SECONDS, CHAT, homes=range(12), seed=1), until=SECONDS + 60)
    assert len(lossy.served()) == len(lossy.outcomes) == len(ours().outcomes)
    bought = [(one, other) for one, other in zip(lossy.outcomes, ours().outcomes, strict=True) if one.cost]
    later = [one.first_s - other.first_s for one, other in bought if other.cost]
    assert sum(later) / len(later) > 0.1


def test_all_that_was_earned_is_settled_by_those_that_leave() -> None:
    """Every tab is settled when it is old, or large, or its provider goes; few transactions do it."""
    specs = [NodeSpec(hardware=each, leaves_at=30) for each in twelve()]
    specs += [NodeSpec(hardware=None)] * 4
    settling = SettlePolicy(amount=Atoms(100_000), interval_s=20, minimum=Atoms(1))
    world = World(specs, Live(), seed=1, settling=settling)
    arrivals = [*poisson(10, 30, CHAT, homes=range(12, 16), seed=1), Arrival(90, 12, 10, 10)]
    result = world.run(arrivals, until=100)
    assert [item.at for item in result.outcomes if item.finished == inf] == [-1]  # Whom nobody was left for.
    assert all(node.till.unsettled == 0 for node in world.nodes)
    assert sum(node.earned for node in world.nodes) > 0
    assert 12 <= result.counts["transactions.settlements"] < len(result.outcomes) / 2


def test_prices_follow_the_load_from_the_next_block_on() -> None:
    """What was asked for at the old price costs that."""
    dear = ByLoad(lowest=500, highest=4_000)
    specs = [NodeSpec(hardware=each, policy=dear) for each in twelve()[:2]] + [NodeSpec(hardware=None)]
    world = World(specs, Live(), seed=1, block_s=7.0)
    result = world.run(poisson(2, 150, CHAT, homes=[2], seed=1), until=250)
    assert result.counts["transactions.offer"] >= 2
    at_first = [item for item in result.outcomes if item.arrival.at < 60]
    at_last = [item for item in result.outcomes if item.arrival.at > 130]
    costs = [
        sum(item.cost for item in some) / sum(item.arrival.input + 3 * item.arrival.output for item in some)
        for some in (at_first, at_last)
    ]
    assert costs[0] == pytest.approx(0.2, rel=0.01)  # Atoms a token: nobody's price has changed yet.
    assert costs[1] < 0.9 * costs[0]


def test_stakes_follow_loads_in_credits_by_the_rule_of_the_paper() -> None:
    """Four of who stands idle, soon; one of who is full and has nobody waiting."""
    policy = replace(FOLLOWING, offload_frequency=0.0, queue_frequency=1.0)
    machine = SETTINGS["S1"].machines[0]
    specs = [NodeSpec(hardware=machine, policy=policy, stake_every_s=FOLLOWED_EVERY_S) for _ in range(2)]
    world = World(specs, Live(stake_weighted), seed=1)
    world.run([Arrival(0, 0, 4_000, 4_000) for _ in range(40)], until=40)
    credits = [(node.staked - MINIMUM_STAKE) // FOLLOWING.stake_unit for node in world.nodes]
    assert credits == [1, 4]
    assert [world.chain.posted[i].stake.staked for i in range(2)] == [node.staked for node in world.nodes]
