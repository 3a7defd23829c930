"""What a run looked like, as one picture: who met what limit, and when who waited."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tallystick_node.local.network.score import Served, curve

_LIMITS: Final = tuple(step / 2 for step in range(1, 121))
_BIN_S: Final = 5.0


def draw(arms: Mapping[str, Sequence[Served]], path: Path, *, title: str, marks: Mapping[str, float]) -> None:
    """`arms` by name; `marks`: what happened at which second of a run. The file's ending says its kind."""
    from matplotlib.figure import Figure  # Slow to import, and only wanted here.

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    within, over_time = figure.subplots(1, 2)
    for name, served in arms.items():
        within.plot(_LIMITS, [100 * share for share in curve(served, _LIMITS)], label=name)
        times, means = _means(served)
        over_time.plot(times, means, label=name)
    within.set(xlabel="limit, s", ylabel="answers within the limit, % of all requests", ylim=(0, 101))
    within.set_xscale("log")
    within.xaxis.set_major_formatter("{x:g}")
    over_time.set(xlabel="time of the request, s", ylabel="mean time of an answer, s", ylim=(0, None))
    for text, at in marks.items():
        over_time.axvline(at, color="grey", linewidth=0.8, linestyle=":")
        over_time.annotate(text, (at, 1), xycoords=("data", "axes fraction"), fontsize=7, va="bottom")
    for axes in (within, over_time):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _means(served: Sequence[Served]) -> tuple[list[float], list[float]]:
    bins: dict[int, list[float]] = {}
    for item in served:
        if item.whole and item.total_s is not None:
            bins.setdefault(int(item.arrival.at_s / _BIN_S), []).append(item.total_s)
    ordered = sorted(bins)
    return [(number + 0.5) * _BIN_S for number in ordered], [
        sum(bins[number]) / len(bins[number]) for number in ordered
    ]
