"""Duels as load: a part of the requests is answered by two nodes, and judged by others. What a verdict moves
is `tallystick.protocol.duel`'s business, and who would win is nobody's here."""

from math import inf
from random import Random
from typing import Final

from tallystick.protocol.lottery import by_stake
from tallystick.protocol.panel import Candidate, drawn
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, Hash32
from tallystick_node.sim.outcome import Outcome
from tallystick_node.sim.settings import JUDGEMENT, JUDGES
from tallystick_node.sim.workload import Arrival
from tallystick_node.sim.world import Dispatch, Job, Node, World

_LOOK_S: Final = 1.0
"""Between two looks at whether an answer is there."""


class Duelling:
    """As `inner` dispatches; what duels add to that is drawn by stake, judges as the contract draws them."""

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
        for second in self._second(world, {asked.home, one.at}):
            again = Job(asked, Outcome(asked), asked.input, asked.output)
            if not second.holds(again):
                continue
            self._send(world, again, second)
            world.events.after(_LOOK_S, self._look_again, world, one, again.outcome)

    def _look_again(self, world: World, one: Outcome, other: Outcome) -> None:
        if other.finished == inf:
            world.events.after(_LOOK_S, self._look_again, world, one, other)
            return
        asked = one.arrival
        judged = Arrival(world.now, asked.home, asked.input + 2 * asked.output, JUDGEMENT)
        for judge in self._judges(world, one.at, other.at):
            job = Job(judged, Outcome(judged), judged.input, judged.output)
            if judge.holds(job):
                self._send(world, job, judge)

    def _send(self, world: World, job: Job, to: Node) -> None:
        def reached() -> None:
            world.serve(job, to.index)

        world.events.after(world.way_s(job.home, to.index), reached)

    def _second(self, world: World, without: set[int]) -> list[Node]:
        """Another, by stake; none where there is none."""
        stakes = {node.address: node.staked for node in self._able(world) if node.index not in without}
        return [
            world.nodes[world.index[address]]
            for address in by_stake(self._number(), ZERO_HASH, stakes, seats=1)
        ]

    def _judges(self, world: World, *duellists: int) -> list[Node]:
        """As the contract draws them; each is its own owner."""
        candidates = [
            Candidate(provider=node.address, owner=node.address, weight=node.staked)
            for node in self._able(world)
        ]
        parties = [world.nodes[index].address for index in duellists]
        panel = drawn(self._number(), JUDGES, candidates, parties)
        return [world.nodes[world.index[judge]] for judge in panel if judge != ZERO_ADDRESS]

    def _number(self) -> Hash32:
        """A block's hash, say: nobody knew it."""
        return Hash32(self._random.randbytes(32))

    def _able(self, world: World) -> list[Node]:
        return [node for node in world.nodes if node.engine is not None and node.there and not node.leaving]
