"""A network of eight nodes on this machine, told as it happens: `scripts/demo network`.

Engines keep the pace of real cards, everything else is as it would be elsewhere: gateways, gossip, quotes,
payments, a chain. It shows (a) one load under three rules, (b) nodes that come and go, (c) liars, (d) a
network that falls apart and heals, (e) prices that change. Exits with 1 where a target is missed or an atom
is.
"""

import argparse
import asyncio
import json
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
from tallystick_node.local.network.plot import draw
from tallystick_node.local.network.scenarios import SCENARIOS, Setting, Told
from tallystick_node.local.network.score import Served, score
from tallystick_node.local.process import NotReady

_DEFAULT: Final = "a,b"


def main() -> int:
    options = _parse()
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
    parser.add_argument("--json", metavar="FILE", help="write every figure there; -: to stdout")
    parser.add_argument(
        "--plot", metavar="FILE", default="network.png", help="the picture (default network.png)"
    )
    parser.add_argument("--keep", metavar="FOLDER", help="work there and leave logs and databases behind")
    options = parser.parse_args()
    keys = (
        options.only.split(",") if options.only else list(SCENARIOS if options.json else _DEFAULT.split(","))
    )
    unknown = [key for key in keys if key not in SCENARIOS]
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
    _draw(told, Path(options.plot), console)
    return 0 if all(one.holds for one in told) else 1


async def _one(key: str, options: argparse.Namespace, folder: Path, console: Console) -> Told:
    heard: dict[str, list[Served]] = {}
    with Live(console=console, refresh_per_second=2) as live:

        def listen(arm: str, served: Served) -> None:
            heard.setdefault(arm, []).append(served)
            live.update(_table(key, heard))

        setting = Setting(
            folder=folder, seconds=options.seconds, rate=options.rate, seed=options.seed, heard=listen
        )
        told = await SCENARIOS[key](setting)
        live.update(_table(f"({key}) {told.title}", {one.name: list(one.served) for one in told.results}))
    return told


def _table(title: str, heard: dict[str, list[Served]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("", "answers", "failed", "SLO met", "mean", "median", "p95", "first p95", "elsewhere"):
        table.add_column(name, justify="left" if not name else "right")
    for name, served in heard.items():
        one = score(served)
        seconds = [f"{value:.1f} s" for value in (one.mean_s, one.p50_s, one.p95_s, one.first_p95_s)]
        table.add_row(
            name,
            str(one.requests),
            str(one.failed),
            f"{100 * one.attainment:.1f} %",
            *seconds,
            f"{100 * one.elsewhere:.0f} %",
        )
    return table


def _print(told: Told, console: Console) -> None:
    if not console.is_terminal:
        console.print()  # Where nothing is live, the table ends without a line's end.
    for target in told.targets:
        mark = "[green]✓[/]" if target.met else "[red]missed[/]"
        console.print(f"{mark} {target.name}: {target.found} (wanted {target.wanted})")
    for result in told.results:
        wrong = [check for check in result.checks if not check.holds]
        for check in wrong:
            console.print(f"[red]✗ {result.name}: {check.question}:[/] {check.found}")
        if not wrong:
            console.print(f"[green]✓[/] {result.name}: money adds up: {result.checks[0].found}")
    console.print()


def _report(options: argparse.Namespace, told: Sequence[Told]) -> dict[str, Any]:
    return {
        "seconds": options.seconds,
        "rate": options.rate,
        "seed": options.seed,
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
