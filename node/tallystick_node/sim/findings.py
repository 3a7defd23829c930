"""What the paper's experiments found: of each study's runs its figures, tables and charts.

Runs come in by case and seed. The paper's own figures are targets; what it does not say has none.
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf, isfinite, nan
from statistics import fmean
from typing import Final

from rich.table import Table

from tallystick_node.sim.found import Found
from tallystick_node.sim.plot import Chart, Line
from tallystick_node.sim.report import Figure, Interval, Target, interval, over_seeds, ratio, shown, table
from tallystick_node.sim.settings import CHURN_AT, SETTINGS, THRESHOLDS_S
from tallystick_node.sim.studies import EQUAL, MOVED, Played

Runs = Mapping[str, Sequence[Played]]
"""By case; one a seed."""

HELD_TO: Final = ("S1", "S3")
"""Settings of which the paper says all that there is to say: those that have targets."""
_MEANS: Final = ("single", "centralised", "paper", EQUAL, "strong", "ours", MOVED)
"""Arms, in the order of the table beside the paper's."""
_SHOWN_S: Final = (200, 300, 400)
_BIN_S: Final = 30.0
_BANDED: Final = 5
"""Seeds, of which an interval is narrow enough to be worth drawing."""
_LOST: Final = 0.01
"""Of all requests, at most, where a mean over answers that ended is held against another."""
_BANDS: Final = 6
"""Lines, of which a reader can still tell whose interval is whose."""


def found(study: str, runs: Runs) -> Found:
    """Of any study."""
    made = Found(figures=_of_each(study, runs), tables=[_latencies(study, runs)])
    if not _sweeps(runs) and study not in ("join", "leave", "die"):
        _setting(study, runs, made)
        made.charts += [chart(study, runs) for chart in (_attained, _over_time, _load, _credit)]
    elif study in ("join", "leave", "die"):
        marks = {f"{study} {n}": at for n, at in enumerate(CHURN_AT, start=1)}
        made.charts += [_over_time(study, runs, marks), _attained(study, runs), _load(study, runs)]
    else:
        made.figures += _compared(study, runs)
        made.charts += [_swept(study, runs), _attained(study, runs)]
    return made


# ------------------------------------------------------------------------------------------ figures


def _of_each(study: str, runs: Runs) -> list[Figure]:
    made: list[Figure] = []
    for case, of in runs.items():
        name = f"{study}: {case}: "
        made.append(over_seeds(name + "mean", [run.mean_s() for run in of], "s"))
        for part in (0.50, 0.95, 0.99):
            made.append(over_seeds(f"{name}p{part * 100:.0f}", [run.quantile_s(part) for run in of], "s"))
        for threshold in THRESHOLDS_S:
            shares = [run.attained(threshold) for run in of]
            made.append(over_seeds(f"{name}answered within {threshold} s", shares, "1"))
        requests = sum(len(run.latencies) for run in of)
        made.append(Figure(name=name + "lost", value=sum(run.lost for run in of) / requests, unit="1"))
        for what, count in (("probes", "probes"), ("bounces", "bounces")):
            total = sum(getattr(run, count) for run in of)
            made.append(Figure(name=f"{name}{what} a request", value=total / requests, unit="1"))
    return made


def over(name: str, these: Sequence[Played], those: Sequence[Played], target: Target | None = None) -> Figure:
    """Mean seconds of these over those of the others. Unknown where either lost many: who loses what takes
    long is not faster, and what all answer soon is alike."""
    if max(_lost(these), _lost(those)) > _LOST:
        note = f"{_lost(these):.1%} and {_lost(those):.1%} were lost"
        return Figure(name=name, value=nan, unit="1", target=target, note=note)
    return ratio(name, [run.mean_s() for run in these], [run.mean_s() for run in those], target)


def _lost(of: Sequence[Played]) -> float:
    """Part of all requests."""
    return sum(run.lost for run in of) / max(1, sum(len(run.latencies) for run in of))


def _setting(study: str, runs: Runs, made: Found) -> None:
    reported = SETTINGS[study].reported if study in SETTINGS else None
    held = study in HELD_TO
    for case, seconds in {} if reported is None else reported.by_arm.items():
        if case in runs:
            values = [run.mean_s() / seconds for run in runs[case]]
            target = Target(text="0.90 to 1.10", least=0.9, most=1.1) if held else None
            name = f"{study}: {case}: mean over the reported one"
            if (lost := _lost(runs[case])) > _LOST:
                note = f"{lost:.1%} were lost"
                made.figures.append(Figure(name=name, value=nan, unit="1", target=target, note=note))
            else:
                made.figures.append(over_seeds(name, values, "1", target))
    if "ours" not in runs:
        return
    for other, most in (
        ("paper", 0.90),
        (EQUAL, None),
        ("strong", 1.03),
        ("centralised", None),
        ("single", None),
        (MOVED, None),
    ):
        if other in runs:
            target = Target(text=f"≤ {most:.2f}", most=most) if held and most is not None else None
            name = f"{study}: ours: mean over that of {other}"
            made.figures.append(over(name, runs["ours"], runs[other], target))
    if MOVED in runs and "paper" in runs:
        made.figures.append(over(f"{study}: {MOVED}: mean over that of paper", runs[MOVED], runs["paper"]))
    if "paper" in runs:
        made.figures.append(_lead(study, runs["ours"], runs["paper"], held=held))


def _lead(study: str, ours: Sequence[Played], theirs: Sequence[Played], *, held: bool) -> Figure:
    """Where it is least."""
    leads = [
        [one.attained(threshold) - other.attained(threshold) for one, other in zip(ours, theirs, strict=True)]
        for threshold in THRESHOLDS_S
    ]
    return over_seeds(
        f"{study}: ours: least lead over paper in what is answered within {THRESHOLDS_S[0]} to "
        f"{THRESHOLDS_S[-1]} s",
        min(leads, key=fmean),
        "1",
        Target(text="≥ 0", least=0) if held else None,
    )


def _compared(study: str, runs: Runs) -> list[Figure]:
    """Of a sweep: each point against the arm's first."""
    made: list[Figure] = []
    for arm, points in _sweeps(runs).items():
        first = points[0][1]
        for x, of in points:
            name = f"{study}: {arm} {x}: "
            if study in ("stake", "accept"):
                made.append(
                    over_seeds(name + "work of the first node", [run.bought_of(1) for run in of], "1")
                )
            elif of is not first:
                made.append(over(f"{name}mean over that at {points[0][0]}", of, first))
    return made


def _sweeps(runs: Runs) -> dict[str, list[tuple[str, Sequence[Played]]]]:
    """By arm, (what was swept, its runs); a case without a number is no sweep."""
    arms: dict[str, list[tuple[str, Sequence[Played]]]] = {}
    for case, of in runs.items():
        arm, _, x = case.partition(" ")
        if x:
            arms.setdefault(arm, []).append((x, of))
    return arms


# ------------------------------------------------------------------------------------------ tables


def _latencies(study: str, runs: Runs) -> Table:
    header = (study, "mean, s", "±", "p50", "p95", "p99", *(f"% in {s} s" for s in _SHOWN_S), "% lost")
    return table("", header, (_row(case, of) for case, of in runs.items()))


def _row(case: str, of: Sequence[Played]) -> list[str]:
    requests = sum(len(run.latencies) for run in of)
    mean = interval([run.mean_s() for run in of])
    return [
        case,
        shown(mean.mean),
        f"{mean.high - mean.mean:.1f}" if isfinite(mean.high) else "",
        *(shown(fmean(run.quantile_s(part) for run in of)) for part in (0.50, 0.95, 0.99)),
        *(f"{100 * fmean(run.attained(threshold) for run in of):.1f}" for threshold in _SHOWN_S),
        f"{100 * sum(run.lost for run in of) / requests:.1f}",
    ]


def beside_the_paper(studies: Mapping[str, Runs]) -> Table:
    """The paper's table of means, and what was found."""
    rows = []
    for study, runs in studies.items():
        if study not in SETTINGS:
            continue
        reported = SETTINGS[study].reported
        says = {} if reported is None else reported.by_arm
        row = [study]
        for arm in _MEANS:
            found = shown(fmean(run.mean_s() for run in runs[arm])) if arm in runs else ""
            row.append(f"{says[arm]:.1f} │ {found}" if arm in says else found)
        rows.append(row)
    return table("As the paper reports it │ as found here", ("mean, s", *_MEANS), rows)


# ------------------------------------------------------------------------------------------ charts


def _attained(study: str, runs: Runs) -> Chart:
    lines: dict[str, Line] = {}
    for case, of in runs.items():
        shares = [interval([100 * run.attained(threshold) for run in of]) for threshold in THRESHOLDS_S]
        lines[case] = _banded(THRESHOLDS_S, shares, len(of) if len(runs) <= _BANDS else 0)
    return Chart(
        name=f"{study}-slo",
        title=f"{study}: answered in time",
        x="threshold, s",
        y="% of all requests",
        panels={"": lines},
    )


def _over_time(study: str, runs: Runs, marks: Mapping[str, float] | None = None) -> Chart:
    return Chart(
        name=f"{study}-latency",
        title=f"{study}: latency over time, of all seeds",
        x="time of the request, s",
        y="mean time of its answer, s",
        panels={"": {case: _binned(of) for case, of in runs.items()}},
        marks=marks or {},
    )


def _binned(of: Sequence[Played]) -> Line:
    bins: dict[int, list[float]] = {}
    for run in of:
        for at, latency in zip(run.arrived, run.latencies, strict=True):
            if latency < inf:
                bins.setdefault(int(at / _BIN_S), []).append(latency)
    places = sorted(bins)
    return Line([(place + 0.5) * _BIN_S for place in places], [fmean(bins[place]) for place in places])


def _load(study: str, runs: Runs) -> Chart:
    return _by_node(
        study,
        runs,
        name="load",
        title="requests at each node, of one seed",
        y="running and waiting",
        value=lambda run, place, node: run.samples[place].running[node] + run.samples[place].waiting[node],
    )


def _credit(study: str, runs: Runs) -> Chart:
    return _by_node(
        study,
        {arm: of for arm, of in runs.items() if arm in ("paper", "ours")},
        name="credit",
        title="earned less spent at each node, of one seed",
        y="millions of atoms",
        value=lambda run, place, node: run.samples[place].credit[node] / 1e6,
    )


def _by_node(
    study: str,
    runs: Runs,
    *,
    name: str,
    title: str,
    y: str,
    value: Callable[[Played, int, int], float],
) -> Chart:
    panels: dict[str, dict[str, Line]] = {}
    for case, of in runs.items():
        run = of[0]
        if not run.samples:
            continue
        ends = [at + latency for at, latency in zip(run.arrived, run.latencies, strict=True)]
        last = max(filter(isfinite, ends), default=0.0)
        places = [place for place, sample in enumerate(run.samples) if sample.at <= last]
        times = [run.samples[place].at for place in places]
        nodes = range(len(run.samples[0].running))
        panels[case] = {
            f"node {node + 1}": Line(times, [value(run, place, node) for place in places]) for node in nodes
        }
    return Chart(name=f"{study}-{name}", title=f"{study}: {title}", x="time, s", y=y, panels=panels)


def _swept(study: str, runs: Runs) -> Chart:
    share = study in ("stake", "accept")
    lines: dict[str, Line] = {}
    for arm, points in _sweeps(runs).items():
        values = [
            interval([100 * run.bought_of(1) if share else run.mean_s() for run in of]) for _, of in points
        ]
        lines[arm] = _banded([float(x) for x, _ in points], values, len(points[0][1]))
    for case, of in runs.items():
        if " " not in case:  # It has nothing to sweep: a level.
            level = fmean(run.mean_s() for run in of)
            lines[case] = Line([0.0, 1.0], [level, level])
    return Chart(
        name=study,
        title=f"{study} swept",
        x={
            "stake": "stake of the first node, times that of others",
            "duels": "part of requests that duel",
        }.get(study, f"{study} frequency"),
        y="work of the first node, %" if share else "mean time of an answer, s",
        panels={"": lines},
        dots=True,
    )


def _banded(x: Sequence[float], values: Sequence[Interval], seeds: int) -> Line:
    known = seeds >= _BANDED
    return Line(
        x,
        [value.mean for value in values],
        [value.low for value in values] if known else (),
        [value.high for value in values] if known else (),
    )
