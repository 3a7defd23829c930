"""The five comparisons, (a) to (e): which fleets run under which load, what happens to them, and what is
asked of what they did. Targets are those of the project; a missed one is said so, and nothing is repeated.
Each can miss: where its load or its trouble was too little to show anything, that is a target missed."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import httpx2

import tallystick
from tallystick.client.choose import Choice
from tallystick.ports import PostedOffer
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.units import Atoms
from tallystick_node.local.audit import PayersHalf
from tallystick_node.local.network.arm import Result
from tallystick_node.local.network.breaking import churn, partition
from tallystick_node.local.network.comparing import Setting, Target, Told, none_lost
from tallystick_node.local.network.fleet import Fleet
from tallystick_node.local.network.operated import TURN
from tallystick_node.local.network.score import score, within

SINGLE: Final = 'name = "tallystick_node.local.network.rules.Alone"'
PAPER: Final = 'name = "paper"'
_TIMES: Final = """\
name = "tallystick_node.local.network.rules.Times"
price_every_s = 1"""
_LIARS: Final = (0, 3)
"""The fastest node and a fast one: those that are worth believing."""
_FOLLOWS_S: Final = 10.0
"""From a price to traffic that follows it: the transaction, and payers' looks at the chain."""
_POSTED_S: Final = 60.0
"""For its new offer to be on chain, before it is given up."""
_PINNED: Final = 5
"""Requests of a payer that keeps to the old price."""


async def three_rules(setting: Setting) -> Told:
    """(a) One load, in which two nodes after another are hot, under three rules."""
    load = setting.load(hot=(6, 3))
    rules = {
        "single": setting.fleet(SINGLE),
        "paper's": setting.fleet(PAPER, "stake-weighted"),
        "ours": setting.fleet(),
    }
    results = [await setting.run(name, nodes, load) for name, nodes in rules.items()]
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


async def liars(setting: Setting) -> Told:
    """(c) A quarter of the providers say that they have nothing to do. Once those who buy go by the default
    rule; and once they believe every advert, which shows what the lie is worth under this load."""
    load = setting.load()
    honest = setting.fleet()
    lying = [
        replace(node, program=("odd", "lies") if number in _LIARS else ())
        for number, node in enumerate(honest)
    ]
    believing = [replace(node, program=("odd", ",".join((*node.program[1:], "believes")))) for node in lying]
    arms = {"honest": honest, "liars": lying, "liars, believed": believing}
    results = [await setting.run(name, nodes, load) for name, nodes in arms.items()]
    one, other, believed = (score(result.served).attainment for result in results)
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
            ),
            Target(
                name="that payers who believe every advert lose",
                wanted="> 2 points, or nothing is shown",
                found=f"{100 * (one - believed):.1f} points (to {100 * believed:.1f} %)",
                met=one - believed > 0.02,
            ),
        ],
    )


@dataclass(slots=True)
class _Turn:
    """What became of one price when it changed."""

    old: PostedOffer | None = None
    new: PostedOffer | None = None
    at_s: float = 0.0
    """After it was to change."""
    pinned: list[int] = field(default_factory=list)
    """Statuses of the answers to a payer that kept to the old offer when the new one was on chain."""


async def prices(setting: Setting) -> Told:
    """(e) Halfway the fastest node becomes four times as dear, and another half as dear."""
    half = setting.seconds / 2
    dearer, cheaper = 0, 3
    turn = _Turn()

    async def change(fleet: Fleet) -> None:
        await asyncio.to_thread(_change, fleet, (dearer, cheaper), turn)

    nodes = setting.fleet()
    for number, thousandths in ((dearer, "4000"), (cheaper, "500")):
        nodes[number] = replace(nodes[number], policy=_TIMES, program=("operated", thousandths))
    result = await setting.run("prices", nodes, setting.load(), events=[(half, change)])
    return Told(
        key="e",
        title="halfway the fastest node becomes four times as dear, and another half as dear",
        results=[result],
        marks={"prices change": half},
        targets=[
            _moved(result, nodes[dearer].card, dearer, half, setting.seconds, up=False),
            _moved(result, nodes[cheaper].card, cheaper, half, setting.seconds, up=True),
            _honoured(result, turn),
            none_lost(result),
        ],
    )


def _change(fleet: Fleet, nodes: Sequence[int], turn: _Turn) -> None:
    """Has prices changed, and then buys at the old one from the first of the nodes, as whoever read the
    chain before may."""
    market = fleet.market
    chain, provider = market.market_of(market.payer), fleet.address(nodes[0])

    def current() -> PostedOffer | None:
        return next((one for one in chain.offers() if one.offer.provider == provider), None)

    turn.old = old = current()
    began = time.monotonic()
    for number in nodes:
        os.kill(fleet.provider(number).running.pid, TURN)
    while (new := current()) is not None and new == old:
        if time.monotonic() - began > _POSTED_S:
            return
        time.sleep(0.2)
    turn.new, turn.at_s = new, time.monotonic() - began
    assert old is not None
    pinned = Choice(posted=old)
    transport = tallystick.transport(
        market.payer,
        rpc=market.chain.url,
        deployment=market.deployment,
        budget=tallystick.Budget(total=Atoms(2_000_000), per_request=Atoms(50_000)),
        home=market.home,
        rule=lambda candidates, wanted: [pinned],
    )
    with httpx2.Client(transport=transport, timeout=60) as client:
        for _ in range(_PINNED):
            body = {"model": old.offer.model, "messages": [{"role": "user", "content": "one two three"}]}
            answer = client.post(f"{tallystick.BASE_URL}/chat/completions", json=body)
            turn.pinned.append(answer.status_code)
        fleet.halves.append(PayersHalf.of(transport))


def _honoured(result: Result, turn: _Turn) -> Target:
    """Every receipt under the old offer is at its price, those after the new one was posted among them."""
    assert turn.old is not None
    old = turn.old
    under = [receipt for receipt in result.receipts if receipt.offer_hash == old.offer_hash]
    wrong = [
        receipt
        for receipt in under
        if receipt.cost
        != cost_up(
            old.offer,
            input_tokens=receipt.input_tokens,
            cached_input_tokens=receipt.cached_input_tokens,
            output_tokens=receipt.output_tokens,
        )
    ]
    posted = "no new offer came" if turn.new is None else f"the new one was posted after {turn.at_s:.1f} s"
    served = turn.pinned.count(httpx2.codes.OK)
    return Target(
        name="requests that pin the old offer, made after the new one was posted",
        wanted=f"{_PINNED} served, at the old price",
        found=f"{posted}; {served} served; {len(under)} receipts under the old one, "
        f"{len(wrong)} of them at another price",
        met=turn.new is not None and served == _PINNED and len(under) >= _PINNED and not wrong,
    )


def _moved(result: Result, card: str, number: int, half: float, end: float, *, up: bool) -> Target:
    """What traffic did when the price of a node changed at `half`."""
    name = f"{number}·{card}"
    before = _share(result, name, 0, half)
    after = _share(result, name, half + _FOLLOWS_S, end)
    return Target(
        name=f"share of the answers bought from {name}, which became {'cheaper' if up else 'dearer'}",
        wanted=f"{'more' if up else 'less'} than before, {_FOLLOWS_S:.0f} s later",
        found=f"{100 * before:.0f} % to {100 * after:.0f} %",
        met=after > before if up else after < before,
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
