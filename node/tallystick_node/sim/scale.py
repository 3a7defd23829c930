"""How large a market can be simulated, and where the time goes (`tally-node sim scale`).

Every node has an engine and users of its own, and is asked as often as the others: what is measured is the
simulator itself, and what a payer's choice costs where many sell.
"""

import cProfile
import gc
import pstats
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import inf, sqrt
from pathlib import Path
from typing import Final

from rich.table import Table

from tallystick_node.sim.dispatch import Live
from tallystick_node.sim.hardware import Hardware, twelve
from tallystick_node.sim.outcome import Result
from tallystick_node.sim.spread import followed
from tallystick_node.sim.workload import CHAT, poisson
from tallystick_node.sim.world import NodeSpec, World

_OF_TWELVE: Final = 27.0
"""Requests a second that twelve unequal nodes serve well, with a fifth to spare."""
_AFTER_S: Final = 120.0
_LATE: Final = 6.0
"""Standard deviations by which the last may come later than in the mean."""
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "choosing": (
        "choose.py",
        "rules.py",
        "drawing.py",
        "ordering.py",
        "steering.py",
        "reach.py",
        "pricing.py",
        "looking.py",
    ),
    "predicting": ("speed.py",),
    "remembering": ("record.py", "rating.py", "news.py"),
    "engines": ("engine.py",),
    "on the way": ("search.py", "dispatch.py", "standing.py", "haggling.py", "links.py", "quoting.py"),
    "policies": ("policies.py",),
    "settling": ("till.py", "settling.py", "chain.py"),
    "clock": ("events.py",),
}
"""By what they are for, the files whose functions' own time is summed; the rest is `other`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One run."""

    nodes: int
    requests: int
    result: Result
    built_s: float
    """To lay out the market."""
    cpu_s: float
    """Of the run; both of this process' own time, whatever else the machine did."""
    wall_s: float
    peak_mib: float
    """Of memory, of the process."""
    parts: Mapping[str, float]
    """Shares of the time, by part; empty where it was not profiled."""

    @property
    def a_minute(self) -> float:
        """Requests simulated in a minute of one core."""
        return 60 * self.requests / max(self.cpu_s, 1e-9)

    @property
    def a_request(self) -> Sequence[tuple[str, float, str]]:
        """What came of them: name, value, unit."""
        result, requests = self.result, max(1, self.requests)
        return (
            ("requests served", len(result.served()) / requests, "1"),
            ("quotes asked for", result.counts["probes"] / requests, "1/request"),
            ("events", result.counts["events"] / requests, "1/request"),
        )


def run(nodes: int, requests: int, *, seed: int = 1, profiled: bool = False) -> Scale:
    """Nodes of twelve kinds in turn."""
    kinds: tuple[Hardware, ...] = twelve()
    start = time.process_time()
    specs = [NodeSpec(hardware=kinds[i % len(kinds)]) for i in range(nodes)]
    world = World(specs, Live(), seed=seed)
    built_s = time.process_time() - start
    rate = _OF_TWELVE * nodes / len(kinds)
    until = (requests + _LATE * sqrt(requests)) / rate + _AFTER_S
    arrivals = islice(poisson(rate, inf, CHAT, homes=range(nodes), seed=seed), requests)
    workload = followed(arrivals, requests, "requests")
    profile = cProfile.Profile()
    start, began = time.process_time(), time.monotonic()
    with _without_collector():
        if profiled:
            result = profile.runcall(world.run, workload, until=until)
        else:
            result = world.run(workload, until=until)
    return Scale(
        nodes=nodes,
        requests=len(result.outcomes),
        result=result,
        built_s=built_s,
        cpu_s=time.process_time() - start,
        wall_s=time.monotonic() - began,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        parts=_parts(profile) if profiled else {},
    )


@contextmanager
def _without_collector() -> Iterator[None]:
    """Nothing of a run is in cycles: to look for them in gigabytes is a twentieth of its time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _parts(profile: cProfile.Profile) -> dict[str, float]:
    where = {file: part for part, files in PARTS.items() for file in files}
    found = dict.fromkeys([*PARTS, "other"], 0.0)
    stats: Mapping[tuple[str, int, str], tuple[int, int, float, float, object]]
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # the stubs leave it out
    for (file, _, _), (_, _, own_s, _, _) in stats.items():
        found[where.get(Path(file).name, "other")] += own_s
    whole = sum(found.values()) or 1.0
    return {part: own_s / whole for part, own_s in sorted(found.items(), key=lambda item: -item[1])}


def speed_table(scale: Scale) -> Table:
    table = Table(title=f"{scale.nodes:,} nodes, {scale.requests:,} requests", title_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right")
    result = scale.result
    requests = max(1, scale.requests)
    for what, figure in (
        ("simulated requests a minute of one core", f"{scale.a_minute:,.0f}"),
        ("core time of the run", f"{scale.cpu_s:,.1f} s"),
        ("time by the clock on the wall", f"{scale.wall_s:,.1f} s"),
        ("to lay out the market", f"{scale.built_s:,.1f} s"),
        ("memory at its peak", f"{scale.peak_mib:,.0f} MiB"),
        ("events a request", f"{result.counts['events'] / requests:.1f}"),
        ("requests served", f"{len(result.served()) / requests:.2%}"),
        ("requests bought elsewhere", f"{sum(item.cost > 0 for item in result.outcomes) / requests:.1%}"),
        ("quotes asked for, a request", f"{result.counts['probes'] / requests:.3f}"),
        ("transactions that settle", f"{result.counts['transactions.settlements']:,}"),
    ):
        table.add_row(what, figure)
    for part, share in scale.parts.items():
        table.add_row(f"of its time: {part}", f"{share:.1%}")
    return table
