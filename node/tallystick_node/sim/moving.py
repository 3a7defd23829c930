"""What equal shares, moved at will, would do: all requests that run are laid out over the engines anew, twice
a second and at no cost, so that together they make the most tokens, of which each request gets as many as the
other.

No dispatch moves answers that have begun, and this is a mark to compare one with; it bounds none. Who gave
some requests more than others would be faster, even one that does not know how long answers will be.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from tallystick.protocol.speed import Speed
from tallystick_node.sim.workload import Arrival

_STEP_S: Final = 0.5
_STALE_S: Final = 10.0
"""For which the same requests are taken to be as fast: their contexts grow."""


@dataclass(slots=True)
class _Running:
    arrival: Arrival
    place: int
    produced: float = 0.0

    @property
    def context(self) -> float:
        return self.arrival.input + self.produced


def moved_at_will(engines: Sequence[Speed], arrivals: Iterable[Arrival]) -> list[float]:
    """Seconds of each answer, in order of arrival."""
    coming = list(arrivals)
    latencies = [0.0] * len(coming)
    there: list[_Running] = []
    now, came, each_s, laid_out, known = 0.0, 0, 0.0, -_STALE_S, -1
    while came < len(coming) or there:
        while came < len(coming) and coming[came].at <= now:
            there.append(_Running(coming[came], came))
            came += 1
        if there and (len(there) != known or now - laid_out >= _STALE_S):
            each_s = most(engines, len(there), fmean(one.context for one in there)) / len(there)
            laid_out, known = now, len(there)
        for one in there:
            one.produced += each_s * _STEP_S
            if one.produced >= one.arrival.output:
                latencies[one.place] = now + _STEP_S / 2 - one.arrival.at
        there = [one for one in there if one.produced < one.arrival.output]
        now += _STEP_S
    return latencies


def most(engines: Sequence[Speed], count: int, context: float) -> float:
    """Tokens a second that so many sequences, of so much context each, get at most: one after another is put
    where it adds most. What fits in no memory waits."""
    held, made = [0] * len(engines), [0.0] * len(engines)
    for _ in range(count):
        more = [_rate(engine, n + 1, context) for engine, n in zip(engines, held, strict=True)]
        gains = [new - old for new, old in zip(more, made, strict=True)]
        best = max(range(len(engines)), key=gains.__getitem__)
        if gains[best] <= 0:
            break
        held[best] += 1
        made[best] = more[best]
    return sum(made)


def _rate(engine: Speed, sequences: int, context: float) -> float:
    held = int(sequences * context)
    if engine.capacity and held > engine.capacity:
        return 0.0
    return sequences / engine.step_s(sequences=sequences, context=held)
