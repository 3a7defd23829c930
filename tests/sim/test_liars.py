"""Providers that lie say so to everybody, and what payers tell each other of them is heard."""

import pytest

from tallystick.client.choose import Candidate
from tallystick_node.gateway.load import IDLE
from tallystick_node.sim.dispatch import Alone, Live
from tallystick_node.sim.hardware import hardware
from tallystick_node.sim.workload import CHAT, Arrival, poisson
from tallystick_node.sim.world import NodeSpec, World

ENGINE = hardware("Qwen3-8B", "A10G")


def test_who_lies_says_that_it_stands_idle_and_who_does_not_says_what_it_has_to_do() -> None:
    """Both have ten long answers to give."""
    world = World([NodeSpec(hardware=ENGINE), NodeSpec(hardware=ENGINE, lies=True)], Alone(), seed=1)
    world.run([Arrival(1.0, i % 2, 500, 5_000) for i in range(20)], until=30)
    honest, liar = world.nodes
    for by, of in ((1, honest), (0, liar)):
        load = of.load(world.now_ms)
        told = world.news.heard(by, of.index, world.now)
        assert load.running == 10
        assert told is not None
        said = told.status
        if of is liar:
            assert of.said(of.load(world.now_ms)) == IDLE
            assert (said.running, said.waiting, said.context, said.queued) == (0, 0, 0, 0)
            assert said.room == of.slots
        else:
            assert of.said(of.load(world.now_ms)) == load
            assert said.running == 10
            assert said.context > 5_000
            assert said.room == of.slots - 10


@pytest.mark.parametrize("shares", [True, False])
def test_what_payers_found_of_a_liar_is_heard_by_those_that_never_asked_it(shares: bool) -> None:
    nodes = [NodeSpec(hardware=ENGINE, lies=i == 0) for i in range(3)] + [NodeSpec(hardware=None)] * 5
    live = Live(shares=shares)
    world = World(nodes, live, seed=1)
    world.run(poisson(5, 40, CHAT, homes=range(3, 7), seed=1), until=40)
    ratios = [world.news.ratio(7, at) for at in range(3)]
    stranger = {at: seen.seen.ratio for at, seen in candidates(live, world, by=7).items()}
    assert stranger == {at: ratios[at] for at in range(3)}
    if shares:
        assert world.counts["ratings"] > 0
        assert ratios[0] > 1.2 * max(ratios[1:])
    else:
        assert world.counts["ratings"] == 0
        assert set(ratios) == {1.0}


def candidates(live: Live, world: World, *, by: int) -> dict[int, Candidate]:
    """As that node sees them now, by provider."""
    known = live.known(world.nodes[by])
    seen = (known.look(posted) for offers in known.by_model.values() for posted in offers.posted)
    return {world.index[item.posted.offer.provider]: item for item in seen if item is not None}
