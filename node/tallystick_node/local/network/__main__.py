"""A network of eight nodes on this machine, told as it happens: `scripts/demo network`.

Engines keep the pace of real cards, everything else is as it would be elsewhere: gateways, gossip, quotes,
payments, a chain. It shows (a) one load under three rules, (b) nodes that come and go, (c) liars, (d) a
network that falls apart and heals, (e) prices that change. Exits with 1 where a target is missed or an atom
is; a load too light to show anything misses.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tallystick_node.local.network.comparing import Setting, Told
from tallystick_node.local.network.figures import HEAD, as_markdown, cells
from tallystick_node.local.network.plot import draw
from tallystick_node.local.network.scenarios import SCENARIOS
from tallystick_node.local.network.score import Served, score
from tallystick_node.local.progress import tell
from tallystick_node.local.showing import parser, require_sound, save, show

_DEFAULT: Final = "a,b"


def main() -> int:
    return show("network", _parse(), as_markdown, lambda *given: asyncio.run(_tell(*given)))


def _parse() -> argparse.Namespace:
    found = parser("network", __doc__, seed="the load")
    found.add_argument(
        "--only",
        metavar="KEYS",
        help=f"which of {','.join(SCENARIOS)} (default: all with --json, else {_DEFAULT})",
    )
    found.add_argument("--seconds", type=float, default=60, metavar="S", help="of load in each (default 60)")
    found.add_argument(
        "--rate", type=float, default=8, metavar="R", help="requests a second in all (default 8)"
    )
    found.add_argument(
        "--vllm",
        type=int,
        choices=(0, 1, 2),
        default=0,
        metavar="N",
        help="so many of the nodes, up to 2, are real vLLM with a tiny model on this machine's processor; "
        "requests are short then (default 0)",
    )
    options = found.parse_args()
    options.keys = (
        options.only.split(",") if options.only else list(SCENARIOS if options.json else _DEFAULT.split(","))
    )
    require_sound(options, found, SCENARIOS)
    return options


async def _tell(options: argparse.Namespace, folder: Path, console: Console) -> int:
    told: list[Told] = []
    for key in options.keys:
        told.append(await _one(key, options, folder / key, console))
        _print(told[-1], console)
    report = _report(options, told)
    save(options, report, as_markdown)
    _draw(told, Path(options.plot), console)
    return 0 if all(one.holds for one in told) else 1


async def _one(key: str, options: argparse.Namespace, folder: Path, console: Console) -> Told:
    heard: dict[str, list[Served]] = {}
    with Live(console=console, refresh_per_second=2) as live:

        def listen(arm: str, served: Served) -> None:
            heard.setdefault(arm, []).append(served)
            live.update(_table(key, heard))

        setting = Setting(
            folder=folder,
            seconds=options.seconds,
            rate=options.rate,
            seed=options.seed,
            vllm=options.vllm,
            on_served=listen,
            tell=lambda line: tell(f"({key}) {line}"),
        )
        told = await SCENARIOS[key](setting)
        live.update(_table(f"({key}) {told.title}", {one.name: list(one.served) for one in told.results}))
    return told


def _table(title: str, heard: dict[str, list[Served]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in HEAD:
        table.add_column(name, justify="left" if not name else "right")
    for name, served in heard.items():
        table.add_row(name, *cells(score(served)))
    return table


def _print(told: Told, console: Console) -> None:
    if not console.is_terminal:
        console.print()  # Where nothing is live, the table ends without a line's end.
    for target in told.targets:
        mark = "[green]✓[/]" if target.met else "[red]missed[/]"
        console.print(f"{mark} {target.name}: {target.found} (wanted {target.wanted})")
    for result in told.results:
        for check in result.checks:
            mark = "[green]✓[/]" if check.holds else "[red]✗[/]"
            console.print(f"{mark} {result.name}: {check.question}: {check.found}")
    console.print()


def _report(options: argparse.Namespace, told: Sequence[Told]) -> dict[str, Any]:
    return {
        "seconds": options.seconds,
        "rate": options.rate,
        "seed": options.seed,
        "vllm": options.vllm,
        "cores": len(os.sched_getaffinity(0)),
        "scenarios": {one.key: one.to_json() for one in told},
    }


def _draw(told: Sequence[Told], path: Path, console: Console) -> None:
    for one in told:
        own = path.with_stem(f"{path.stem}-{one.key}") if len(told) > 1 else path
        arms = {result.name: result.served for result in one.results}
        draw(arms, own, title=f"({one.key}) {one.title}", marks=one.marks)
        console.print(f"drawn: {own}")


if __name__ == "__main__":
    sys.exit(main())
