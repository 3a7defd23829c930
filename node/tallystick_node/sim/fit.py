"""An engine's constants, found by playing what was measured of it: those under which a simulated engine
answers the same requests in about the same times. And how well such constants foretell another load.

Pure. Reading the weights and what else each step costs cannot be told from each other by looking on: `fixed`
stands for both.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import exp, inf, isfinite, log
from statistics import mean, median
from typing import Final, TextIO

from rich.table import Table

from tallystick.protocol.speed import Speed
from tallystick.protocol.units import Tokens
from tallystick_node.sim.engine import Engine
from tallystick_node.sim.engine import Sequence as Sequence_
from tallystick_node.sim.events import Events
from tallystick_node.sim.report import Figure, Target

ROUND: Final = " #"
COLUMNS: Final = ("load", "at", "input", "output", "first_s", "end_s")
FITTED: Final = ("fixed", "sequence", "token", "context", "outside")
"""Of `Constants`, in the order in which they are moved."""
STEPS: Final = (0.7, 0.35, 0.18, 0.09, 0.04, 0.02)
"""Of the logarithm of a constant, each as long as it helps."""
_ROUNDS: Final = 12
_MOVES: Final = (
    *(((name, sign),) for name in FITTED for sign in (1, -1)),
    *(((one, 1), (other, -1)) for one, other in permutations(FITTED, 2)),
)
_PS: Final = 10**12
TOLERATED: Final = 0.15
"""Of a load that the constants were not found by: parts by which it may be off."""
_SOON_S: Final = 0.002
"""Two times that differ by less differ by nothing that matters."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One answer of a real engine."""

    load: str
    """Which run it is of: each has the engine for itself. `8 #2` is the second round of `8`."""
    at: float
    """Seconds, when it was sent."""
    input: int
    output: int
    """Tokens."""
    first_s: float
    """Until its first token."""
    end_s: float
    """Until its last."""

    @property
    def of(self) -> str:
        """Its load, whichever round."""
        return self.load.partition(ROUND)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What is found of a real engine."""

    speed: Speed
    outside: int = 0
    """Picoseconds that a request spends outside of the engine's steps, however long it is: the way there and
    back, HTTP, the tokenizer, to be handed to the step after the next. Nobody else has to wait for it."""

    def moved(self, name: str, factor: float) -> "Constants":
        """With one of FITTED so many times as large."""
        if name == "outside":
            return replace(self, outside=max(1, round(self.outside * factor)))
        value = max(1, round(getattr(self.speed, name) * factor))
        return replace(self, speed=replace(self.speed, **{name: value}))


class BadMeasure(ValueError):
    """A file of measured answers that cannot be read, and where."""


def read(file: Iterable[str], name: str) -> list[Measured]:
    """Raises BadMeasure."""
    try:
        found = list(_rows(file, name))
    except UnicodeDecodeError as error:
        raise BadMeasure(f"{name}: it is no text in UTF-8") from error
    except csv.Error as error:
        raise BadMeasure(f"{name}: {error}") from error
    if not found:
        raise BadMeasure(f"{name}: it holds no answer")
    return found


def _rows(file: Iterable[str], name: str) -> Iterator[Measured]:
    for number, row in enumerate(csv.DictReader(file), start=2):
        try:
            item = Measured(
                row["load"],
                float(row["at"]),
                int(row["input"]),
                int(row["output"]),
                float(row["first_s"]),
                float(row["end_s"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadMeasure(f"{name}, row {number}: {error}; it is to have {', '.join(COLUMNS)}") from error
        is_timed = isfinite(item.at) and 0 < item.first_s <= item.end_s < inf
        if item.input < 1 or item.output < 1 or not is_timed:
            raise BadMeasure(f"{name}, row {number}: no answer of an engine")
        yield item


def write(measured: Iterable[Measured], file: TextIO) -> None:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    for item in measured:
        times = (f"{value:.6f}" for value in (item.at, item.first_s, item.end_s))
        at, first_s, end_s = times
        rows.writerow((item.load, at, item.input, item.output, first_s, end_s))


def parted(
    measured: Sequence[Measured], foretold: Sequence[str]
) -> tuple[Sequence[Measured], Sequence[Measured]]:
    """What constants are found by, and what they are to foretell: everything is both where nothing is named.
    Raises BadMeasure."""
    if not foretold:
        return measured, measured
    seen = [item for item in measured if item.of not in foretold]
    others = [item for item in measured if item.of in foretold]
    if missing := set(foretold) - {item.of for item in others}:
        raise BadMeasure(f"no answer of the load {min(missing)!r} was measured")
    if not seen:
        raise BadMeasure("nothing is left to find constants by")
    return seen, others


def played(constants: Constants, slots: int, measured: Sequence[Measured]) -> list[Measured]:
    """The same requests, as an engine of these constants would have answered them."""
    found: list[Measured] = []
    for name in dict.fromkeys(item.load for item in measured):
        found += _played(constants, slots, [item for item in measured if item.load == name])
    return found


def _played(constants: Constants, slots: int, measured: Sequence[Measured]) -> list[Measured]:
    events = Events()
    first, end = [0.0] * len(measured), [0.0] * len(measured)

    def began(sequence: Sequence_) -> None:
        first[sequence.owner] = events.now

    def ended(sequence: Sequence_) -> None:
        end[sequence.owner] = events.now

    engine = Engine(constants.speed, slots, events, began=began, ended=ended)
    start = min(item.at for item in measured)
    for i, item in enumerate(measured):
        events.at(item.at - start, engine.add, Sequence_(item.input, item.output, i))
    events.run(inf)
    late = start + constants.outside / _PS
    return [
        replace(item, first_s=first[i] - item.at + late, end_s=end[i] - item.at + late)
        for i, item in enumerate(measured)
    ]


def misfit(constants: Constants, slots: int, measured: Sequence[Measured]) -> float:
    """The mean square of how far times are off, as logarithms; first tokens and ends count alike."""

    def off(one: float, other: float) -> float:
        return log((one + _SOON_S) / (other + _SOON_S)) ** 2

    pairs = zip(played(constants, slots, measured), measured, strict=True)
    return mean(off(one.first_s, other.first_s) + off(one.end_s, other.end_s) for one, other in pairs)


def fitted(
    measured: Sequence[Measured],
    *,
    slots: int,
    capacity: int = 0,
    chunk: int = 0,
    steps: Iterable[float] = STEPS,
) -> Constants:
    """Constants under which played times are about the measured ones. The engine's own settings, how many
    sequences, tokens of context and prompt tokens a step there may be, are its operator's to say."""
    first = _guessed(measured, capacity, chunk)
    return _descended(first, lambda one: misfit(one, slots, measured), steps)


def _guessed(measured: Sequence[Measured], capacity: int, chunk: int) -> Constants:
    """From answers that had the most of an engine for themselves."""
    tokens = sorted((item.end_s - item.first_s) / max(1, item.output - 1) for item in measured)
    prompts = sorted(item.first_s / item.input for item in measured)
    token_s, prompt_s = tokens[len(tokens) // 10], prompts[len(prompts) // 10]
    speed = Speed(
        fixed=max(1, round(0.7 * token_s * _PS)),
        sequence=max(1, round(0.1 * token_s * _PS)),
        weights=0,
        token=max(1, round(0.5 * prompt_s * _PS)),
        context=max(1, round(0.0001 * token_s * _PS)),
        capacity=Tokens(capacity),
        chunk=Tokens(chunk),
    )
    return Constants(speed=speed, outside=max(1, round(0.5 * min(item.first_s for item in measured) * _PS)))


def _descended(found: Constants, cost: Callable[[Constants], float], steps: Iterable[float]) -> Constants:
    """One constant after the other, up or down, or one up and another down, which may look alike; in ever
    smaller steps, each while it helps."""
    best = cost(found)
    for step in steps:
        for _ in range(_ROUNDS):
            before = best
            for moves in _MOVES:
                tried = found
                for name, sign in moves:
                    tried = tried.moved(name, exp(sign * step))
                if (off := cost(tried)) < best:
                    found, best = tried, off
            if before - best < 0.01 * before:
                break
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was measured of one load, and what was foretold."""

    load: str
    answers: int
    what: str
    measured_s: float
    foretold_s: float

    @property
    def off(self) -> float:
        """As a part of what was measured; below zero: too short."""
        return self.foretold_s / self.measured_s - 1


def checks(constants: Constants, slots: int, measured: Sequence[Measured]) -> list[Check]:
    """Mean and median of first tokens and of whole answers, load by load, over all its rounds."""
    found = []
    for name in dict.fromkeys(item.of for item in measured):
        real = [item for item in measured if item.of == name]
        told = played(constants, slots, real)
        for what, of in _FIGURES:
            pair = of(real), of(told)
            found.append(
                Check(load=name, answers=len(real), what=what, measured_s=pair[0], foretold_s=pair[1])
            )
    return found


_FIGURES: Final[Sequence[tuple[str, Callable[[Sequence[Measured]], float]]]] = (
    ("first token, mean", lambda items: mean(item.first_s for item in items)),
    ("first token, median", lambda items: median(item.first_s for item in items)),
    ("whole answer, mean", lambda items: mean(item.end_s for item in items)),
    ("whole answer, median", lambda items: median(item.end_s for item in items)),
)


def figures(found: Sequence[Check], *, foretold: bool = True) -> list[Figure]:
    """How far off each is, with its target where its load was `foretold`: constants that were found by a load
    prove nothing by being near it."""
    target = Target(text="within 15 %", least=-TOLERATED, most=TOLERATED) if foretold else None
    return [
        Figure(name=f"{check.load}: {check.what}: off", value=check.off, unit="1", target=target)
        for check in found
    ]


def constants_figures(constants: Constants) -> list[Figure]:
    """As `[engine.speed]` has them, and what lies outside of it."""
    speed = constants.speed
    each = [(name, getattr(speed, name)) for name in FITTED[:-1]]
    return [
        *(
            Figure(name=name, value=value, unit="ps")
            for name, value in (*each, ("outside", constants.outside))
        ),
        Figure(name="capacity", value=speed.capacity, unit="tokens"),
        Figure(name="chunk", value=speed.chunk, unit="tokens"),
    ]


def times_figures(found: Sequence[Check]) -> list[Figure]:
    """What the table shows beside how far off it is."""
    return [
        Figure(name=f"{check.load}: {what}", value=value, unit=unit)
        for check in found
        for what, value, unit in (
            (f"{check.what}: answers", check.answers, "1"),
            (f"{check.what}: measured", check.measured_s, "s"),
            (f"{check.what}: foretold", check.foretold_s, "s"),
        )
    ]


def checks_table(found: Sequence[Check]) -> Table:
    table = Table("load", "answers", "what", "measured", "foretold", "off")
    for check in found:
        table.add_row(
            check.load,
            str(check.answers),
            check.what,
            f"{1_000 * check.measured_s:,.1f} ms",
            f"{1_000 * check.foretold_s:,.1f} ms",
            f"{check.off:+.1%}",
        )
    return table
