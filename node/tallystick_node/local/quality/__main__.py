"""Providers of several grades duel on this machine, before judges who are drawn and paid: `scripts/demo
quality`.

It shows (a) that duels order three grades of a model and one that babbles, over the real protocol; (b) that
callers wait no longer, whatever share of requests duels; (c) what duels cost beside what is foretold; (d)
what each who plays against them gains. Exits with 1 where a target is missed.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tallystick.chain.errors import ChainError
from tallystick.protocol.units import Address
from tallystick_node.local.bench.page import put_between
from tallystick_node.local.engines import vllm_is_installed
from tallystick_node.local.process import NotReady
from tallystick_node.local.progress import tell
from tallystick_node.local.quality import adversaries, callers, grades
from tallystick_node.local.quality.contest import Bout
from tallystick_node.local.quality.grading import FEW_GRADES, FEW_JUDGES, Contest, Graded
from tallystick_node.local.quality.latency import Bench, Waited
from tallystick_node.local.quality.parts import Part, as_markdown
from tallystick_node.local.quality.plot import draw

MARKER: Final = "figures"
PARTS: Final = ("a", "b", "c", "d")
_DUELS: Final = 200
_QUICK: Final = 10


def main() -> int:
    options = _parse()
    if options.read:
        put_between(options.docs, MARKER, as_markdown(json.loads(options.read.read_text())))
        return 0
    console = Console(highlight=False, stderr=options.json == "-")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="tallystick-quality-", ignore_cleanup_errors=True) as folder:
            return _tell(options, Path(options.keep or folder), console)
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130
    except (NotReady, ChainError) as error:
        console.print(f"[red]quality:[/] {error}", markup=True)
        return 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo quality", description=__doc__)
    parser.add_argument(
        "--only", metavar="KEYS", help=f"which of {','.join(PARTS)} (default: all)", default=",".join(PARTS)
    )
    parser.add_argument("--duels", type=int, metavar="N", help=f"in (a) (default {_DUELS})")
    parser.add_argument("--seed", type=int, default=7, help="of questions and pairs (default 7)")
    parser.add_argument(
        "--quick", action="store_true", help=f"{_QUICK} duels, and as little of the rest: under a minute"
    )
    parser.add_argument(
        "--vllm", action="store_true", help="real vLLM serves the grades of the model (four servers, 4 GB)"
    )
    parser.add_argument("--json", metavar="FILE", help="write every figure there; -: to stdout")
    parser.add_argument(
        "--docs", metavar="FILE", type=Path, help="write them into that page, between its markers"
    )
    parser.add_argument(
        "--read", metavar="FILE", type=Path, help="take an earlier --json for --docs, run nothing"
    )
    parser.add_argument(
        "--plot", metavar="FILE", default="quality.png", help="the picture (default quality.png)"
    )
    parser.add_argument(
        "--stay", action="store_true", help="after (a), leave an explorer over its market until Ctrl-C"
    )
    parser.add_argument("--keep", metavar="FOLDER", help="work there and leave logs and databases behind")
    options = parser.parse_args()
    options.keys = options.only.split(",")
    unknown = [key for key in options.keys if key not in PARTS]
    if options.read and not options.docs:
        parser.error("--read is for --docs")
    if options.vllm and not vllm_is_installed():
        parser.error("vLLM is not installed: scripts/install vllm")
    if options.keys == ["c"]:
        parser.error("(c) is made of what (a) and (b) cost: --only a,c or b,c")
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}: choose from {','.join(PARTS)}")
    options.duels = options.duels or (_QUICK if options.quick else _DUELS)
    return options


def _tell(options: argparse.Namespace, folder: Path, console: Console) -> int:
    began, before = time.monotonic(), os.getloadavg()[0]
    parts: list[Part] = []

    def say(part: Part) -> None:
        part.print(console)
        parts.append(part)

    graded = waited = None
    if "d" in options.keys:
        say(adversaries.part())
    if "a" in options.keys:
        graded = _graded(options, folder / "a", console)
        say(grades.part(graded))
        draw(parts[-1].figures["curve"], Path(options.plot))
        console.print(f"drawn: {options.plot}\n")
    if "b" in options.keys:
        waited = _waited(options, folder / "b", console)
        say(callers.waiting(waited))
    if "c" in options.keys:
        say(callers.costing(waited, graded.costs if graded else ()))
    parts.sort(key=lambda part: part.key)
    report = _report(options, parts, time.monotonic() - began, (before, os.getloadavg()[0]))
    console.print(f"{report['seconds']:.0f} s in all")
    if options.json:
        _write(options.json, json.dumps(report, indent=2) + "\n")
    if options.docs:
        put_between(options.docs, MARKER, as_markdown(report))
    return 0 if all(part.holds for part in parts) else 1


def _graded(options: argparse.Namespace, folder: Path, console: Console) -> Graded:
    few: dict[str, Any] = {}
    if options.quick:
        few = {"grades": FEW_GRADES, "judges": FEW_JUDGES, "panels": (3,)}
    with Live(console=console, refresh_per_second=2) as live:

        def on_bouts(names: Mapping[Address, str], bouts: Sequence[Bout]) -> None:
            live.update(_standings(names, bouts, options.duels))

        contest = Contest(
            folder=folder,
            count=options.duels,
            seed=options.seed,
            vllm=options.vllm,
            tell=lambda line: tell(f"(a) {line}"),
            on_bouts=on_bouts,
            stay=_stay if options.stay else lambda _: None,
            **few,
        )
        graded = contest.run()
        live.update("")
    return graded


def _stay(explorer: str) -> None:
    tell(f"(a) every duel is at {explorer}/duels; Ctrl-C goes on")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def _waited(options: argparse.Namespace, folder: Path, console: Console) -> Waited:
    few: dict[str, Any] = {}
    if options.quick:
        few = {"seconds": 4.0, "rounds": 1, "shares": (0.0, 0.5), "sellers": 2, "judges": 3}
    with Live(console=console, refresh_per_second=2) as live:
        bench = Bench(
            folder=folder,
            seed=options.seed,
            tell=lambda line: tell(f"(b) {line}"),
            on_round=lambda rounds: live.update(callers.progress(rounds).shown()),
            **few,
        )
        waited = bench.run()
        live.update("")
    return waited


def _standings(names: Mapping[Address, str], bouts: Sequence[Bout], count: int) -> Table:
    shown = grades.standings(names, bouts).shown()
    shown.title = f"(a) {len(bouts)} of {count} duels are decided"
    return shown


def _report(
    options: argparse.Namespace, parts: Sequence[Part], seconds: float, load: tuple[float, float]
) -> dict[str, Any]:
    return {
        "duels": options.duels,
        "seed": options.seed,
        "vllm": options.vllm,
        "seconds": seconds,
        "cores": len(os.sched_getaffinity(0)),
        "load": load,
        "parts": {part.key: part.to_json() for part in parts},
    }


def _write(file: str, text: str) -> None:
    if file == "-":
        sys.stdout.write(text)
    else:
        Path(file).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
