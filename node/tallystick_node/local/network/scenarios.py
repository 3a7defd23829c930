"""The five comparisons, (a) to (e): which fleets run under which load, what happens to them, and what is
asked of what they did. Targets are those of the project; a missed one is said so, and nothing is repeated."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tallystick_node.local.network import arm as arms
from tallystick_node.local.network.arm import Event, Result
from tallystick_node.local.network.fleet import FLEET, Fleet, Node, complete_views, running
from tallystick_node.local.network.operated import TURN
from tallystick_node.local.network.score import Served, quantile, score, within
from tallystick_node.local.network.traffic import Arrival, arrivals, read_sizes

SINGLE: Final = 'name = "tallystick_node.local.network.rules.Alone"'
PAPER: Final = 'name = "paper"'
OURS: Final = 'name = "default"'
_TIMES: Final = """\
name = "tallystick_node.local.network.rules.Times"
price_every_s = 1"""
_FOLLOWS_S: Final = 10.0
"""From a price to traffic that follows it: the transaction, and payers' looks at the chain."""
_RECOVERED_S: Final = 2.0
_APART_S: Final = 30.0
_CONVERGED_S: Final = 15.0
_AGAIN_WITHIN: Final = 1.5
"""Times the median from before: what counts as recovered."""

Heard = Callable[[str, Served], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a person may ask of a run."""

    folder: Path
    seconds: float
    rate: float
    seed: int
    heard: Heard = lambda _, __: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was wanted of a figure."""

    name: str
    wanted: str
    found: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one comparison showed."""

    key: str
    title: str
    results: Sequence[Result]
    targets: Sequence[Target]
    marks: Mapping[str, float] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return all(target.met for target in self.targets) and all(one.adds_up for one in self.results)

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "arms": {result.name: result.to_json() for result in self.results},
            "targets": [
                {"name": one.name, "wanted": one.wanted, "found": one.found, "met": one.met}
                for one in self.targets
            ],
        }


async def _run(
    setting: Setting,
    name: str,
    nodes: Sequence[Node],
    load: Sequence[Arrival],
    *,
    events: Sequence[tuple[float, Event]] = (),
    doors: bool = False,
) -> Result:
    fleet = Fleet(folder=setting.folder / name.replace(" ", "-"), nodes=nodes, doors=doors)
    async with running(fleet):
        return await arms.run(
            name, fleet, load, heard=lambda served: setting.heard(name, served), events=events
        )


def _load(setting: Setting, homes: int, hot: Sequence[int] = ()) -> list[Arrival]:
    return arrivals(
        read_sizes(longest=arms.LONGEST),
        seed=setting.seed,
        rate=setting.rate,
        seconds=setting.seconds,
        homes=homes,
        hot=hot,
    )


def _fleet(policy: str, rule: str = "quoted") -> list[Node]:
    return [Node(card=card, policy=policy, rule=rule) for card in FLEET]


async def three_rules(setting: Setting) -> Told:
    """(a) One load, in which two nodes after another are hot, under three rules."""
    load = _load(setting, len(FLEET), hot=(6, 3))
    rules = {
        "single": _fleet(SINGLE),
        "paper's": _fleet(PAPER, "stake-weighted"),
        "ours": _fleet(OURS),
    }
    results = [await _run(setting, name, nodes, load) for name, nodes in rules.items()]
    single, paper, ours = (score(result.served) for result in results)
    gain = ours.attainment / max(single.attainment, 1e-9)
    saved = 1 - ours.mean_s / max(single.mean_s, 1e-9)
    return Told(
        key="a",
        title="single node, the paper's rule, ours",
        results=results,
        targets=[
            Target(
                name="SLO attainment over single node",
                wanted="≥ 1.5 ×, the paper's claim",
                found=f"{gain:.2f} ×",
                met=gain >= 1.5,
            ),
            Target(
                name="mean latency against single node",
                wanted="≤ −27.6 %, the paper's claim",
                found=f"{-100 * saved:+.1f} %",
                met=saved >= 0.276,
            ),
            Target(
                name="SLO attainment against the paper's rule",
                wanted="more",
                found=f"{100 * ours.attainment:.1f} % against {100 * paper.attainment:.1f} %",
                met=ours.attainment > paper.attainment,
            ),
        ],
    )


async def churn(setting: Setting) -> Told:
    """(b) A node joins at a third; at two thirds one leaves, one is killed. Users are at home elsewhere."""
    joins, leaves, dies = 0, 1, 2
    third, two_thirds = setting.seconds / 3, setting.seconds * 2 / 3
    nodes = _fleet(OURS)
    nodes[joins] = replace(nodes[joins], later=True)
    load = [
        Arrival(number=one.number, at_s=one.at_s, home=3 + one.home, size=one.size)
        for one in _load(setting, len(FLEET) - 3)
    ]

    async def join(fleet: Fleet) -> None:
        await asyncio.to_thread(fleet.market.start_gateway, fleet.provider(joins))

    async def leave(fleet: Fleet) -> None:
        fleet.provider(leaves).running.terminate()
        await asyncio.to_thread(fleet.provider(dies).running.kill)

    result = await _run(setting, "churn", nodes, load, events=[(third, join), (two_thirds, leave)])
    before = _median_first(within(result.served, two_thirds - 10, two_thirds))
    after = _median_first(within(result.served, two_thirds + _RECOVERED_S, two_thirds + _RECOVERED_S + 8))
    lost = [item for item in result.served if not item.whole]
    return Told(
        key="b",
        title="a node joins, one leaves, one is killed",
        results=[result],
        marks={"joins": third, "leaves, killed": two_thirds},
        targets=[
            Target(name="requests lost", wanted="0", found=str(len(lost)), met=not lost),
            Target(
                name=f"first token, median, {_RECOVERED_S:.0f} s after two nodes went",
                wanted=f"≤ {_AGAIN_WITHIN} × that before",
                found=f"{1000 * after:.0f} ms against {1000 * before:.0f} ms",
                met=0 < after <= _AGAIN_WITHIN * before,
            ),
        ],
    )


def _median_first(served: Sequence[Served]) -> float:
    return quantile(sorted(item.first_s for item in served if item.first_s is not None), 0.5)


async def liars(setting: Setting) -> Told:
    """(c) A quarter of the providers say that they have nothing to do."""
    load = _load(setting, len(FLEET))
    honest = _fleet(OURS)
    lying = [replace(node, program="liar" if number in (5, 6) else "") for number, node in enumerate(honest)]
    results = [await _run(setting, "honest", honest, load), await _run(setting, "liars", lying, load)]
    one, other = (score(result.served).attainment for result in results)
    return Told(
        key="c",
        title="a quarter of the providers advertise an empty queue",
        results=results,
        targets=[
            Target(
                name="SLO attainment lost to liars",
                wanted="≤ 2 points",
                found=f"{100 * (one - other):.1f} points ({100 * one:.1f} % to {100 * other:.1f} %)",
                met=one - other <= 0.02,
            )
        ],
    )


async def partition(setting: Setting) -> Told:
    """(d) Half of the nodes cannot reach the other half for 30 s (or a third of the run)."""
    apart_s = min(_APART_S, setting.seconds / 3)
    cut_at = setting.seconds / 3
    halves = range(len(FLEET) // 2), range(len(FLEET) // 2, len(FLEET))
    seen: list[tuple[float, int]] = []

    async def cut(fleet: Fleet) -> None:
        fleet.links.cut(*halves)

    async def heal(fleet: Fleet) -> None:
        fleet.links.heal()
        began = time.monotonic()
        while time.monotonic() - began < _CONVERGED_S:
            complete = await complete_views(fleet)
            seen.append((time.monotonic() - began, complete))
            if complete == len(FLEET):
                return
            await asyncio.sleep(0.5)

    result = await _run(
        setting,
        "partition",
        _fleet(OURS),
        _load(setting, len(FLEET)),
        events=[(cut_at, cut), (cut_at + apart_s, heal)],
        doors=True,
    )
    took, complete = seen[-1] if seen else (0.0, 0)
    lost = [item for item in result.served if not item.whole]
    return Told(
        key="d",
        title=f"halves that cannot reach each other for {apart_s:.0f} s",
        results=[result],
        marks={"cut": cut_at, "healed": cut_at + apart_s},
        targets=[
            Target(
                name="nodes that see all others again",
                wanted=f"{len(FLEET)} within {_CONVERGED_S:.0f} s",
                found=f"{complete} after {took:.1f} s",
                met=complete == len(FLEET),
            ),
            Target(name="requests lost", wanted="0", found=str(len(lost)), met=not lost),
        ],
    )


async def prices(setting: Setting) -> Told:
    """(e) The fastest node becomes four times as dear halfway. Pinned offers are honoured to the last."""
    half = setting.seconds / 2
    dearer = 0

    async def turn(fleet: Fleet) -> None:
        gateway = fleet.provider(dearer).gateway
        assert gateway is not None
        os.kill(gateway.pid, TURN)

    nodes = _fleet(OURS)
    nodes[dearer] = replace(nodes[dearer], policy=_TIMES, program="operated")
    result = await _run(setting, "prices", nodes, _load(setting, len(FLEET)), events=[(half, turn)])
    name = f"{dearer}·{FLEET[dearer]}"
    before = _share(result, name, 0, half)
    after = _share(result, name, half + _FOLLOWS_S, setting.seconds)
    lost = [item for item in result.served if not item.whole]
    return Told(
        key="e",
        title="the fastest node becomes four times as dear halfway",
        results=[result],
        marks={"dearer": half},
        targets=[
            Target(
                name=f"share of the answers bought from it, {_FOLLOWS_S:.0f} s later",
                wanted="less than before",
                found=f"{100 * before:.0f} % to {100 * after:.0f} %",
                met=after < before,
            ),
            Target(name="requests lost", wanted="0", found=str(len(lost)), met=not lost),
        ],
    )


def _share(result: Result, name: str, start_s: float, end_s: float) -> float:
    moved = [item for item in within(result.served, start_s, end_s) if item.provider]
    return sum(result.names.get(item.provider) == name for item in moved) / max(1, len(moved))


Scenario = Callable[[Setting], Awaitable[Told]]
SCENARIOS: Final[Mapping[str, Scenario]] = {
    "a": three_rules,
    "b": churn,
    "c": liars,
    "d": partition,
    "e": prices,
}
