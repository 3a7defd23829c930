"""How much answers speak against a provider, token by token, and when it is enough.

A check turns each output token into one number, its *distance* from what the promised model does. A scale
says, for each range of distances and each kind of cheat that it knows, the logarithm of how much likelier the
cheat is to come there than an honest provider at its worst. Along a provider's answers these are added up,
never below zero at an answer's beginning; where they reach the scale's strike, it is struck. Whole numbers
throughout, so that two who weigh the same answers by the same scale say the same.

For an honest provider the chance that some sum, begun at any of n answers, ever reaches the strike s is at
most n · kinds · exp(-s): each sum's exponential grows by no more than 1 in the mean (Ville's inequality).
That holds as far as the scale's honest distances are no smaller than the provider's: it must be calibrated on
the model, the precision and the engines that the offer allows. See docs/audits.md.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Final

import orjson

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.finding import Check
from tallystick.protocol.units import Hash32, Tokens

MILLION: Final = 1_000_000
"""Distances and weights are in millionths of a nat."""
_BOUND: Final = 1 << 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How one check weighs a token."""

    check: Check
    edges: tuple[int, ...]
    """Upper ends of the ranges, the end included; the last range has none."""
    weights: Mapping[str, tuple[int, ...]]
    """By kind of cheat, one for each range."""
    strike: int

    def weigh(self, distances: Iterable[int]) -> dict[str, int]:
        """What one answer adds to each kind's sum."""
        found = [0] * (len(self.edges) + 1)
        for distance in distances:
            found[bisect_left(self.edges, distance)] += 1
        return {
            kind: sum(count * weight for count, weight in zip(found, weights, strict=True))
            for kind, weights in self.weights.items()
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one check, over the answers of one provider so far."""

    sums: tuple[tuple[str, int], ...] = ()
    tokens: Tokens = Tokens(0)
    answers: int = 0
    highest: int = 0
    """That any sum reached at the end of an answer."""

    def after(self, scale: Scale, distances: Sequence[int]) -> "Evidence":
        """With one more answer."""
        before = dict(self.sums)
        sums = {
            kind: max(0, before.get(kind, 0)) + more for kind, more in sorted(scale.weigh(distances).items())
        }
        return Evidence(
            tuple(sums.items()),
            Tokens(self.tokens + len(distances)),
            self.answers + 1,
            max(self.highest, *sums.values()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """How likely honest sampled answers are: the mean log-probability of their tokens, in nats, by answer. An
    alarm and never a strike: prompts differ, and a cheat can choose its temperature."""

    mean: float
    deviation: float
    """Of one token's worth: an answer of n tokens spreads by this over √n."""
    alarm: float
    """Standard deviations off the mean."""

    def deviations(self, answers: Iterable[Sequence[float]]) -> float:
        """By how many the answers together are off."""
        scores = [score for answer in answers for score in answer]
        if not scores:
            return 0.0
        return (sum(scores) / len(scores) - self.mean) * sqrt(len(scores)) / self.deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """All that is known of one model in one precision, as `scripts/calibrate` found it."""

    model: str
    precision: str
    sampler: str
    """Of which engine on which hardware replays are: others draw other tokens from one seed."""
    ends: tuple[int, ...]
    """Token ids that end an answer by themselves."""
    checks: Mapping[Check, Scale]
    likelihood: Likelihood
    hash: Hash32
    """Of the text that they were read from."""

    def for_sampler(self, sampler: str) -> "Scales":
        """These, without what an auditor of that sampler cannot repeat."""
        if sampler == self.sampler:
            return self
        kept: dict[Check, Scale] = {
            check: self.checks[check] for check in self.checks if check != Check.REPLAY
        }
        return replace(self, checks=kept)

    @classmethod
    def read(cls, text: bytes) -> "Scales":
        """Raises MalformedMessage."""
        try:
            return _scales(orjson.loads(text), keccak(text))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise MalformedMessage("These are no scales.") from error


def _scales(data: Any, hashed: Hash32) -> Scales:
    checks = {
        Check[name.upper()]: _scale(Check[name.upper()], scale) for name, scale in data["checks"].items()
    }
    likelihood = Likelihood(**{name: float(value) for name, value in data["likelihood"].items()})
    if not likelihood.deviation > 0:
        raise ValueError("answers that do not differ")
    return Scales(
        model=str(data["model"]),
        precision=str(data["precision"]),
        sampler=str(data["sampler"]),
        ends=tuple(map(_whole, data["ends"])),
        checks=checks,
        likelihood=likelihood,
        hash=hashed,
    )


def _scale(check: Check, data: Any) -> Scale:
    edges = tuple(map(_whole, data["edges"]))
    weights = {str(kind): tuple(map(_whole, row)) for kind, row in data["weights"].items()}
    strike = _whole(data["strike"])
    if list(edges) != sorted(set(edges)) or not weights or strike <= 0:
        raise ValueError("edges that do not rise, no weights, or a strike for nothing")
    if any(len(row) != len(edges) + 1 for row in weights.values()):
        raise ValueError("a weight for each range, and no more")
    return Scale(check=check, edges=edges, weights=weights, strike=strike)


def _whole(value: object) -> int:
    if type(value) is not int or not -_BOUND < value < _BOUND:
        raise ValueError(f"{value!r} is no whole number of a double's")
    return value
