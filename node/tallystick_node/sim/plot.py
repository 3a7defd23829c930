"""Charts of what a simulation found: each a PNG, and a CSV of the very numbers that it shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tallystick_node.sim.outfile import require_folder, written
from tallystick_node.sim.report import write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_COLOURS: Final = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377", "#66ccee", "#777777", "#000000")
"""Told apart by readers who do not see all colours."""


_DECADES: Final = 1_000.0
"""Over more than this, numbers between powers of ten would stand in each other's way."""


class MatplotlibMissing(Exception):
    def __init__(self) -> None:
        super().__init__("Plots need matplotlib: pip install 'tallystick[node,sim]', or leave --out away.")


@dataclass(frozen=True, slots=True)
class Line:
    """Numbers over other numbers; `low` and `high`, where there are any, bound what lies between seeds."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Panels side by side, each with lines by name; a name has one colour in all of them."""

    name: str
    """Of the files."""
    title: str
    x: str
    y: str
    panels: Mapping[str, Mapping[str, Line]]
    """By title; one panel needs none."""
    marks: Mapping[str, float] = field(default_factory=dict)
    """What happened at which x."""
    dots: bool = False
    """Each point is a measurement of its own."""
    one_scale: bool = True
    """All panels show the same unit."""
    log_x: bool = False
    log_y: bool = False


def prepare(folder: Path) -> None:
    """Before an hour is spent on what cannot be drawn. Raises OSError, MatplotlibMissing."""
    _require_matplotlib()
    folder.mkdir(parents=True, exist_ok=True)
    require_folder(folder, folder)


def _require_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        raise MatplotlibMissing


def draw(folder: Path, chart: Chart) -> None:
    """NAME.png and NAME.csv. Raises OSError, MatplotlibMissing."""
    _require_matplotlib()
    from matplotlib.figure import Figure

    write_csv(folder / f"{chart.name}.csv", ("panel", "line", "x", "y", "low", "high"), _rows(chart))
    names = list(dict.fromkeys(name for lines in chart.panels.values() for name in lines))
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)}
    count = len(chart.panels)
    figure = Figure(figsize=(2.4 + max(6.0, 3.4 * count), 4.4), layout="constrained", dpi=110)
    every = figure.subplots(1, count, sharex=True, sharey=chart.one_scale, squeeze=False)[0]
    drawn: dict[str, Line2D] = {}
    for axes, (title, lines) in zip(every, chart.panels.items(), strict=True):
        for name, line in lines.items():
            drawn[name] = _draw_line(axes, name, line, colours[name], dots=chart.dots)
        for text, at in chart.marks.items():
            axes.axvline(at, color="grey", linewidth=0.8, linestyle=":")
            axes.annotate(text, (at, 0.99), xycoords=("data", "axes fraction"), fontsize=7, va="top")
        _scale(axes, chart)
        axes.set(xlabel=chart.x, title=title)
        axes.grid(alpha=0.3)
    every[0].set(ylabel=chart.y)
    if len(drawn) > 1:
        figure.legend(drawn.values(), drawn.keys(), loc="outside right center", frameon=False, fontsize=8)
    figure.suptitle(chart.title)
    with written(folder / f"{chart.name}.png") as part:
        figure.savefig(part, format="png")


def _scale(axes: "Axes", chart: Chart) -> None:
    """Numbers that a reader can read, on logarithmic axes too."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for is_log, axis, scaled, bounds in (
        (chart.log_x, axes.xaxis, axes.set_xscale, axes.get_xlim),
        (chart.log_y, axes.yaxis, axes.set_yscale, axes.get_ylim),
    ):
        if is_log:
            scaled("log")
            low, high = bounds()
            if high > _DECADES * low:
                continue  # Powers of ten are enough, and matplotlib writes those.
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
            axis.set_minor_formatter(NullFormatter())


def _draw_line(axes: "Axes", name: str, line: Line, colour: str, *, dots: bool) -> "Line2D":
    marker = "o" if dots else None
    (drawn,) = axes.plot(line.x, line.y, label=name, color=colour, linewidth=1.4, marker=marker, markersize=4)
    if line.low:
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
    return drawn


def _rows(chart: Chart) -> Iterator[tuple[object, ...]]:
    for panel, lines in chart.panels.items():
        for name, line in lines.items():
            bounds = zip(line.low, line.high, strict=True) if line.low else ((None, None) for _ in line.x)
            for x, y, (low, high) in zip(line.x, line.y, bounds, strict=True):
                yield panel, name, x, y, low, high
