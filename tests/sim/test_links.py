"""Messages take their way, there and back."""

import pytest

from tallystick_node.network.origin import TIMES
from tallystick_node.sim.dispatch import Live
from tallystick_node.sim.hardware import hardware
from tallystick_node.sim.links import Links
from tallystick_node.sim.outcome import Outcome
from tallystick_node.sim.search import CALLER_S
from tallystick_node.sim.workload import Arrival
from tallystick_node.sim.world import NodeSpec, World

FAR = Links(nearest_s=1.0, farthest_s=1.0)
HERE = Links(nearest_s=0.0, farthest_s=0.0)


def bought(links: Links, idle: int = 0) -> Outcome:
    """One answer, of the only provider. So many others have neither engine nor users."""
    nodes = [NodeSpec(hardware=hardware("Qwen3-8B", "A100")), *[NodeSpec(hardware=None)] * (1 + idle)]
    (outcome,) = World(nodes, Live(), seed=1, links=links).run([Arrival(5.0, 1, 100, 20)], until=60).outcomes
    assert outcome.at == 0
    return outcome


@pytest.mark.parametrize("idle", [0, 80])
def test_an_answer_bought_elsewhere_comes_later_by_the_way_there_and_back(idle: int) -> None:
    """Of few nodes or of many: the ways between few are kept."""
    far, near = bought(FAR, idle), bought(HERE, idle)
    trips = 2 * (1 + bool(far.probes))
    assert far.probes == near.probes
    assert far.first_s == pytest.approx(near.first_s + trips)
    assert far.latency_s == pytest.approx(near.latency_s + trips)


def test_each_pair_is_as_far_apart_as_the_other_way_round() -> None:
    ways = [Links().way_s(one, other, 1) for one in range(20) for other in range(one)]
    assert ways == [Links().way_s(other, one, 1) for one in range(20) for other in range(one)]
    assert 0.005 <= min(ways) < 0.015 < 0.065 < max(ways) <= 0.075
    assert Links().way_s(3, 3, 1) == 0


def test_messages_have_as_long_to_connect_in_as_a_node_s_purchases_have() -> None:
    assert TIMES["connect"] == CALLER_S
