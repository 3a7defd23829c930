"""Duels are work: a second answer, and judges that read both."""

import pytest

from tallystick_node.sim.dispatch import Alone
from tallystick_node.sim.duelling import Duelling
from tallystick_node.sim.hardware import hardware
from tallystick_node.sim.settings import JUDGEMENT, JUDGES
from tallystick_node.sim.workload import Arrival
from tallystick_node.sim.world import NodeSpec, World

OUTPUT = 20


@pytest.mark.parametrize(("rate", "others"), [(1.0, [OUTPUT] + [JUDGEMENT] * JUDGES), (0.0, [0] * 3)])
def test_a_duel_is_a_second_answer_and_two_judgements_by_others(rate: float, others: list[int]) -> None:
    """Somebody that is gone asks later, so that the run goes on after the answer."""
    engine = hardware("Qwen3-8B", "A100")
    nodes = [NodeSpec(hardware=engine)] * 4 + [NodeSpec(hardware=None, leaves_at=1.0)]
    arrivals = [Arrival(0.5, 0, 100, OUTPUT), Arrival(80.0, 4, 100, OUTPUT)]
    result = World(nodes, Duelling(Alone(), rate, seed=1), seed=1).run(arrivals, until=100)
    home, *rest, asks = result.tokens
    assert home == OUTPUT
    assert sorted(rest) == others
    assert asks == 0
    assert (JUDGES, JUDGEMENT) == (2, 256)  # As docs/simulator.md has it.
