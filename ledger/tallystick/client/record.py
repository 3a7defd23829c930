"""What a payer remembers of providers: how long they took against what they had promised, and whether they
answered at all; and how long answers of a model are.

Pure: the time comes in. One's own evidence counts first; what others found fills in where there is little of
it. It is a memory for choosing well, never a reason to pay or not to pay.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from math import exp, log, sqrt
from typing import Final, TypeVar

from tallystick.protocol.length import InputLength
from tallystick.protocol.rating import TYPICAL_SPREAD, clipped
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Address, Milliseconds, Tokens

K = TypeVar("K")
V = TypeVar("V")

_NEWEST: Final = 0.25
"""Share of the newest answer in the moving average, once there are enough of them."""
_FADES_IN: Final = 400_000
"""Milliseconds after which an observation counts for a third or so: who was slow gets another chance."""
_ENOUGH: Final = 20
"""Observations that say as much as any number of them."""
_GRACE_S: Final = 0.1
"""Of any answer's time, nobody's fault: the way there and back, and a busy payer."""
_SHARED_WEIGHT: Final = 2.0
"""What others found counts as so many answers of one's own."""
_FIRST_REST, _LONGEST_REST = 1_000, 60_000
"""Milliseconds for which a provider that failed is left alone: at first, and after many failures."""
_APART_MS: Final = 12_000
"""Between two ratings of one channel, at least: nodes hear none sooner than `hearsay.RATED` intervals after
the last one."""
_STALE_MS: Final = 30_000
"""After which what was said is said again."""
_NEWS: Final = 0.1
"""By which the logarithm of the ratio moves where it is worth a word."""
_REMEMBERED: Final = 4_096
"""Providers, and models; those not heard of for longest are forgotten first."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Of one provider's promises."""

    mean: float = 0.0
    """Of the logarithm of observed over quoted time."""
    variance: float = TYPICAL_SPREAD**2
    count: int = 0
    at: Milliseconds = Milliseconds(0)

    def weight(self, now: Milliseconds) -> float:
        """Observations that it stands for, by now."""
        age = now - self.at
        return self.count * exp(-age / _FADES_IN) if age > 0 else self.count

    def updated(self, value: float, now: Milliseconds) -> "_Kept":
        weight = self.weight(now)
        share = max(_NEWEST, 1 / (1 + weight))
        step = value - self.mean
        spread = max(share, 1 / 8) if weight >= 1 else 0.0
        variance = (1 - spread) * self.variance + spread * step * step
        return _Kept(self.mean + share * step, variance, min(1 + round(weight), _ENOUGH), now)


_NOTHING: Final = _Kept()
"""Of whoever promised nothing yet."""


@dataclass(slots=True)
class Record:
    """One payer's memory. Threads may share it: two observations at the same moment may count as one."""

    inputs: InputLength = field(default_factory=InputLength)
    _kept: OrderedDict[Address, _Kept] = field(default_factory=OrderedDict)
    _failed: OrderedDict[Address, tuple[int, Milliseconds]] = field(default_factory=OrderedDict)
    _lengths: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)

    # ------------------------------------------------------------------------------------- what came of it

    def observe(
        self, provider: Address, quoted: Pace, observed: Pace, output_tokens: int, *, now: Milliseconds
    ) -> None:
        """An answer of so many tokens ended, of which the provider had promised `quoted`."""
        self._saw(provider, observed.total_s(output_tokens), quoted.total_s(output_tokens), now)

    def begun(self, provider: Address, quoted: Pace, first_s: float, *, now: Milliseconds) -> None:
        """The first token came after `first_s`. It tells of a queue that was kept quiet about long before the
        answer ends: an overloaded provider is known as one while the others still stream."""
        self._saw(provider, first_s, quoted.first_s, now)

    def _saw(self, provider: Address, took_s: float, promised_s: float, now: Milliseconds) -> None:
        value = log(clipped((took_s + _GRACE_S) / (promised_s + _GRACE_S)))
        _keep(self._kept, provider, self._kept.get(provider, _NOTHING).updated(value, now))

    def answered(self, provider: Address, model: str, output_tokens: int) -> None:
        """An answer ended, promised or not."""
        self._failed.pop(provider, None)
        self.ended(model, output_tokens)

    def ended(self, model: str, output_tokens: int) -> None:
        """An answer of that model had so many tokens, whoever gave it."""
        mean, count = self._lengths.get(model, (0.0, 0))
        share = max(0.05, 1 / (1 + count))
        _keep(self._lengths, model, (mean + share * (output_tokens - mean), count + 1))

    def failed(self, provider: Address, *, now: Milliseconds) -> None:
        """It did not answer, or broke off."""
        times, since = self._failed.get(provider, (0, now))
        if times == 0 or now - since >= _rest(times):  # parallel requests fail together: that is once
            _keep(self._failed, provider, (times + 1, now))

    # ------------------------------------------------------------------------------------- what follows

    def ratio(self, provider: Address, shared: float, now: Milliseconds) -> float:
        """Observed over quoted time, as one would bet on it now: one's own answers as far as there are any,
        `shared` (see `protocol.rating.agreed`) beside them."""
        others = 0.0 if shared == 1.0 else log(clipped(shared))
        own = self._kept.get(provider)
        if own is None:
            return clipped(exp(others)) if others else 1.0
        weight = own.weight(now)
        return clipped(exp((weight * own.mean + _SHARED_WEIGHT * others) / (weight + _SHARED_WEIGHT)))

    def spread(self, provider: Address) -> float:
        """Standard deviation of the logarithm of observed over quoted time: `exp(z * spread)` times the
        ratio is its quantile at z deviations."""
        own = self._kept.get(provider)
        return TYPICAL_SPREAD if own is None else sqrt(own.variance)

    def rating(self, provider: Address) -> tuple[int, int]:
        """(ratio in millionths, observations that it comes from), to be told to others."""
        own = self._kept.get(provider, _NOTHING)
        return round(1_000_000 * clipped(exp(own.mean))), own.count

    def resting(self, provider: Address, now: Milliseconds) -> bool:
        """It failed so lately that others are asked first."""
        found = self._failed.get(provider)
        return found is not None and now - found[1] < _rest(found[0])

    def typical_output(self, model: str, otherwise: Tokens) -> Tokens:
        """Output tokens of an answer of that model, as they were before; `otherwise` where there was none."""
        mean, count = self._lengths.get(model, (0.0, 0))
        return Tokens(max(1, round(mean))) if count else otherwise


def is_news(said: tuple[int, int, Milliseconds] | None, ratio: int, count: int, *, now: Milliseconds) -> bool:
    """Whether a rating is worth telling others. `said`: the last one: ratio, count and when; None: none."""
    if said is None:
        return True
    before, counted, at = said
    since = now - at
    moved = abs(log(ratio / before)) > _NEWS or count >= 2 * counted
    return since >= _APART_MS and (moved or (since >= _STALE_MS and count != counted))


def _rest(times: int) -> int:
    return min(_FIRST_REST << min(times - 1, 16), _LONGEST_REST)


def _keep(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
