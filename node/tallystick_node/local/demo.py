"""The whole story on one machine, told as it happens: `scripts/demo`.

Stake, offer, deposit, buy, acknowledge, settle, check. It decides nothing, and keeps nothing unless told to.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import tallystick
from tallystick.chain.errors import ChainError
from tallystick.chain.events import Earned, Settled
from tallystick.chain.follower import Follower
from tallystick.chain.market import Market
from tallystick.protocol.units import to_hex
from tallystick_node.local.audit import Check, PayersHalf, audit
from tallystick_node.local.engines import EngineKind, preferred_engine, vllm_is_installed
from tallystick_node.local.load import Bought, buy, openai_client
from tallystick_node.local.market import DEPOSIT, LocalMarket
from tallystick_node.local.process import NotReady

_PARALLEL: Final = 16
_BUDGET: Final = tallystick.Budget(total=DEPOSIT * 4 // 5, per_request=100_000)
_GET_VLLM: Final = (
    "For real vLLM: scripts/demo --engine vllm (installs it beside, about 2 GB and two minutes)."
)

Totals = dict[str, dict[str, int]]
"""By provider's name: requests, tokens, receipts, atoms."""


def main() -> int:
    """Exit status: 0 when all three checks hold."""
    options = _parse()
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty(), stderr=options.json)
    # Also SIGINT: a shell starts what it runs in the background with that one ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="tallystick-demo-", ignore_cleanup_errors=True) as folder:
            return _tell(options, Path(folder), console)
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130
    except (NotReady, ChainError) as error:
        console.print(f"[red]demo:[/] {error}", markup=True)
        return 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument(
        "--engine",
        choices=[kind.value for kind in EngineKind],
        help="vllm: the real server; embedded: the shipped tiny model; echo: no model, for load "
        "(default: vllm where a GPU or an installed vLLM is found, else embedded)",
    )
    parser.add_argument("--providers", type=_count, default=3, metavar="N", help="default 3")
    parser.add_argument("--requests", type=_count, default=60, metavar="N", help="default 60")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="leave the market up afterwards, until Ctrl-C, and say how to use it",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON; the story goes to stderr"
    )
    return parser.parse_args()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _tell(options: argparse.Namespace, folder: Path, console: Console) -> int:
    begun = time.monotonic()
    engine = EngineKind(options.engine) if options.engine else preferred_engine()

    def tell(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:6.1f} s[/]  {line}")

    if options.engine is None and not vllm_is_installed():
        tell(_GET_VLLM)
    with LocalMarket(folder=folder, engine=engine, provider_count=options.providers, tell=tell) as market:
        transport = tallystick.transport(
            market.payer,
            rpc=market.chain.url,
            deployment=market.deployment,
            budget=_BUDGET,
            home=market.home,
        )
        tell(
            f"the payer buys {options.requests:,} completions of {engine.model_name} with the openai "
            f"package, {_PARALLEL} at a time, every other one streamed"
        )
        bought, payer = asyncio.run(_buy(transport, market, options.requests, console))
        for each in {item.question: item for item in bought[:3]}.values():
            tell(f'  [italic]"{each.question}"[/]  →  "{_shortened(each.answer)}"')
        tell(f"{len(payer.held):,} receipts checked and acknowledged; the gateways drain and settle")
        market.stop_gateways()
        chain = market.market_of(market.payer)
        checks = audit(chain, payer)
        totals = _totals(market, chain, payer)
        _print(console, totals, checks, engine)
        tell("done")
        if options.json:
            print(json.dumps(_report(totals, checks, bought, engine, time.monotonic() - begun), indent=2))  # noqa: T201
        if options.keep:
            _keep(market, console)
    return 0 if all(check.holds for check in checks) else 1


def _totals(market: LocalMarket, chain: Market, payer: PayersHalf) -> Totals:
    """By provider: what was asked, delivered and paid, as the receipts say, and what the chain says."""
    totals: Totals = defaultdict(lambda: defaultdict(int))
    names = {provider.address: provider.name for provider in market.providers}
    asked: dict[str, set[tuple[bytes, int]]] = defaultdict(set)
    for item in payer.held:
        receipt = item.receipt.message
        row = totals[names[item.provider]]
        asked[names[item.provider]].add((receipt.channel_id, item.nonce))
        row["input_tokens"] += receipt.input_tokens
        row["output_tokens"] += receipt.output_tokens
        row["receipts"] += 1
        row["paid"] += receipt.cost
    settlements = _settlements(market)
    for provider in market.providers:
        row = totals[provider.name]
        row["requests"] = len(asked[provider.name])
        row["earned"] = chain.balance_of(provider.address)
        row["transactions"], row["gas"] = settlements.get(provider.address, (0, 0))
    return totals


async def _buy(
    transport: tallystick.Transport, market: LocalMarket, requests: int, console: Console
) -> tuple[Sequence[Bought], PayersHalf]:
    """What was answered, and the receipts for it, all acknowledged."""
    columns = (
        TextColumn("          {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    async with openai_client(transport) as client:
        with bar as progress:
            task = progress.add_task("answers", total=requests)
            bought = await buy(
                client,
                model=market.engine.model_name,
                requests=requests,
                parallel=_PARALLEL,
                heard=lambda _: progress.advance(task),
            )
            return bought, PayersHalf.of(transport)


def _settlements(market: LocalMarket) -> dict[bytes, tuple[int, int]]:
    """By provider: transactions that settled something, and the gas they took."""
    events = Follower(market.chain.rpc, market.deployment).poll().events
    found: dict[bytes, tuple[int, int]] = {}
    settling = {event.transaction for event in events if isinstance(event, Settled)}
    for event in events:
        if isinstance(event, Earned) and event.transaction in settling:
            mined = market.chain.rpc.call("eth_getTransactionReceipt", to_hex(event.transaction))
            count, gas = found.get(event.provider, (0, 0))
            found[event.provider] = (count + 1, gas + int(mined["gasUsed"], 16))
    return found


def _print(console: Console, totals: Totals, checks: Sequence[Check], engine: EngineKind) -> None:
    table = Table(title=f"Who was paid by the payer, for {engine.model_name}", title_justify="left")
    table.add_column("provider", no_wrap=True)
    columns = ("requests", "input_tokens", "output_tokens", "paid", "earned", "transactions", "gas")
    for head in ("requests", "tokens in", "out", "paid, atoms", "settled", "in txs", "gas"):
        table.add_column(head, justify="right")
    for name in sorted(totals):
        table.add_row(name, *(f"{totals[name][column]:,}" for column in columns))
    table.add_section()
    table.add_row("all", *(f"{sum(row[column] for row in totals.values()):,}" for column in columns))
    console.print(table)
    for check in checks:
        mark = "[green]✓[/]" if check.holds else "[red]✗[/]"
        console.print(f" {mark} {check.question}: {check.found}")


def _report(
    totals: Totals, checks: Sequence[Check], bought: Sequence[Bought], engine: EngineKind, seconds: float
) -> dict[str, Any]:
    return {
        "engine": engine.value,
        "requests": len(bought),
        "streamed": sum(item.streamed for item in bought),
        "seconds": round(seconds, 1),
        "providers": {name: dict(row) for name, row in sorted(totals.items())},
        "checks": [{"question": c.question, "holds": c.holds, "found": c.found} for c in checks],
    }


def _keep(market: LocalMarket, console: Console) -> None:
    """The gateways come back, an explorer comes too, and everything stays until Ctrl-C."""
    market.start_gateways()
    explorer = market.start_explorer()
    market.publish_receipts(explorer)
    console.print("\nThe market stays up until Ctrl-C.\n")
    console.print(f"  explorer   {explorer}   every atom of it, in a browser")
    console.print(f"  chain      {market.chain.url}")
    for provider in market.providers:
        console.print(f"  {provider.name} {provider.url}   {provider.config}")
    console.print("\nFor an openai program (docs/payer.md) and for tally, in another terminal:\n")
    for name, value in market.environment.items():
        console.print(f"export {name}={value}", soft_wrap=True)
    console.print("export PATH=$PWD/.venv/bin:$PATH")
    console.print(f'\ntally pay {market.engine.model_name} "What is the capital of Kenya?"\n')
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    console.print("stopping")


def _shortened(text: str, length: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
