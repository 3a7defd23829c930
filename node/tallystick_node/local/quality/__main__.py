"""Providers of several grades duel on this machine, before judges who are drawn and paid: `scripts/demo
quality`.

It shows (a) that duels order three grades of a model and one that babbles, over the real protocol; (b) that
callers wait no longer, whatever share of requests duels; (c) what duels cost beside what is foretold; (d)
what each who plays against them gains. Exits with 1 where a target is missed.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tallystick.protocol.units import Address
from tallystick_node.local.progress import tell
from tallystick_node.local.quality import adversaries, callers, grades
from tallystick_node.local.quality.contest import Bout
from tallystick_node.local.quality.grading import FEW_GRADES, FEW_JUDGES, Contest, Graded
from tallystick_node.local.quality.latency import Bench, Waited
from tallystick_node.local.quality.parts import Part, as_markdown
from tallystick_node.local.quality.plot import draw
from tallystick_node.local.showing import parser, require_sound, save, show

PARTS: Final = ("a", "b", "c", "d")
_DUELS: Final = 200
_QUICK: Final = 10


def main() -> int:
    return show("quality", _parse(), as_markdown, _tell)


def _parse() -> argparse.Namespace:
    found = parser("quality", __doc__, seed="questions and pairs")
    found.add_argument(
        "--only", metavar="KEYS", help=f"which of {','.join(PARTS)} (default: all)", default=",".join(PARTS)
    )
    found.add_argument("--duels", type=int, metavar="N", help=f"in (a) (default {_DUELS})")
    found.add_argument(
        "--quick", action="store_true", help=f"{_QUICK} duels, and as little of the rest: under a minute"
    )
    found.add_argument(
        "--vllm", action="store_true", help="real vLLM serves the grades of the model (four servers, 4 GB)"
    )
    found.add_argument(
        "--stay", action="store_true", help="after (a), leave an explorer over its market until Ctrl-C"
    )
    options = found.parse_args()
    options.keys = options.only.split(",")
    require_sound(options, found, PARTS)
    if options.keys == ["c"]:
        found.error("(c) is made of what (a) and (b) cost: --only a,c or b,c")
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
    save(options, report, as_markdown)
    return 0 if all(part.holds for part in parts) else 1


def _graded(options: argparse.Namespace, folder: Path, console: Console) -> Graded:
    few: dict[str, Any] = {}
    if options.quick:
        # A twin of vLLM takes as long to start as the others, and says nothing of it.
        served = FEW_GRADES | {"good": FEW_GRADES["good"][:1]} if options.vllm else FEW_GRADES
        few = {"grades": served, "judges": FEW_JUDGES, "panels": (3,)}
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


if __name__ == "__main__":
    sys.exit(main())
