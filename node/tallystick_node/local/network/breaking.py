"""What a network goes through: (b) nodes that come, leave and are killed, (d) halves that cannot reach each
other. Each says of what it did whether it was done at all: where nothing broke, nothing was shown."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from tallystick_node.local.network.comparing import Setting, Target, Told, none_lost
from tallystick_node.local.network.fleet import FLEET, Fleet, complete_views, under_way
from tallystick_node.local.network.score import Served, quantile, within

_RECOVERED_S: Final = 2.0
_AGAIN_WITHIN: Final = 1.5
"""Times the median from before: what counts as recovered."""
_AGAIN_WITHIN_S: Final = 0.1
"""Or so much more: a median of a few dozen answers of milliseconds moves by that."""
_APART_S: Final = 30.0
_CONVERGED_S: Final = 15.0
TOGETHER_AFTER: Final = "until they do"
"""What is asked of a quiet machine alone."""
_TIME_TO_NOTICE_S: Final = 10.0
"""In which a dead node is out everywhere, and so an unreachable half."""
_PATIENCE_S: Final = 120.0
"""For nodes to hear of one another, before they are parted and after it, and to miss one another where the
cut is short."""
JOINS, LEAVES, DIES = 0, 1, 2
REFUGE: Final = {JOINS: 3, LEAVES: 4, DIES: 5}
"""Whom users of these ask where their node is not there. All others have one node, and one try."""


async def churn(setting: Setting) -> Told:
    """(b) A node joins at a third; at two thirds one leaves, one is killed. All three have users."""
    third, two_thirds = setting.seconds / 3, setting.seconds * 2 / 3
    nodes = setting.fleet()
    nodes[JOINS] = replace(nodes[JOINS], later=True)
    working: dict[int, int] = {}

    async def join(fleet: Fleet) -> None:
        await asyncio.to_thread(fleet.market.start_gateway, fleet.provider(JOINS))

    async def leave(fleet: Fleet) -> None:
        for number in (LEAVES, DIES):
            working[number] = await under_way(fleet.provider(number))
        await asyncio.to_thread(fleet.provider(DIES).running.kill)
        fleet.provider(LEAVES).running.terminate()

    result = await setting.run(
        "churn", nodes, setting.load(), events=[(third, join), (two_thirds, leave)], refuge=REFUGE
    )
    joined = result.by_provider[f"{JOINS}·{nodes[JOINS].card}"]
    broken = [item for item in result.served if item.tried and "broke off" in item.tried]
    cut = {home: sum(item.arrival.home == home for item in broken) for home in range(len(FLEET))}
    before = _median_first(within(result.served, two_thirds - 10, two_thirds))
    after = _median_first(within(result.served, two_thirds + _RECOVERED_S, two_thirds + _RECOVERED_S + 8))
    return Told(
        key="b",
        title="a node joins, one leaves, one is killed",
        results=[result],
        marks={"joins": third, "leaves, killed": two_thirds},
        targets=[
            none_lost(result),
            Target(
                name="answers under way at the node that left, and at the one that was killed",
                wanted="some at each, or nothing is shown",
                found=f"{working.get(LEAVES, 0)} and {working.get(DIES, 0)}",
                met=min(working.get(LEAVES, 0), working.get(DIES, 0)) > 0,
            ),
            Target(
                name="answers that broke off before their users' eyes",
                wanted="none but of the killed node's own users, who ask another",
                found=f"{sum(cut.values())}, {cut[DIES]} of them the killed node's own users'",
                met=sum(cut.values()) == cut[DIES],
            ),
            Target(name="answers by the node that joined", wanted="> 0", found=str(joined), met=joined > 0),
            Target(
                name=f"first token, median, {_RECOVERED_S:.0f} s after two nodes went",
                wanted=f"≤ {_AGAIN_WITHIN} × that before, or {1000 * _AGAIN_WITHIN_S:.0f} ms more",
                found=f"{1000 * after:.0f} ms against {1000 * before:.0f} ms",
                met=0 < after <= max(_AGAIN_WITHIN * before, before + _AGAIN_WITHIN_S),
            ),
        ],
    )


def _median_first(served: Sequence[Served]) -> float:
    return quantile(sorted(item.first_s for item in served if item.first_s is not None), 0.5)


async def partition(setting: Setting) -> Told:
    """(d) Half of the nodes cannot reach the other half for 30 s (or half of the run). A cut that is too
    short for all to notice lasts until one has."""
    apart_s = min(_APART_S, setting.seconds / 2)
    cut_at = setting.seconds / 4
    halves = range(len(FLEET) // 2), range(len(FLEET) // 2, len(FLEET))
    before: list[int] = []
    during: list[int] = []
    after: list[tuple[float, int]] = []
    marks: dict[str, float] = {}

    async def part(fleet: Fleet) -> None:
        began = time.monotonic()
        before.append((await _seen(fleet, lambda complete: complete == len(FLEET), _PATIENCE_S))[1])
        marks["cut"] = cut_at + time.monotonic() - began
        fleet.links.cut(*halves)
        await asyncio.sleep(apart_s)
        patience_s = 0.0 if apart_s >= _TIME_TO_NOTICE_S else _PATIENCE_S
        during.append((await _seen(fleet, lambda complete: complete < len(FLEET), patience_s))[1])
        marks["healed"] = cut_at + time.monotonic() - began
        fleet.links.heal()
        after.append(await _seen(fleet, lambda complete: complete == len(FLEET), _PATIENCE_S))

    result = await setting.run(
        "partition", setting.fleet(), setting.load(), events=[(cut_at, part)], doors=True
    )
    return Told(
        key="d",
        title=f"halves that cannot reach each other for {apart_s:.0f} s",
        results=[result],
        marks=marks,
        targets=[_apart(before, during, apart_s), *_together(after), none_lost(result)],
    )


async def _seen(fleet: Fleet, enough: Callable[[int], bool], patience_s: float) -> tuple[float, int]:
    """How many nodes saw all others, once they are enough or the time is over, and after how many seconds."""
    began = time.monotonic()
    while True:
        complete, took = await complete_views(fleet), time.monotonic() - began
        if enough(complete) or took >= patience_s:
            return took, complete
        await asyncio.sleep(0.5)


def _apart(before: Sequence[int], during: Sequence[int], apart_s: float) -> Target:
    """Nodes that saw all others: a cut that nobody notices is none."""
    most = 0 if apart_s >= _TIME_TO_NOTICE_S else len(FLEET) - 1
    whole, still = (counts[0] if counts else -1 for counts in (before, during))
    return Target(
        name="nodes that saw all others before the cut, and at its end",
        wanted=f"{len(FLEET)}, and {'none' if not most else 'fewer'}",
        found=f"{whole}, and {still}",
        met=whole == len(FLEET) and 0 <= still <= most,
    )


def _together(after: Sequence[tuple[float, int]]) -> list[Target]:
    took, complete = after[-1] if after else (0.0, 0)
    return [
        Target(
            name="nodes that see all others again",
            wanted=str(len(FLEET)),
            found=str(complete),
            met=complete == len(FLEET),
        ),
        Target(
            name=TOGETHER_AFTER,
            wanted=f"≤ {_CONVERGED_S:.0f} s",
            found=f"{took:.1f} s",
            met=complete == len(FLEET) and took <= _CONVERGED_S,
        ),
    ]
