"""What `tally-node sim market` found: of each arm's capacities a table, figures with targets, and a chart.

Ratios are of the means over seeds, which are pairs: the place in the trace that a seed begins at is as busy
for all arms.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Final

from rich.console import Console
from rich.table import Table

from tallystick_node.sim.hardware import PROFILES
from tallystick_node.sim.market import (
    ARMS,
    GREEDY,
    KNOWN,
    LEAST,
    LIED_TO,
    OURS,
    PAPER,
    PAPERS_CENTRAL,
    TRACE,
    Held,
    Setting,
    Trial,
    arm_of,
    measure,
)
from tallystick_node.sim.names import named
from tallystick_node.sim.outfile import require_writable
from tallystick_node.sim.plot import Chart, Line, draw, prepare
from tallystick_node.sim.recorded import summary
from tallystick_node.sim.report import (
    Figure,
    Target,
    interval,
    over_seeds,
    ratio,
    seeds_json,
    show,
    shown,
    table,
    targets_table,
    write_json,
)
from tallystick_node.sim.rerun import chosen_file, packaged_file
from tallystick_node.sim.spread import counted, tracked
from tallystick_node.sim.workload import AZURE

Runs = Mapping[str, Sequence[Held]]
"""By arm; one a seed, the same seeds for all."""

GREEDIEST: Final = "best central greedy"
_AGAINST: Final[Mapping[str, float]] = {GREEDIEST: 0.97, LEAST: 1.25, PAPERS_CENTRAL: 1.5, PAPER: 1.9}
"""What ours is to serve at 95 % of what they do, at least."""
_LOST: Final = 1.5
"""Points that a quarter of liars may cost, at each rate that is tried."""
_PROBES: Final = 0.15
"""A request."""
_POINTS: Final = 40
"""Of a line."""


def capacities(runs: Runs) -> Table:
    """All arms, the best last."""
    rows = []
    for name in sorted(runs, key=lambda name: fmean(of.at_95 for of in runs[name])):
        of = runs[name]
        near = [its.near(its.at_95) for its in of]
        compared = ratio("", _rates(runs[OURS]), _rates(of)) if OURS in runs else None
        rows.append(
            (
                arm_of(name).name,
                str(interval([its.at_99 for its in of])),
                str(interval([its.at_95 for its in of])),
                "" if compared is None else compared.between,
                shown(fmean(run.latency_s for run in near)),
                shown(fmean(run.probes for run in near)),
                shown(fmean(run.bounces for run in near)),
            )
        )
    head = ("requests/s held at", "99 %", "95 %", "ours / it", "latency, s", "probes", "bounces")
    return table(f"Requests a second served well, over {counted(_seeds(runs), 'seeds')}", head, rows)


def figures(runs: Runs) -> list[Figure]:
    made: list[Figure] = []
    for name, of in runs.items():
        near = [its.near(its.at_95) for its in of]
        made.append(over_seeds(f"{name}: rate held at 99 %", [its.at_99 for its in of], "requests/s"))
        made.append(over_seeds(f"{name}: rate held at 95 %", [its.at_95 for its in of], "requests/s"))
        made.append(over_seeds(f"{name}: mean latency near it", [run.latency_s for run in near], "s"))
        target = Target(text=f"≤ {_PROBES:g}", most=_PROBES) if name == OURS else None
        probes = [run.probes if its.at_95 else nan for run, its in zip(near, of, strict=True)]
        made.append(over_seeds(f"{name}: probes near it", probes, "1/request", target))
        made.append(over_seeds(f"{name}: bounces near it", [run.bounces for run in near], "1/request"))
        for part in LIED_TO if name == OURS or any(its.lied_to for its in of) else ():
            lost = [100 * its.lost(part) for its in of]
            target = Target(text=f"≤ {_LOST:g}", most=_LOST) if name == OURS else None
            what = f"{name}: lost to a quarter of liars, at {part:.0%} of what is held at 99 %"
            made.append(over_seeds(what, lost, "points", target))
    return made + _ratios(runs)


def _ratios(runs: Runs) -> list[Figure]:
    made: list[Figure] = []
    ours = runs.get(OURS)
    if ours is None:
        return made
    rates = {name: _rates(of) for name, of in runs.items() if name != OURS}
    if greedy := [rates[name] for name in GREEDY if name in rates]:
        rates[GREEDIEST] = max(greedy, key=fmean)
    for name, of in rates.items():
        least = _AGAINST.get(name)
        target = None if least is None else Target(text=f"≥ {least:g}", least=least)
        made.append(ratio(f"ours over {name} at 95 %", _rates(ours), of, target))
    return made


def _rates(of: Sequence[Held]) -> list[float]:
    return [its.at_95 for its in of]


def attained(runs: Runs) -> Chart:
    """Over the rate, where every seed of an arm was asked; of central greedies the best."""
    held = {name: fmean(its.at_95 for its in of) for name, of in runs.items()}
    best = max((name for name in GREEDY if name in held), key=lambda name: held[name], default=None)
    lines = {
        arm_of(name).name: line
        for name, of in runs.items()
        if (name not in GREEDY or name == best) and (line := _line(of)) is not None
    }
    return Chart(
        name="market",
        title="Requests served well: first token within 3 s, 100 ms between tokens",
        x="requests a second",
        y="part served well",
        panels={"": lines},
    )


def _line(of: Sequence[Held]) -> Line | None:
    low = max(min(its.runs) for its in of)
    high = min(max(its.runs) for its in of)
    if low >= high:
        return None
    rates = [low * (high / low) ** (i / (_POINTS - 1)) for i in range(_POINTS)]
    over = [[_at(its, rate) for its in of] for rate in rates]
    return Line(rates, [fmean(each) for each in over])


def _at(its: Held, rate: float) -> float:
    """Straight between two rates that were asked."""
    rates = sorted(its.runs)
    right = min(max(1, bisect_left(rates, rate)), len(rates) - 1)
    one, other = rates[right - 1], rates[right]
    share = min(1.0, max(0.0, (rate - one) / (other - one)))
    return its.runs[one].attained + share * (its.runs[other].attained - its.runs[one].attained)


def _seeds(runs: Runs) -> int:
    return max(map(len, runs.values()), default=0)


def market(
    setting: Setting,
    *,
    seeds: range,
    only: Collection[str],
    json: Path | None,
    out: Path | None,
    console: Console,
) -> None:
    """`only`: arms by name; those that targets speak of where empty. Raises NameUnknown, TraceUnreadable,
    MatplotlibMissing, OSError."""
    names = named("dispatch", only, KNOWN) if only else list(ARMS)
    require_writable(json)
    if out is not None:
        prepare(out)
    if setting.trace is not None:
        console.print(summary(setting.trace), soft_wrap=True, highlight=False, markup=False)
        next(iter(setting.workload(1.0, 0)), None)  # It says now what is wrong with it.
    work = [Trial(arm=name, seed=seed, setting=setting) for name in names for seed in seeds]
    runs: dict[str, list[Held]] = {}
    for trial, result in tracked(measure, work):
        runs.setdefault(trial.arm, []).append(result)
    made = figures(runs)
    show(console, capacities(runs), targets_table(made))
    if out is not None:
        draw(out, attained(runs))
    if json is not None:
        parameters = {
            **seeds_json(seeds),
            "only": names,
            "seconds": setting.seconds,
            "arrivals": setting.arrivals,
            **asdict(setting.detail),
            "pool": [each.name for each in setting.pool],
        }
        files = {"pool": chosen_file(setting.pool_file, PROFILES), "engines": packaged_file(PROFILES)}
        if setting.arrivals == TRACE:
            files["trace"] = chosen_file(setting.trace, AZURE)
        modules = "market", "world"
        write_json(json, "tally-node sim market", parameters, made, files=files, modules=modules)
