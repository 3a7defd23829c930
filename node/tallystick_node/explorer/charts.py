"""Charts as SVG paths: what a page shows without JavaScript, and prints. Pure: numbers in, text out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 480
HEIGHT: Final = 150
_LEFT: Final = 4
_TOP: Final = 14
_BOTTOM: Final = 18
"""Room for the labels."""

Point = tuple[int, int]
"""(unix seconds, value)."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart. A stepped one keeps its value until the next point."""

    name: str
    points: Sequence[Point]
    stepped: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """One line, drawn."""

    name: str
    line: str
    area: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over one scale of time, and one of values from zero up."""

    curves: Sequence[Drawn]
    top: int
    """The greatest value: where the scale ends."""
    start: int
    end: int
    width: int = WIDTH
    height: int = HEIGHT
    baseline: int = HEIGHT - _BOTTOM
    ceiling: int = _TOP


def chart(curves: Sequence[Curve], *, start: int, end: int) -> Chart | None:
    """None where there is nothing to draw."""
    shown = [(curve, _within(curve, start, end)) for curve in curves]
    values = [value for _, points in shown for _, value in points]
    if not values or end <= start:
        return None
    top = max(values)
    x, y = _across(start, end), _up(top)
    drawn = [Drawn(curve.name, *_paths(points, curve.stepped, x, y)) for curve, points in shown if points]
    return Chart(drawn, top, start, end)


def _within(curve: Curve, start: int, end: int) -> Sequence[Point]:
    """What lies between, and for a stepped curve what held at the start and holds until the end."""
    inside = [point for point in curve.points if start <= point[0] <= end]
    if not curve.stepped:
        return inside
    before = [value for at, value in curve.points if at < start]
    if before:
        inside.insert(0, (start, before[-1]))
    return [*inside, (end, inside[-1][1])] if inside else []


def _across(start: int, end: int) -> Callable[[int], str]:
    span, room = end - start, (WIDTH - 2 * _LEFT) * 10
    return lambda at: _tenths(_LEFT * 10 + (at - start) * room // span)


def _up(top: int) -> Callable[[int], str]:
    room = (HEIGHT - _TOP - _BOTTOM) * 10
    return lambda value: _tenths((HEIGHT - _BOTTOM) * 10 - value * room // max(top, 1))


def _tenths(value: int) -> str:
    return f"{value // 10}.{value % 10}"


def _paths(
    points: Sequence[Point], stepped: bool, x: Callable[[int], str], y: Callable[[int], str]
) -> tuple[str, str]:
    """The line, and the area under it."""
    parts = [f"M{x(points[0][0])} {y(points[0][1])}"]
    for at, value in points[1:]:
        parts.append(f"H{x(at)}V{y(value)}" if stepped else f"L{x(at)} {y(value)}")
    line = "".join(parts)
    floor = y(0)
    return line, f"{line}V{floor}H{x(points[0][0])}Z"
