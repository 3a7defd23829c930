"""`tally-node sim paper`: the paper's experiments over many seeds, in tables, figures and charts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from rich.console import Console

from tallystick_node.sim import sensitivity
from tallystick_node.sim.detail import PLAIN, Detail
from tallystick_node.sim.findings import beside_the_paper, found
from tallystick_node.sim.hardware import PROFILES
from tallystick_node.sim.names import named
from tallystick_node.sim.outfile import require_writable
from tallystick_node.sim.plot import draw, prepare
from tallystick_node.sim.recorded import summary
from tallystick_node.sim.report import (
    Figure,
    Target,
    seeds_json,
    show,
    targets_table,
    write_json,
)
from tallystick_node.sim.rerun import chosen_file, named_file, packaged_file
from tallystick_node.sim.spread import tracked
from tallystick_node.sim.studies import STUDIES, Played, Run, own
from tallystick_node.sim.workload import AZURE

OWN: Final = "own"
"""The study of arrivals or machines that the caller names."""


@dataclass(frozen=True, slots=True)
class Play:
    """One run, by names: it is done in whichever process."""

    study: str
    case: str
    seed: int
    trace: Path | None = None
    pool: Path | None = None
    detail: Detail = PLAIN


def measure(play: Play) -> Played:
    return _cases(play.study, play.trace, play.pool)[play.case](play.seed, play.detail)


def _cases(study: str, trace: Path | None, pool: Path | None) -> Mapping[str, Run]:
    if study == OWN:
        return own(trace, pool)
    return sensitivity.cases() if study == sensitivity.NAME else STUDIES[study]()


def _took(wall_s: float, names: Collection[str], seeds: range) -> list[Figure]:
    """By the clock, where all is run."""
    if list(names) != list(STUDIES):
        return []
    target = Target(text="≤ 600", most=600) if len(seeds) == 20 else None
    return [Figure(name=f"all studies, {len(seeds)} seeds: time", value=wall_s, unit="s", target=target)]


def paper(
    *,
    seeds: range,
    only: Collection[str],
    trace: Path | None,
    pool: Path | None,
    json: Path | None,
    out: Path | None,
    console: Console,
    detail: Detail = PLAIN,
) -> None:
    """`only`: studies by name; all but the sensitivity where empty. With a trace or a pool of the caller's,
    these alone. Raises NameUnknown, TraceUnreadable, BadPool, MatplotlibMissing, OSError."""
    names: Sequence[str] = named("study", only, [*STUDIES, sensitivity.NAME]) if only else list(STUDIES)
    if trace is not None or pool is not None:
        names = [OWN]
    require_writable(json)
    if out is not None:
        prepare(out)
    if trace is not None:
        console.print(summary(trace), soft_wrap=True, highlight=False, markup=False)
    work = [
        Play(name, case, seed, trace, pool, detail)
        for name in names
        for case in _cases(name, trace, pool)
        for seed in seeds
    ]
    runs: dict[str, dict[str, list[Played]]] = {}
    start = monotonic()
    for play, result in tracked(measure, work):
        runs.setdefault(play.study, {}).setdefault(play.case, []).append(result)
    figures = _took(monotonic() - start, names, seeds)
    for name in names:
        made = sensitivity.found(runs[name]) if name == sensitivity.NAME else found(name, runs[name])
        for its in made.tables:
            console.print(its)
        figures += made.figures
        if out is not None:
            for chart in made.charts:
                draw(out, chart)
    if OWN not in names:
        show(console, beside_the_paper(runs), targets_table(figures))
    if json is not None:
        files = {"trace": chosen_file(trace, AZURE)} if OWN in names else {}
        if pool is not None:
            files |= {"pool": named_file(pool), "engines": packaged_file(PROFILES)}
        parameters = {**seeds_json(seeds), "only": names, **asdict(detail)}
        modules = "sensitivity", "settings", "studies", "world"
        write_json(json, "tally-node sim paper", parameters, figures, files=files, modules=modules)
