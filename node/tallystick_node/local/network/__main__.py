"""A network of eight nodes on this machine, told as it happens: `scripts/demo network`.

Engines keep the pace of real cards, everything else is as it would be elsewhere: gateways, gossip, quotes,
payments, a chain. It shows (a) one load under three rules, (b) nodes that come and go, (c) liars, (d) a
network that falls apart and heals, (e) prices that change. Exits with 1 where a target is missed or an atom
is; a load too light to show anything misses.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tallystick.chain.errors import ChainError
from tallystick_node.local.bench.page import put_between
from tallystick_node.local.engines import vllm_is_installed
from tallystick_node.local.network.comparing import Setting, Told
from tallystick_node.local.network.figures import HEAD, MARKER, as_markdown, cells
from tallystick_node.local.network.plot import draw
from tallystick_node.local.network.scenarios import SCENARIOS
from tallystick_node.local.network.score import Served, score
from tallystick_node.local.process import NotReady
from tallystick_node.local.progress import tell

_DEFAULT: Final = "a,b"


def main() -> int:
    options = _parse()
    if options.read:
        put_between(options.docs, MARKER, as_markdown(json.loads(options.read.read_text())))
        return 0
    console = Console(highlight=False, stderr=options.json == "-")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="tallystick-network-", ignore_cleanup_errors=True) as folder:
            return asyncio.run(_tell(options, Path(options.keep or folder), console))
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130
    except (NotReady, ChainError) as error:
        console.print(f"[red]network:[/] {error}", markup=True)
        return 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo network", description=__doc__)
    parser.add_argument(
        "--only",
        metavar="KEYS",
        help=f"which of {','.join(SCENARIOS)} (default: all with --json, else {_DEFAULT})",
    )
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="of load in each (default 60)")
    parser.add_argument(
        "--rate", type=float, default=8, metavar="R", help="requests a second in all (default 8)"
    )
    parser.add_argument("--seed", type=int, default=7, help="of the load (default 7)")
    parser.add_argument(
        "--vllm",
        type=int,
        choices=(0, 1, 2),
        default=0,
        metavar="N",
        help="so many of the nodes, up to 2, are real vLLM with a tiny model on this machine's processor; "
        "requests are short then (default 0)",
    )
    parser.add_argument("--json", metavar="FILE", help="write every figure there; -: to stdout")
    parser.add_argument(
        "--docs", metavar="FILE", type=Path, help="write them into that page, between its markers"
    )
    parser.add_argument(
        "--read", metavar="FILE", type=Path, help="take an earlier --json for --docs, run nothing"
    )
    parser.add_argument(
        "--plot", metavar="FILE", default="network.png", help="the picture (default network.png)"
    )
    parser.add_argument("--keep", metavar="FOLDER", help="work there and leave logs and databases behind")
    options = parser.parse_args()
    keys = (
        options.only.split(",") if options.only else list(SCENARIOS if options.json else _DEFAULT.split(","))
    )
    unknown = [key for key in keys if key not in SCENARIOS]
    if options.read and not options.docs:
        parser.error("--read is for --docs")
    if options.vllm and not vllm_is_installed():
        parser.error("vLLM is not installed: scripts/install vllm")
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}: choose from {','.join(SCENARIOS)}")
    options.keys = keys
    return options


async def _tell(options: argparse.Namespace, folder: Path, console: Console) -> int:
    told: list[Told] = []
    for key in options.keys:
        told.append(await _one(key, options, folder / key, console))
        _print(told[-1], console)
    report = _report(options, told)
    if options.json:
        _write(options.json, json.dumps(report, indent=2) + "\n")
    if options.docs:
        put_between(options.docs, MARKER, as_markdown(report))
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


def _write(file: str, text: str) -> None:
    if file == "-":
        sys.stdout.write(text)
    else:
        Path(file).write_text(text)


def _draw(told: Sequence[Told], path: Path, console: Console) -> None:
    for one in told:
        own = path.with_stem(f"{path.stem}-{one.key}") if len(told) > 1 else path
        arms = {result.name: result.served for result in one.results}
        draw(arms, own, title=f"({one.key}) {one.title}", marks=one.marks)
        console.print(f"drawn: {own}")


if __name__ == "__main__":
    sys.exit(main())
