"""`tally-node sim paper`: the paper's experiments over many seeds, in tables, figures and charts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from tallystick_node.sim.findings import beside_the_paper, found
from tallystick_node.sim.plot import draw, prepare
from tallystick_node.sim.report import targets_table, write_json
from tallystick_node.sim.spread import tracked
from tallystick_node.sim.studies import STUDIES, Measured, Run, own


class StudyUnknown(Exception):
    def __init__(self, actual: str):
        super().__init__(f"There is no study {actual}. There are {', '.join(STUDIES)}.")


OWN: Final = "own"
"""The study of arrivals or machines that the caller names."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One run, by names: it is done in whichever process."""

    study: str
    case: str
    seed: int
    trace: Path | None = None
    pool: Path | None = None


def measure(piece: Piece) -> Measured:
    return _cases(piece.study, piece.trace, piece.pool)[piece.case](piece.seed)


def _cases(study: str, trace: Path | None, pool: Path | None) -> Mapping[str, Run]:
    return own(trace, pool) if study == OWN else STUDIES[study]()


def paper(
    *,
    seeds: int,
    only: Collection[str],
    trace: Path | None,
    pool: Path | None,
    json: Path | None,
    out: Path | None,
    console: Console,
) -> None:
    """`only`: studies by name; all where empty. With a trace or a pool of the caller's, these alone. Raises
    StudyUnknown, TraceUnreadable, BadPool, MatplotlibMissing, OSError."""
    for name in only:
        if name not in STUDIES:
            raise StudyUnknown(name)
    if out is not None:
        prepare(out)
    names = [name for name in STUDIES if not only or name in only] if trace is pool is None else [OWN]
    work = [
        Piece(name, case, seed, trace, pool)
        for name in names
        for case in _cases(name, trace, pool)
        for seed in range(seeds)
    ]
    runs: dict[str, dict[str, list[Measured]]] = {}
    for piece, result in tracked(measure, work, console):
        runs.setdefault(piece.study, {}).setdefault(piece.case, []).append(result)
    figures = []
    for name in names:
        made = found(name, runs[name])
        for its in made.tables:
            console.print(its)
        figures += made.figures
        if out is not None:
            for chart in made.charts:
                draw(out, chart)
    console.print(beside_the_paper(runs), targets_table(figures))
    if json is not None:
        named = {"trace": trace and str(trace), "pool": pool and str(pool)}
        write_json(json, "tally-node sim paper", {"seeds": seeds, "only": names, **named}, figures)
