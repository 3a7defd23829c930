"""Scales out of what was measured, and what they catch. Pure but for its draws, which are the same every
time.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, median, pstdev
from typing import Any, Final

from tallystick.protocol.evidence import Evidence, Scale
from tallystick.protocol.finding import Check
from tallystick_node.quality.weighing import CUT, FALSE_STRIKES, scale, scale_to_json

Json = dict[str, Any]
HONEST: Final = "honest"
CHECKS: Final = (Check.RANK, Check.REPLAY, Check.LOGPROB)
SHUFFLES: Final = 20
"""Orders in which honest answers are judged, besides their own."""
TRIALS: Final = 200
LONGEST: Final = 2_000
"""Answers of a cheat's, drawn with repetition, after which it is not caught."""
ALARM: Final = 5.0
"""Standard deviations: of answers that are alike, one in millions is as far off."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """By grade, in the order of the questions."""

    said: Mapping[str, Sequence[Json]]
    distances: Mapping[str, Sequence[Json]]
    cost: Mapping[str, float]
    """Output tokens a second."""


def calibrated(
    measured: Measured, *, model: str, precision: str, sampler: str, ends: Sequence[int]
) -> tuple[Json, Json]:
    """The file of scales, and figures.

    All honest answers make the scales. What is said of honest providers comes from two halves, each judged by
    scales that the other made; what is said of cheats, from the half of their answers that weighs nothing.
    """
    honest = measured.distances[HONEST]
    cheats = {grade: found for grade, found in measured.distances.items() if grade != HONEST}
    known = {grade: _half(found, 0) for grade, found in cheats.items() if grade != CUT}
    scales = _scales(honest, known)
    halves = [_half(honest, which) for which in (0, 1)]
    crossed = [(_scales(halves[1 - which], known), halves[which]) for which in (0, 1)]
    figures: Json = {
        "model": model,
        "precision": precision,
        "falseStrikesAnAnswer": FALSE_STRIKES,
        "honest": _size(honest),
        "honestStruck": sum(struck is not None for made, half in crossed for struck in _orders(made, half)),
        "honestHighestOfStrike": {
            check.name.lower(): max(
                round(_highest(made[check], _of(check, half)) / made[check].strike, 3)
                for made, half in crossed
            )
            for check in CHECKS
        },
        "agreement": {
            grade: {
                check.name.lower(): _agreement(_of(check, found)) for check in CHECKS if _of(check, found)
            }
            for grade, found in measured.distances.items()
        },
        "caught": {grade: _caught(scales, _half(found, 1)) for grade, found in cheats.items()},
        "tokensASecond": measured.cost,
    }
    data: Json = {
        "model": model,
        "precision": precision,
        "sampler": sampler,
        "ends": list(ends),
        "likelihood": _likelihood([one["scores"] for one in honest if one.get("scores")]),
        "checks": {check.name.lower(): scale_to_json(scales[check]) for check in CHECKS},
    }
    return data, figures


def _scales(honest: Sequence[Json], cheats: Mapping[str, Sequence[Json]]) -> dict[Check, Scale]:
    return {
        check: scale(
            check,
            _of(check, honest),
            {grade: _of(check, found) for grade, found in cheats.items()},
            checks=len(CHECKS),
        )
        for check in CHECKS
    }


def _likelihood(answers: Sequence[Sequence[float]]) -> Json:
    mean = fmean(score for answer in answers for score in answer)
    spread = pstdev((fmean(answer) - mean) * sqrt(len(answer)) for answer in answers)
    return {"mean": round(mean, 6), "deviation": round(spread, 6), "alarm": ALARM}


def _half(found: Sequence[Json], which: int) -> list[Json]:
    """By pairs of a greedy answer and a sampled one."""
    return [one for i, one in enumerate(found) if i // 2 % 2 == which]


def _of(check: Check, found: Sequence[Json]) -> list[list[int]]:
    return [one[check.name] for one in found if check.name in one]


def _size(found: Sequence[Json]) -> Json:
    return {
        "answers": len(found),
        "tokens": sum(max(len(one.get(check.name, ())) for check in CHECKS) for one in found),
    }


def _agreement(answers: Sequence[Sequence[int]]) -> float:
    """The share of tokens without any distance."""
    tokens = [distance for answer in answers for distance in answer]
    return round(sum(distance == 0 for distance in tokens) / len(tokens), 5)


def _highest(scale: Scale, answers: Sequence[Sequence[int]]) -> int:
    evidence = Evidence()
    for distances in answers:
        evidence = evidence.after(scale, distances)
    return evidence.highest


def _caught(scales: Mapping[Check, Scale], found: Sequence[Json]) -> Json:
    """Tokens until a provider that answers so is struck: in the middle, and at worst of a hundred; None: it
    is not. Of one whose receipts bind log-probabilities, and of one whose do not."""
    bare: dict[Check, Scale] = {check: scales[check] for check in scales if check != Check.LOGPROB}
    return {"bare": _spread(bare, found), "withLogprobs": _spread(scales, found)}


def _spread(scales: Mapping[Check, Scale], found: Sequence[Json]) -> Json:
    draw = random.Random(11)
    runs = [_struck(scales, draw.choices(found, k=LONGEST)) for _ in range(TRIALS)]
    tokens = sorted(run[0] for run in runs if run is not None)
    answers = sorted(run[1] for run in runs if run is not None)
    if len(tokens) < 0.99 * len(runs):
        return {"struck": len(tokens) / len(runs)}
    at = int(0.99 * len(tokens))
    return {
        "struck": len(tokens) / len(runs),
        "tokens": {"median": median(tokens), "p99": tokens[at]},
        "answers": {"median": median(answers), "p99": answers[at]},
    }


def _orders(scales: Mapping[Check, Scale], found: Sequence[Json]) -> Iterator[tuple[int, int] | None]:
    """Tokens and answers until the strike, in their order and in others."""
    draw, order = random.Random(11), list(found)
    for _ in range(1 + SHUFFLES):
        yield _struck(scales, order)
        draw.shuffle(order)


def _struck(scales: Mapping[Check, Scale], found: Sequence[Json]) -> tuple[int, int] | None:
    evidence = dict.fromkeys(scales, Evidence())
    tokens = 0
    for answers, one in enumerate(found, 1):
        tokens += max(len(one.get(check.name, ())) for check in CHECKS)
        for check, each in scales.items():
            if check.name in one:
                evidence[check] = evidence[check].after(each, one[check.name])
                if evidence[check].highest >= each.strike:
                    return tokens, answers
    return None
