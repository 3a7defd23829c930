"""What came of each request of a run, and figures over many."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf, nan

from tallystick_node.sim.workload import Arrival


@dataclass(slots=True)
class Outcome:
    """Of one request. It is a miss of every objective where it never ended."""

    arrival: Arrival
    at: int = -1
    """Index of the node that served it, or its end; -1: none did."""
    first: float = inf
    """When its first token reached its home."""
    finished: float = inf
    """When its last one did; infinite: never."""
    probes: int = 0
    """Quotes asked for."""
    bounces: int = 0
    moves: int = 0
    """Times that it was begun anew elsewhere, because a node was gone."""
    cost: int = 0
    """Atoms, for what was bought."""

    @property
    def latency_s(self) -> float:
        return self.finished - self.arrival.at

    @property
    def first_s(self) -> float:
        return self.first - self.arrival.at

    @property
    def token_s(self) -> float:
        """Between tokens after the first."""
        if self.finished == inf:
            return inf
        return (self.finished - self.first) / max(1, self.arrival.output - 1)

    def met(self, *, first_s: float = 3.0, token_s: float = 0.1) -> bool:
        return self.finished < inf and self.first_s <= first_s and self.token_s <= token_s


@dataclass(slots=True)
class Sample:
    """Of one node, at one moment."""

    at: float
    running: list[int]
    """Sequences that are being answered, by node."""
    waiting: list[int]
    usage: list[float]
    """0 to 1, of the context that fits."""
    credit: list[int]
    """Atoms earned less atoms spent, by node."""


@dataclass
class Result:
    """Of one run."""

    outcomes: list[Outcome]
    samples: list[Sample] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Messages, bytes, probes, bounces, lost, statuses, transactions, events …"""
    busy_s: list[float] = field(default_factory=list)
    """By node, seconds in which its engine worked."""
    tokens: list[int] = field(default_factory=list)
    """By node, output."""

    def served(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.finished < inf]

    def mean_latency_s(self) -> float:
        """Of those that ended."""
        done = self.served()
        return sum(outcome.latency_s for outcome in done) / len(done) if done else inf

    def share(self, met: Callable[[Outcome], bool], *, since: float = 0.0, until: float = inf) -> float:
        """Of the requests that came in that time, those of which it holds; failures are among the others. Of
        none it is unknown."""
        counted = [item for item in self.outcomes if since <= item.arrival.at < until]
        return sum(map(met, counted)) / len(counted) if counted else nan


def quantile(values: Iterable[float], part: float) -> float:
    """The smallest of them that at least that part does not exceed."""
    ordered: Sequence[float] = sorted(values)
    if not ordered:
        return inf
    return ordered[min(len(ordered) - 1, max(0, -int(-part * len(ordered) // 1) - 1))]
