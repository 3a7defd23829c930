"""What else of the world a run may play: loss, the nodes' own gossip, credit, own users that are refused."""

from collections.abc import Sequence
from math import inf

import pytest
from typer.testing import CliRunner

from tallystick_node.cli import app
from tallystick_node.network.lobby import LobbyLimits
from tallystick_node.sim.detail import LIVE_LIMITS, Detail
from tallystick_node.sim.dispatch import Alone, Live
from tallystick_node.sim.gossiped import Gossiped
from tallystick_node.sim.hardware import Hardware, hardware, twelve
from tallystick_node.sim.outcome import Result
from tallystick_node.sim.workload import CHAT, Arrival, poisson
from tallystick_node.sim.world import NodeSpec, World

ENGINE = hardware("Qwen3-8B", "A100")
SECONDS = 15.0


def specs(engines: Sequence[Hardware] = twelve()) -> list[NodeSpec]:
    return [NodeSpec(hardware=each) for each in engines]


def run(detail: Detail, nodes: Sequence[NodeSpec] | None = None) -> tuple[World, Result]:
    world = detail.world(specs() if nodes is None else nodes, Live(), seed=1)
    return world, world.run(poisson(20, SECONDS, CHAT, homes=range(12), seed=1), until=SECONDS + 60)


# ------------------------------------------------------------------------------------------ gossip


def test_a_market_works_by_the_news_that_its_nodes_own_gossip_carries() -> None:
    world, result = run(Detail(gossip=True))
    assert isinstance(world.news, Gossiped)
    assert len(result.served()) == len(result.outcomes)
    assert sum(item.cost > 0 for item in result.outcomes) > len(result.outcomes) / 3
    assert result.counts["gossip bytes"] > 12 * SECONDS * 1_000


def test_a_run_with_gossip_follows_from_its_seed() -> None:
    one, other = (run(Detail(gossip=True, loss=0.02))[1] for _ in range(2))
    assert one.outcomes == other.outcomes
    assert one.counts == other.counts


def test_what_one_says_is_heard_by_all_after_a_while_and_not_at_once() -> None:
    world = World([*specs(), NodeSpec(hardware=None)], Live(), seed=1, gossips=True)
    running = [Arrival(10.0, 0, 500, 8_000) for _ in range(20)]
    heard: dict[int, list[int]] = {}

    def look(at: int) -> None:
        told = [world.news.heard(by, 0, world.now) for by in range(1, 13)]
        heard[at] = [0 if each is None else each.status.running + each.status.waiting for each in told]

    for at in (9, 11, 18):
        world.events.at(at, look, at)
    World.run(world, running, until=20)
    assert set(heard[9]) == {0}
    assert min(heard[11]) == 0
    assert min(heard[18]) > 0


def test_who_dies_is_accused_and_then_suspected_by_all() -> None:
    nodes = specs()
    nodes[3] = NodeSpec(hardware=ENGINE, leaves_at=5.0, dies=True)
    world, _ = run(Detail(gossip=True), nodes)
    others = [by for by in range(12) if by != 3]
    assert all(world.news.is_suspected(by, 3, world.now) for by in others)
    assert not any(world.news.is_suspected(by, 4, world.now) for by in others if by != 4)


def test_what_payers_found_of_a_liar_is_carried_to_others() -> None:
    nodes = [NodeSpec(hardware=each, lies=index == 9) for index, each in enumerate(twelve())]
    world = World(nodes, Live(), seed=1, gossips=True)
    world.run(poisson(60, 40, CHAT, homes=range(12), seed=1), until=45)
    ratios = [world.news.ratio(by, 9) for by in range(9)]
    assert sum(ratio > 1.2 for ratio in ratios) > 6


# ---------------------------------------------------------------------------------------- own users that wait


def busy_home(limits: LobbyLimits | None) -> Result:
    """One engine that answers two at a time, and six who ask for a minute's answer."""
    slow = Hardware(name="slow", speed=ENGINE.speed, slots=2)
    world = World([NodeSpec(hardware=slow), NodeSpec(hardware=None)], Live(), seed=1, limits=limits)
    return world.run([Arrival(1.0 + at / 10, 0, 100, 4_000) for at in range(6)], until=1_000)


def test_who_waits_too_long_is_refused_and_who_comes_where_too_many_wait() -> None:
    patient = busy_home(None)
    assert len(patient.served()) == 6
    once = patient.outcomes[0].latency_s
    short = busy_home(LobbyLimits(running=2, waiting=9, waiting_s=1.5 * once, each=9))
    assert [item.finished < inf for item in short.outcomes] == [True] * 4 + [False] * 2
    assert short.counts["crowded"] == 2
    few = busy_home(LobbyLimits(running=2, waiting=1, waiting_s=1e6, each=9))
    assert [item.finished < inf for item in few.outcomes] == [True] * 3 + [False] * 3


def test_limits_are_those_of_a_node_that_is_not_configured() -> None:
    assert (LIVE_LIMITS.waiting, LIVE_LIMITS.waiting_s) == (1_024, 60)


# ------------------------------------------------------------------------------------------ credit


def bought(credit: int) -> Result:
    """One that has no engine asks one provider for eight answers at once."""
    nodes = [NodeSpec(hardware=ENGINE), NodeSpec(hardware=None)]
    world = Detail(credit=credit).world(nodes, Live(), seed=1)
    return world.run([Arrival(1.0, 1, 500, 300) for _ in range(8)], until=200)


def test_no_more_is_begun_than_a_payer_s_credit_holds() -> None:
    """Of 4,000 atoms each answer takes 600 at first: six at a time; the others wait until one has ended."""
    free, tight = bought(0), bought(4_000)
    assert len(free.served()) == len(tight.served()) == 8
    assert free.counts["refusals"] == 0 < tight.counts["refusals"]
    ended = sorted(item.finished for item in tight.outcomes)
    begun = sorted(item.first for item in tight.outcomes)
    assert begun[5] < ended[0] < begun[6]


def test_a_request_that_no_credit_could_hold_is_never_served() -> None:
    assert not bought(150).served()


# ------------------------------------------------------------------------------------------ the commands


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["market", "--arrivals", "tides"], "tides"),
        (["market", "--arrivals", "bursty", "--trace", "x.csv"], "--arrivals"),
        (["paper", "--loss", "0.9"], "--loss"),
    ],
)
def test_what_cannot_be_played_is_refused(command: list[str], said: str) -> None:
    ran = CliRunner().invoke(app, ["sim", *command])
    assert ran.exit_code
    assert said in ran.output


def test_who_serves_at_home_alone_loses_nothing_on_the_way() -> None:
    world = Detail(loss=0.3, gossip=True, lobby=True).world(specs(), Alone(), seed=1)
    result = world.run(poisson(5, SECONDS, CHAT, homes=range(12), seed=1), until=SECONDS + 200)
    assert len(result.served()) == len(result.outcomes)
