"""A market in the large: how much traffic each seller gets where requests are many, by a rule and by how busy
that makes it. No request is simulated: the flows are those at which nothing moves any more.

A rule is what payers do by their own code (`client.rules`): the default draws by slots and score, the paper's
by stake alone. Prices here are of one request, in units of what an engine spends on one.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from tallystick.client.rules import Quoted, least_cost, score
from tallystick.protocol.speed import Load, Speed, pace, slowdown_s
from tallystick.protocol.units import Tokens

INPUT, OUTPUT = 1_155, 211
"""Tokens of a request: the means of the public chat trace."""
_POINTS: Final = 48
_ROUNDS: Final = 120
_STEEP: Final = 12.0
"""What part of its full time an engine takes longer for each part of its full flow that is too much."""
_DEFAULT: Final = Quoted()


@dataclass(frozen=True, slots=True)
class Curve:
    """One engine's: how long a request takes at which flow."""

    flows: Sequence[float]
    """Requests a second, growing."""
    times_s: Sequence[float]
    """Seconds of a request as the default weighs them, with the toll."""

    @property
    def full(self) -> float:
        return self.flows[-1]

    def times(self, count: int) -> "Curve":
        """Of so many such engines together."""
        return Curve([count * flow for flow in self.flows], self.times_s)

    def mixed(self, other: "Curve", part: float) -> "Curve":
        """Of an engine that answers that part of the requests as the other does."""
        parts = [point / _POINTS for point in range(_POINTS + 1)]
        full = 1 / ((1 - part) / self.full + part / other.full)
        return Curve(
            [full * at for at in parts],
            [(1 - part) * self.time_s(at * self.full) + part * other.time_s(at * other.full) for at in parts],
        )

    def time_s(self, flow: float) -> float:
        """Beyond what it can do, a queue grows."""
        if flow >= self.full:
            return self.times_s[-1] * (1 + _STEEP * (flow / self.full - 1))
        right = max(1, bisect_left(self.flows, flow))
        low, high = self.flows[right - 1], self.flows[right]
        part = (flow - low) / (high - low)
        return self.times_s[right - 1] + part * (self.times_s[right] - self.times_s[right - 1])


@cache
def curve(speed: Speed, slots: int) -> Curve:
    """Of an engine that always has the same number of sequences, whose ends are followed by new prompts."""
    held = INPUT + OUTPUT // 2
    most = min(slots, speed.capacity // held) if speed.capacity else slots
    flows, times = [0.0], [pace(speed, _load(0), input_tokens=INPUT, output_tokens=OUTPUT).felt_s(OUTPUT)]
    for point in range(1, _POINTS + 1):
        batch = max(1, round(most * point / _POINTS))
        step_s = speed.step_s(sequences=batch, context=batch * held, prompt=batch * INPUT // OUTPUT)
        flow = batch / (OUTPUT * step_s)
        if flow <= flows[-1]:
            continue
        load = _load(batch)
        own = pace(speed, load, input_tokens=INPUT, output_tokens=OUTPUT).felt_s(OUTPUT)
        taken = slowdown_s(speed, load, input_tokens=INPUT, output_tokens=OUTPUT)
        flows.append(flow)
        times.append(max(times[-1], own + _DEFAULT.toll * taken))
    return Curve(flows, times)


def _load(batch: int) -> Load:
    return Load(running=batch, waiting=0, context=Tokens(batch * (INPUT + OUTPUT // 2)), queued=Tokens(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    engine: Curve
    price: float
    stake: float
    """In slots; any part of one."""
    cost: float = 1.0
    """What it spends on a request."""

    def times(self, count: int) -> "Seller":
        """So many alike, as one."""
        return replace(self, engine=self.engine.times(count), stake=count * self.stake)


Weights = Callable[[Sequence[Seller], Sequence[float]], Sequence[float]]
"""(sellers, seconds that a request takes at each) → what each is drawn by."""


def by_default(keenness: float = _DEFAULT.keenness, thrift: float = 1.0) -> Weights:
    """As `Quoted` draws. `thrift`: were the price to count so many times as much as it does."""

    def weights(sellers: Sequence[Seller], times: Sequence[float]) -> Sequence[float]:
        costs = [_UNIT * seller.price**thrift for seller in sellers]
        least = least_cost(sorted(costs)[len(costs) // 2])
        return [
            seller.stake / score(time, cost, least) ** keenness
            for seller, time, cost in zip(sellers, times, costs, strict=True)
        ]

    return weights


_UNIT: Final = 1e6
"""Atoms that one of the units here is: so many that half an atom is nothing."""


def by_stake(sellers: Sequence[Seller], _times: Sequence[float]) -> Sequence[float]:
    """As the paper's rule draws; whoever is full takes nothing, and the next one is asked."""
    return [seller.stake for seller in sellers]


def flows(
    sellers: Sequence[Seller], rate: float, weights: Weights, start: Sequence[float] | None = None
) -> list[float]:
    """Requests a second that each serves, of `rate` in all; what nobody has room for is lost."""
    total = sum(seller.engine.full for seller in sellers)
    found = list(start) if start else [rate * seller.engine.full / total for seller in sellers]
    damped = 0.3
    for turn in range(_ROUNDS):
        times = [seller.engine.time_s(flow) for seller, flow in zip(sellers, found, strict=True)]
        wanted = _shared(weights(sellers, times), rate)
        moved = 0.0
        for i, flow in enumerate(wanted):
            step = damped * (flow - found[i])
            found[i] += step
            moved = max(moved, abs(step))
        damped = max(0.02, damped * 0.97)
        if moved < 1e-4 * rate and turn > 3:
            break
    return _within(found, sellers)


def _shared(weights: Sequence[float], rate: float) -> list[float]:
    total = sum(weights)
    return [rate * weight / total for weight in weights]


def _within(found: list[float], sellers: Sequence[Seller]) -> list[float]:
    """What an engine cannot do goes to those that have room, in proportion to it."""
    over = sum(max(0.0, flow - seller.engine.full) for flow, seller in zip(found, sellers, strict=True))
    room = [max(0.0, seller.engine.full - flow) for flow, seller in zip(found, sellers, strict=True)]
    share = min(1.0, over / sum(room)) if sum(room) > 0 else 0.0
    return [
        min(flow, seller.engine.full) + share * free
        for flow, seller, free in zip(found, sellers, room, strict=True)
    ]
