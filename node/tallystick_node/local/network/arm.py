"""One fleet under one load, from its start to its last settlement, and whether its money adds up."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import tallystick
from tallystick.chain.keys import Keystore
from tallystick.protocol.receipt import Receipt
from tallystick_node.local.audit import Check, PayersHalf, audit, charged_twice
from tallystick_node.local.network.fleet import DEPOSIT, Fleet
from tallystick_node.local.network.score import Served, score
from tallystick_node.local.network.traffic import Arrival
from tallystick_node.local.network.users import Users

LONGEST: Final = 4_000
"""Tokens of prompt and answer together."""

Event = Callable[[Fleet], Awaitable[None]]
"""Something that happens to a fleet while it serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one arm came to."""

    name: str
    served: Sequence[Served]
    checks: Sequence[Check]
    names: Mapping[str, str]
    """Of the providers by address: place and card."""
    by_provider: Mapping[str, int] = field(default_factory=dict)
    """Answers by who gave them."""
    receipts: Sequence[Receipt] = ()
    """That were accepted, of all who bought."""

    @property
    def adds_up(self) -> bool:
        return all(check.holds for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        return score(self.served).to_json() | {
            "by_provider": dict(self.by_provider),
            "errors": sorted({item.error for item in self.served if item.error})[:10],
            "asked_elsewhere": sum(bool(item.tried) for item in self.served),
            "money": [
                {"question": check.question, "holds": check.holds, "found": check.found}
                for check in self.checks
            ],
        }


async def run(
    name: str,
    fleet: Fleet,
    arrivals: Sequence[Arrival],
    *,
    on_served: Callable[[Served], None] = lambda _: None,
    on_ended: Callable[[], None] = lambda: None,
    events: Sequence[tuple[float, Event]] = (),
    refuge: Mapping[int, int] = MappingProxyType({}),
    lengths_are_asked_for: bool = False,
) -> Result:
    """The whole load, with `events` at their seconds; then every node drains, settles and is checked.
    `refuge`, `lengths_are_asked_for`: as of `Users`."""
    users = Users(
        homes=fleet.homes,
        model=fleet.market.engine.model_name,
        on_served=on_served,
        refuge=refuge,
        lengths_are_asked_for=lengths_are_asked_for,
    )
    async with asyncio.TaskGroup() as tasks:
        for at_s, event in events:
            tasks.create_task(_at(at_s, event, fleet))
        running = tasks.create_task(users.run(arrivals))
    served = running.result()
    on_ended()
    await asyncio.to_thread(_end, fleet)
    bought = await asyncio.to_thread(_bought, fleet)
    checks = await asyncio.to_thread(_checks, fleet, bought)
    return Result(
        name=name,
        served=served,
        checks=checks,
        names=fleet.names,
        by_provider=_counts(fleet, served),
        receipts=[item.receipt.message for item in bought.held],
    )


def _end(fleet: Fleet) -> None:
    """Who was killed comes back, as an operator sees to, for what the others still have to acknowledge."""
    market = fleet.market
    killed = [
        one for one in market.providers if one.gateway is not None and (one.gateway.exit_status or 0) < 0
    ]
    for provider in killed:
        market.start_gateway(provider)
    market.stop_gateways(except_for=killed)
    market.stop_gateways()


async def _at(at_s: float, event: Event, fleet: Fleet) -> None:
    await asyncio.sleep(at_s)
    await event(fleet)


def _counts(fleet: Fleet, served: Sequence[Served]) -> dict[str, int]:
    names = list(fleet.names.values())
    counts = dict.fromkeys(names, 0)
    for item in served:
        if item.whole:
            name = fleet.names.get(item.provider) if item.provider else names[item.home]
            counts[name or item.provider] = counts.get(name or item.provider, 0) + 1
    return counts


def _bought(fleet: Fleet) -> PayersHalf:
    """Every node bought with a purse of its own, and somebody else perhaps with theirs."""
    nodes = (_half(fleet, number) for number in range(len(fleet.nodes)))
    return PayersHalf.joined((*nodes, *fleet.halves))


def _checks(fleet: Fleet, together: PayersHalf) -> list[Check]:
    """All halves together must be what was settled."""
    found = audit(fleet.market.market_of(fleet.market.payer), together)
    twice = charged_twice(together.held, LONGEST)
    if not together.held:
        found = [
            check for check in found if "INV-1" in check.question
        ]  # Nobody bought: there is no other half.
    return [
        *found,
        Check(question="nothing is charged twice", holds=not twice, found=f"{len(twice)} requests"),
    ]


def _half(fleet: Fleet, number: int) -> PayersHalf:
    """What one node's purse holds; nothing where it never bought."""
    provider = fleet.provider(number)
    home = provider.config.parent / "origin"
    if not home.exists():
        return PayersHalf([], [])
    wallet = Keystore(provider.config.parent).load("receipt", fleet.market.password)
    budget = tallystick.Budget(total=DEPOSIT, per_request=DEPOSIT)
    transport = tallystick.transport(
        wallet,
        rpc=fleet.market.chain.url,
        deployment=fleet.market.deployment,
        budget=budget,
        home=home,
    )
    half = PayersHalf.of(transport)
    transport.close()
    return half
