"""The parts of `tally-node sim scale`, each with its figures and a table: how fast the simulator itself is,
what gossip takes, what settling costs, how the index grows, and where a market's first wall is."""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console

from tallystick_node.sim.benched import benched
from tallystick_node.sim.found import Found
from tallystick_node.sim.gossip import Network
from tallystick_node.sim.gossip_traffic import first_spread, rounds_to, spread, traffic
from tallystick_node.sim.growth import growth
from tallystick_node.sim.hardware import PROFILES
from tallystick_node.sim.names import named
from tallystick_node.sim.outfile import require_writable
from tallystick_node.sim.plot import draw, prepare
from tallystick_node.sim.report import (
    Figure,
    Target,
    show,
    shown,
    table,
    targets_table,
    write_json,
)
from tallystick_node.sim.rerun import named_file, packaged_file
from tallystick_node.sim.scale import Scale, run, speed_table
from tallystick_node.sim.settlements import DAY_S, settled
from tallystick_node.sim.spread import followed
from tallystick_node.sim.walls import Costs, Habits, chart, walls
from tallystick_node.sim.world import SETTLING

GOSSIPING: Final = (64, 1_000, 10_000)
_ACQUAINTED: Final = 1_000
"""Nodes at most, among which a change spreads where all know all: each keeps as many statuses."""
_CHANGES: Final = 5
_KNOWN: Final = 0.99
_MEASURED: Final = 12
"""Nodes, of which it is asked how fast the simulator is."""
_TOLD: Final = 5_000
"""Requests, of fewer of which the first ones, when all stand idle, are too large a part."""
_A_DAY: Final = (0.3, 2.5, 20.0, 1_000.0, 10_000.0)
_ROWS: Final = 20_000
_GAS_PRICE: Final = 10_000_000
"""Wei: a hundredth of a gwei, as on a rollup where it is cheap."""
_SETTLED: Final = (("15 minutes", SETTLING), ("a day", replace(SETTLING, interval_s=int(DAY_S))))
"""After so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    nodes: int | None
    """None: as many as each part has without being told."""
    requests: int
    seed: int
    profiled: bool
    habits: Habits
    bench: Sequence[Path] = ()
    """Files of `scripts/bench`; see `benched`."""

    def parameters(self) -> Mapping[str, object]:
        """As they are written."""
        return {
            "nodes": self.nodes,
            "requests": self.requests,
            "seed": self.seed,
            "profile": self.profiled,
            "habits": asdict(self.habits),
            "bench": asdict(benched(self.bench)),
        }


def _speed(asked: Asked) -> Found:
    nodes = asked.nodes or _MEASURED
    made = run(nodes, asked.requests, seed=asked.seed, profiled=asked.profiled)
    name = f"speed: {nodes:,} nodes: "
    figures = [
        Figure(
            name=name + "requests a minute of one core",
            value=made.a_minute,
            unit="1/min",
            target=_fast(asked) if nodes == _MEASURED else None,
        ),
        Figure(name=name + "core time", value=made.cpu_s, unit="s", target=_large(made, 900, "≤ 15 min")),
        Figure(name=name + "memory", value=made.peak_mib, unit="MiB", target=_large(made, 8_192, "≤ 8 GiB")),
        *(Figure(name=name + what, value=value, unit=unit) for what, value, unit in made.a_request),
        *(Figure(name=f"{name}{part}", value=share, unit="1") for part, share in made.parts.items()),
    ]
    return Found(figures=figures, tables=[speed_table(made)])


def _fast(asked: Asked) -> Target | None:
    told = asked.requests >= _TOLD and not asked.profiled
    return Target(text="≥ 300,000", least=300_000) if told else None


def _large(made: Scale, most: float, text: str) -> Target | None:
    return Target(text=text, most=most) if made.nodes >= 10_000 and made.requests >= 990_000 else None


def _gossip(asked: Asked) -> Found:
    sizes = sorted(
        {asked.nodes, *(count for count in GOSSIPING if count < asked.nodes)} if asked.nodes else GOSSIPING
    )
    figures, rows = [], []
    for nodes in followed(sizes, len(sizes), "networks", within="rounds"):
        sent = traffic(nodes)
        first = first_spread(Network(nodes, seed=asked.seed), _KNOWN)
        name = f"gossip: {nodes:,} nodes: "
        figures += [
            Figure(name=name + "one sends, nothing said", value=sent.idle_s, unit="B/s"),
            Figure(name=name + "one sends, all say what they may", value=sent.full_s, unit="B/s"),
            Figure(name=name + "rounds until 99 % know the first word", value=first, unit="1"),
        ]
        later = ""
        if nodes <= _ACQUAINTED:
            slowest = _slowest(nodes, asked.seed)
            what = f"rounds until 99 % know a change, all knowing all, the slowest of {_CHANGES}"
            figures.append(Figure(name=name + what, value=slowest, unit="1"))
            later = str(slowest)
        rows.append((f"{nodes:,}", shown(sent.idle_s), shown(sent.full_s), str(first), later))
        gc.collect()
    heads = (
        "nodes",
        "B/s, nothing said",
        "B/s, all say what they may",
        "rounds to 99 %, first word",
        "a change",
    )
    return Found(figures=figures, tables=[table("What gossip takes of one node", heads, rows)])


def _slowest(nodes: int, seed: int) -> int:
    """Rounds until most know of a change, where all have heard of all before."""
    network = Network(nodes, seed=seed)
    network.acquaint()
    network.silent = True
    return max(rounds_to(_KNOWN, shares) for shares in spread(network, _CHANGES))


def _gas(asked: Asked) -> Found:
    figures, rows = [], []
    cases = [(*after, a_day) for after in _SETTLED for a_day in _A_DAY]
    for text, policy, a_day in followed(cases, len(cases), "cases", within="requests"):
        made = settled(a_day, policy=policy, seed=asked.seed)
        name = f"gas: settled after {text}: {a_day:g} requests a channel and day: "
        figures += [
            Figure(name=name + "transactions of a million", value=made.transactions, unit="1"),
            Figure(name=name + "rows of a million", value=made.rows, unit="1"),
            Figure(name=name + "gas of a million", value=made.gas, unit="gas"),
        ]
        part = made.gas_part(_GAS_PRICE)
        figures.append(Figure(name=name + "gas, of what they pay", value=part, unit="1"))
        counts = (made.transactions, made.rows, made.gas / 1e6)
        rows.append((text, f"{a_day:g}", *map(shown, counts), f"{part:.1%}"))
    heads = (
        "settled after",
        "requests a channel and day",
        "transactions",
        "rows",
        "million gas",
        "of income",
    )
    return Found(figures=figures, tables=[table("A million requests", heads, rows)])


def _index(asked: Asked) -> Found:
    made = growth(_ROWS)
    figures = [
        Figure(name="index: bytes of a settled row", value=made.row_bytes, unit="B"),
        Figure(name="index: core time of a settled row", value=made.row_s, unit="s"),
    ]
    rows = [
        ("bytes of a settled row", shown(made.row_bytes)),
        ("rows a second of one core", shown(1 / made.row_s)),
        ("a million rows", f"{made.row_bytes:,.0f} MB"),
    ]
    return Found(figures=figures, tables=[table("The index, in SQLite", ("what", "figure"), rows)])


def _wall(asked: Asked) -> Found:
    habits, found, bench = asked.habits, Found(), benched(asked.bench)
    index = growth(_ROWS)
    for text, policy in followed(_SETTLED, len(_SETTLED), "cases", within="requests"):
        made = settled(habits.a_channel, policy=policy, seed=asked.seed)
        costs = Costs(gas=made.gas, rows=made.rows, row_bytes=index.row_bytes)
        each = walls(1e6, habits, costs, bench)
        for wall in each:
            name = f"wall: settled after {text}: {wall.name}"
            found.figures += [
                Figure(name=name, value=wall.used, unit="1"),
                Figure(name=name + ": asked", value=wall.asked, unit=wall.unit),
                Figure(name=name + ": can", value=wall.can, unit=wall.unit),
                Figure(name=name + ": full at", value=1e6 / wall.used, unit="payers"),
            ]
        rows = [
            (wall.name, shown(wall.asked), shown(wall.can), wall.unit, f"{1e6 / wall.used:,.0f}")
            for wall in sorted(each, key=lambda wall: -wall.used)
        ]
        heads = ("a million payers", "asked", "can", "", "full at so many payers")
        found.tables.append(table(f"Where channels are settled after {text}", heads, rows))
        found.charts.append(chart(f"scale-{policy.interval_s}", text, habits, costs, bench))
    return found


PARTS: Final[Mapping[str, Callable[[Asked], Found]]] = {
    "speed": _speed,
    "gossip": _gossip,
    "gas": _gas,
    "index": _index,
    "wall": _wall,
}


def scale(
    asked: Asked, only: Sequence[str], *, json: Path | None, out: Path | None, console: Console
) -> None:
    """Raises NameUnknown, BadBench, OSError, MatplotlibMissing."""
    names = named("part", only, PARTS)
    require_writable(json)
    benched(asked.bench)
    if out:
        prepare(out)
    figures: list[Figure] = []
    for name in names:
        found = PARTS[name](asked)
        figures += found.figures
        for each in found.tables:
            console.print(each)
        for drawn in found.charts if out else ():
            assert out is not None
            draw(out, drawn)
    show(console, targets_table(figures))
    if json:
        write_json(
            json,
            "tally-node sim scale",
            {**asked.parameters(), "only": names},
            figures,
            files={"engines": packaged_file(PROFILES)}
            | {f"bench {number}": named_file(file) for number, file in enumerate(asked.bench, start=1)},
            modules=("scale", "scale_parts", "settlements", "walls", "world"),
        )
