"""Duels as load: a part of the requests is answered by two nodes, and judged by others. What a verdict moves
is `tallystick.protocol.duel`'s business, and who would win is nobody's here."""

from math import inf
from random import Random
from typing import Final

from tallystick_node.sim.outcome import Outcome
from tallystick_node.sim.settings import JUDGEMENT, JUDGES
from tallystick_node.sim.workload import Arrival
from tallystick_node.sim.world import Dispatch, Job, Node, World

_LOOK_S: Final = 1.0
"""Between two looks at whether an answer is there."""


class Duelling:
    """As `inner` dispatches; what duels add to that is drawn by stake."""

    def __init__(self, inner: Dispatch, rate: float, *, seed: int):
        """`rate`: part of the requests."""
        self._inner = inner
        self._rate = rate
        self._random = Random(f"{seed} duels")

    def arrived(self, world: World, job: Job) -> None:
        self._inner.arrived(world, job)
        if self._random.random() >= self._rate:
            return
        world.events.after(_LOOK_S, self._look, world, job.outcome)

    def _look(self, world: World, one: Outcome) -> None:
        """The second answer is asked for once the first is here: of another than who gave it."""
        if one.finished == inf:
            world.events.after(_LOOK_S, self._look, world, one)
            return
        asked = one.arrival
        for second in self._drawn(world, 1, {asked.home, one.at}):
            again = Job(asked, Outcome(asked), asked.input, asked.output)
            self._send(world, again, second)
            world.events.after(_LOOK_S, self._look_again, world, one, again.outcome)

    def _look_again(self, world: World, one: Outcome, other: Outcome) -> None:
        if other.finished == inf:
            world.events.after(_LOOK_S, self._look_again, world, one, other)
            return
        asked = one.arrival
        judged = Arrival(world.now, asked.home, asked.input + 2 * asked.output, JUDGEMENT)
        for judge in self._drawn(world, JUDGES, {one.at, other.at}):
            job = Job(judged, Outcome(judged), judged.input, judged.output)
            self._send(world, job, judge)

    def _send(self, world: World, job: Job, to: Node) -> None:
        def reached() -> None:
            world.serve(job, to.index)

        world.events.after(world.way_s(job.home, to.index), reached)

    def _drawn(self, world: World, count: int, without: set[int]) -> list[Node]:
        """By stake, without replacement."""
        able = [
            node
            for node in world.nodes
            if node.engine is not None and node.there and not node.leaving and node.index not in without
        ]
        keyed = [(self._random.expovariate(node.spec.stake), node.index) for node in able]
        return [world.nodes[index] for _, index in sorted(keyed)[:count]]
