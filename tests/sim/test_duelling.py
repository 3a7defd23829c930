"""Duels are work: a second answer, and judges that read both."""

import pytest

from tallystick_node.sim.dispatch import Alone, Live
from tallystick_node.sim.duelling import Duelling
from tallystick_node.sim.hardware import hardware, twelve
from tallystick_node.sim.settings import JUDGEMENT, JUDGES
from tallystick_node.sim.workload import CHAT, Arrival, poisson
from tallystick_node.sim.world import Job, Listener, NodeSpec, World

OUTPUT = 20


@pytest.mark.parametrize(("rate", "others"), [(1.0, [OUTPUT] + [JUDGEMENT] * JUDGES), (0.0, [])])
def test_a_duel_is_a_second_answer_and_two_judgements_by_others(rate: float, others: list[int]) -> None:
    """Somebody that is gone asks later, so that the run goes on after the answer."""
    engine = hardware("Qwen3-8B", "A100")
    nodes = [NodeSpec(hardware=engine)] * 8 + [NodeSpec(hardware=None, leaves_at=1.0)]
    arrivals = [Arrival(0.5, 0, 100, OUTPUT), Arrival(80.0, 8, 100, OUTPUT)]
    result = World(nodes, Duelling(Alone(), rate, seed=1), seed=1).run(arrivals, until=100)
    home, *rest, asks = result.tokens
    assert home == OUTPUT
    assert sorted(tokens for tokens in rest if tokens) == others
    assert asks == 0
    assert (JUDGES, JUDGEMENT) == (2, 256)  # As docs/simulator.md has it.


class Noting(World):
    """It keeps what came to which engine, and when."""

    noted: list[tuple[Job, int, float]]

    def serve(self, job: Job, at: int, listener: Listener | None = None) -> None:
        self.noted.append((job, at, self.now))
        super().serve(job, at, listener)


def test_the_second_answer_is_asked_for_once_the_first_is_here_and_of_another() -> None:
    specs = [NodeSpec(hardware=each) for each in twelve()[:4]]
    world = Noting(specs, Duelling(Live(), 1.0, seed=1), seed=1)
    world.noted = []
    result = world.run(poisson(4, 60, CHAT, homes=range(4), seed=1), until=120)
    firsts = {id(outcome.arrival): outcome for outcome in result.outcomes}
    seconds = 0
    for job, at, when in world.noted:
        first = firsts.get(id(job.arrival))
        if first is None or job.outcome is first:
            continue  # A judge's question, or the first itself.
        seconds += 1
        assert when >= first.finished
        assert at not in (first.at, job.home)
    assert seconds > 0.9 * len(firsts)
