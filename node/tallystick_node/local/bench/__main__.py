"""What the market costs, on one page: `scripts/bench`.

Every figure stands beside what others take, or the same without us, measured in the same run where it can
be, and beside its target. Exits with 1 where a target is missed; with --quick never for that, because quick
figures are too few to judge by.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from tallystick.protocol.units import Atoms
from tallystick_node.local.bench.arms import LITELLM, Arm, start_arms
from tallystick_node.local.bench.core import measure_core
from tallystick_node.local.bench.cpu import cores
from tallystick_node.local.bench.gas import measure_gas
from tallystick_node.local.bench.latency import Load, measure_latency
from tallystick_node.local.bench.machine import machine_of, measure_machine
from tallystick_node.local.bench.page import as_markdown, as_text
from tallystick_node.local.bench.parallel import measure_parallel
from tallystick_node.local.bench.reasons import reason
from tallystick_node.local.bench.row import Row
from tallystick_node.local.bench.stall import measure_stall
from tallystick_node.local.bench.tokens import measure_tokens
from tallystick_node.local.market import LocalMarket
from tallystick_node.local.progress import tell

_CREDIT: Final = Atoms(1_000_000)
_HEAD: Final = """\
# Performance

What `scripts/bench --docs docs/performance.md` printed on {cores} shared cores. In each round the arms take
turns, and comparisons are made within a round; rows are medians over rounds. What is measured (our
gateway, LiteLLM's proxy) runs alone on one core; the load generator, the engines and the chain share the
other, so that what is added is the gateway's own. "Busy" is the share of its core that the gateway's
process used: near 100 % it was the limit, and not the load generator. Targets are never edited to fit."""


def main() -> int:
    options = _parse()
    if options.read:
        rows = [Row.from_json(item) for item in json.loads(options.read.read_text())]
    else:
        rows = _measure(2 if options.quick else options.rounds, quick=options.quick)
    print(as_text(rows))
    if options.json:
        options.json.write_text(json.dumps([row.to_json() for row in rows], indent=1) + "\n", "utf-8")
    if options.docs:
        head = _HEAD.format(cores=machine_of(rows).cores)
        soak = json.loads(options.soak.read_text()) if options.soak else None
        options.docs.write_text(as_markdown(rows, partial(reason, machine_of(rows)), head, soak), "utf-8")
    return 1 if not options.quick and any(row.missed for row in rows) else 0


def _measure(rounds: int, *, quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        rows = measure_machine()
        tell("the protocol's core")
        rows += measure_core(rounds, folder / "core")
        tell("latency and load: a market starts")
        rows += _served(folder / "load", rounds, quick=quick)
        tell("parallel requests")
        count, parallel, delay_ms = (12, 4, 1) if quick else (96, 32, 12)
        rows += asyncio.run(
            measure_parallel(folder / "parallel", requests=count, parallel=parallel, token_delay_ms=delay_ms)
        )
        if not quick:
            tell("streams at a distance")
            rows += asyncio.run(measure_stall(folder / "stall", (0, 50, 150, 300)))
        tell("gas")
        rows += measure_gas()
        tell("all is measured")
        return rows


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there too")
    parser.add_argument("--docs", metavar="FILE", type=Path, help="write them there as a page of docs")
    parser.add_argument(
        "--soak", metavar="FILE", type=Path, help="and a soak's result (its --json) with them"
    )
    parser.add_argument("--read", metavar="FILE", type=Path, help="take an earlier --json, measure nothing")
    parser.add_argument("--rounds", type=int, default=9, help="in which the arms take turns (default: 9)")
    parser.add_argument("--quick", action="store_true", help="a few of each, without LiteLLM, under a minute")
    return parser.parse_args()


def _served(folder: Path, rounds: int, *, quick: bool) -> list[Row]:
    """What needs a market that serves. This process keeps to the load generator's core meanwhile."""
    load = Load.quick() if quick else Load.full()

    async def fast(arms: Sequence[Arm]) -> list[Row]:
        tell(f"latency, {rounds} rounds")
        rows = await measure_latency(arms, rounds, load)
        tell(f"tokens as fast as they come, {rounds} rounds")
        return rows + await measure_tokens(arms, rounds, note="as fast as they come")

    async def paced(arms: Sequence[Arm]) -> list[Row]:
        tell(f"tokens each by itself, {rounds} rounds")
        return await measure_tokens(arms, rounds, note="each by itself")

    litellm = not quick and LITELLM.exists()
    rows = _with_arms(folder / "fast", fast, litellm=litellm)
    if not quick:
        rows += _with_arms(folder / "paced", paced, "--token-delay-ms", "4", litellm=litellm)
    return rows


Measure = Callable[[Sequence[Arm]], Coroutine[None, None, list[Row]]]


async def _measured(arms: Sequence[Arm], measure: Measure) -> list[Row]:
    try:
        return await measure(arms)
    finally:
        for arm in arms:
            arm.server.close()


def _with_arms(
    folder: Path,
    measure: Measure,
    *engine_options: str,
    litellm: bool,
) -> list[Row]:
    allowed = os.sched_getaffinity(0)
    with ExitStack() as stack:
        market = LocalMarket(
            folder=folder, provider_count=2, plain_count=1, credit=_CREDIT, engine_options=engine_options
        )
        arms = start_arms(stack.enter_context(market), stack, litellm=litellm)
        stack.callback(os.sched_setaffinity, 0, allowed)
        os.sched_setaffinity(0, {cores()[-1]})
        rows = uvloop.run(_measured(arms, measure))
        for arm in arms:
            if arm.payer is not None:
                arm.payer.require_complete()
        return rows


if __name__ == "__main__":
    sys.exit(main())
