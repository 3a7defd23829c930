"""What gossip takes, and how fast it is: `scripts/bench gossip`.

A simulated network of up to 10,000 nodes, in which the very code of nodes decides, and real processes that
gossip over HTTP on this machine. Bytes are counted as they would be sent. Takes about four minutes and up to
2 GB; `--nodes` and `--processes` say how many, to make it shorter. Exits with 1 where a target is missed.
"""

import argparse
import gc
import json
from collections.abc import Iterator, Sequence
from math import log2
from pathlib import Path
from typing import Final

import structlog

from tallystick.protocol.hearsay import INTERVAL_MS, NETWORK_PER_S
from tallystick_node.local.bench import gossip_told
from tallystick_node.local.bench.gossip_processes import Seen, measured
from tallystick_node.local.bench.page import as_text
from tallystick_node.local.bench.row import Row
from tallystick_node.local.progress import tell
from tallystick_node.sim.gossip import Network
from tallystick_node.sim.gossip_traffic import death, rounds_to, spread, traffic

_CROWD: Final = 1_000
"""Nodes among which a change spreads, and one dies."""
_ROUNDS: Final = 6
"""In which 99 % of them must know of a change."""
_OUT_S: Final = 10
"""In which a dead node must be out everywhere."""


def main() -> int:
    options = _parse()
    gc.disable()  # A crowd is millions of values that all stay: to walk them again and again takes minutes.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    processes = _processes(options.processes)  # First: they share what memory is there.
    rows = [*processes, *_crowd(options.crowd), *_traffic(options.nodes)]
    for providers in options.told:
        tell(f"what a payer reads of {providers:,} providers")
        rows += gossip_told.rows(providers)
    print(as_text(rows))  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps([row.to_json() for row in rows], indent=1) + "\n", "utf-8")
    return int(any(row.missed for row in rows))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench gossip",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there too")
    parser.add_argument("--crowd", type=int, default=_CROWD, help="nodes among which a change spreads")
    sizes = [16, 64, 256, 1_000, 10_000]
    parser.add_argument("--nodes", type=int, nargs="*", default=sizes, help="simulated, for their traffic")
    parser.add_argument("--processes", type=int, nargs="*", default=[4, 16, 64], help="that gossip over HTTP")
    parser.add_argument(
        "--told", type=int, nargs="*", default=[100, 1_000], help="providers that a payer reads of"
    )
    return parser.parse_args()


def _crowd(nodes: int) -> Iterator[Row]:
    section = f"a simulated network of {nodes:,} nodes"
    tell(section)
    network = Network(nodes, seed=1)
    network.acquaint()
    network.silent = True
    changes = spread(network, 5)
    rounds = [rounds_to(0.99, shares) for shares in changes]
    yield Row.of(section, "a change is known to 99 %, the slowest of five", max(rounds), "rounds", _ROUNDS)
    missed = sum(1 - shares[-1] for shares in changes) / len(changes)
    yield Row.of(section, "who missed it, until the next status", 100 * missed, "%")
    out, gone = death(network, nodes)
    yield Row.of(section, "a dead node is out everywhere", out, "s", _OUT_S)
    yield Row.of(section, "and gone everywhere", gone, "s")


def _traffic(sizes: Sequence[int]) -> Iterator[Row]:
    section = "what one node sends (simulated)"
    found = []
    for nodes in sizes:
        tell(f"what each of {nodes:,} simulated nodes sends")
        found.append(traffic(nodes))
    for size in found:
        yield Row.of(section, f"{size.nodes:,} nodes, nothing said", size.idle_s, "B/s")
        yield Row.of(section, "  for one status of anybody", size.status, "B")
        yield Row.of(section, "  all say as much as they may", size.full_s / 1_000, "kB/s")
        yield Row.of(section, "  over log₂ N", size.full_s / 1_000 / log2(size.nodes), "kB/s")
    large = [size for size in found if size.nodes >= NETWORK_PER_S]
    if len(large) > 1:
        first, last = large[0], large[-1]
        growth = last.full_s / first.full_s
        name = f"from {first.nodes:,} to {last.nodes:,} nodes it grows, over what log N does"
        yield Row.of(section, name, growth / (log2(last.nodes) / log2(first.nodes)), "times", 1.0)


def _processes(sizes: Sequence[int]) -> Iterator[Row]:
    for nodes in sizes:
        tell(f"{nodes} processes over HTTP")
        yield from _process_rows(measured(nodes))


def _process_rows(seen: Seen) -> Iterator[Row]:
    section = f"{seen.nodes} processes over HTTP on this machine, a tenth of which change in each second"
    others = seen.nodes - 1  # The one that is killed reports nothing.
    enough = seen.known_s[: -(-99 * others // 100)]
    known = enough[-1] if len(seen.known_s) == others else float("inf")
    yield Row.of(section, "a change is known to 99 %", known, "s", _ROUNDS * INTERVAL_MS / 1_000)
    out = seen.out_s[-1] if len(seen.out_s) == others else float("inf")
    yield Row.of(section, "a killed one is out everywhere", out, "s", _OUT_S)
    yield Row.of(section, "one node sends", seen.bytes_s / 1_000, "kB/s")
    yield Row.of(section, "  and computes", 100 * seen.cpu_s, "% of a core")


if __name__ == "__main__":
    raise SystemExit(main())
