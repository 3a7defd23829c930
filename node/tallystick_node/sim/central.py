"""Dispatch by one who sees every engine as it is this moment, and all that is on its way there: what no
market can have, to hold a market against.

A rule is a pure function of what it sees. Nobody, the best of them neither, knows how long an answer will be:
they go by the mean of those that ended. The way to an engine takes as long as anybody's.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from tallystick.protocol.length import TYPICAL_ANSWER
from tallystick.protocol.speed import Load, Speed, pace, slowdown_s
from tallystick.protocol.units import Tokens
from tallystick_node.sim.world import Job, Node, World

TARGET: Final = 0.7
"""Usage up to which the paper's own rule leaves a request at home."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One engine, with what is on its way there."""

    speed: Speed
    load: Load
    usage: float
    """0 to 1: the part of its memory in use."""
    is_home: bool
    """Its own user asks."""


Pick = Callable[[Sequence[Sight], int, int], int]
"""(engines, input tokens, output tokens expected) → which of them."""


def papers(sights: Sequence[Sight], _input: int, _output: int) -> int:
    """The paper's own: at home while that has room, else where usage is lowest, and of equals where the
    fewest requests are."""
    for place, sight in enumerate(sights):
        if sight.is_home and sight.usage < TARGET:
            return place
    return _least(sights, lambda sight: (sight.usage, _requests(sight.load)))


def least_requests(sights: Sequence[Sight], _input: int, _output: int) -> int:
    """What load balancers do."""
    return _least(sights, lambda sight: (_requests(sight.load), sight.load.queued))


def prefill_by_batch(sights: Sequence[Sight], input_tokens: int, _output: int) -> int:
    """LMetric's: prompt tokens to be taken in, times sequences."""
    return _least(
        sights, lambda sight: ((sight.load.queued + input_tokens) * (_requests(sight.load) + 1), sight.usage)
    )


def greedy(sights: Sequence[Sight], input_tokens: int, output: int, *, toll: float) -> int:
    """The least predicted time of the whole answer, and `toll` of what it takes from others there. Without a
    toll it is the strong centralised rule: the least expected latency."""

    def score(sight: Sight) -> tuple[float]:
        own = pace(sight.speed, sight.load, input_tokens=input_tokens, output_tokens=output).total_s(output)
        if not toll:
            return (own,)
        taken = slowdown_s(sight.speed, sight.load, input_tokens=input_tokens, output_tokens=output)
        return (own + toll * taken,)

    return _least(sights, score)


strong: Final = partial(greedy, toll=0.0)


class Central:
    """One run's dispatch by one rule."""

    def __init__(self, rule: Pick):
        self._rule = rule
        self._coming: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
        """By node, what is on its way there: requests, and their input."""
        self._ended, self._tokens = 1, float(TYPICAL_ANSWER)
        """Answers, and how long all of them were."""

    def arrived(self, world: World, job: Job) -> None:
        """Where no engine is there that holds it, nobody answers."""
        able = [node for node in world.nodes if node.engine is not None and node.there and not node.leaving]
        nodes = [node for node in able if node.holds(job)]
        if not nodes:
            return
        sights = [self._sight(world, node, job) for node in nodes]
        chosen = nodes[self._rule(sights, job.input, max(1, round(self._tokens / self._ended)))].index
        self._bound_for(chosen, 1, job.input)
        world.events.after(world.way_s(job.home, chosen), self._reached, world, job, chosen)

    def _sight(self, world: World, node: Node, job: Job) -> Sight:
        assert node.engine is not None
        load = node.load(world.now_ms)
        coming, tokens = self._coming[node.index]
        if coming:
            load = replace(load, waiting=load.waiting + coming, queued=Tokens(load.queued + tokens))
        return Sight(node.engine.speed, load, node.usage(load), node.index == job.home)

    def _bound_for(self, at: int, requests: int, tokens: int) -> None:
        coming = self._coming[at]
        coming[0] += requests
        coming[1] += tokens

    def _reached(self, world: World, job: Job, at: int) -> None:
        self._bound_for(at, -1, -job.input)
        if world.nodes[at].there:
            world.serve(job, at, _Watched(self, world, job))
        else:
            self.arrived(world, job)

    def note(self, output: int) -> None:
        """An answer of so many tokens ended."""
        self._ended += 1
        self._tokens += output


@dataclass(slots=True)
class _Watched:
    central: Central
    world: World
    job: Job

    def began(self) -> None:
        pass

    def ended(self) -> None:
        self.central.note(self.job.arrival.output)

    def broke(self) -> None:
        self.central.arrived(self.world, self.job)


def _requests(load: Load) -> int:
    return load.running + load.waiting


def _least(sights: Sequence[Sight], key: Callable[[Sight], tuple[float, ...]]) -> int:
    """Of equals the first."""
    return min(range(len(sights)), key=lambda place: (key(sights[place]), place))
