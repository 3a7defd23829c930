"""A gateway that is killed under load, ten times, and comes back: nothing lost, nothing charged twice.

The chain, the gateway, its database, TLS and the payer's SDK are real; the engine is the echo, slowed down so
that every kill finds streams in the middle.
"""

import asyncio
import random
from collections import Counter
from pathlib import Path

import openai
import pytest

import tallystick
from tallystick.protocol.units import Atoms
from tallystick_node.local.audit import PayersHalf, audit, charged_twice
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.load import MAX_TOKENS, buy, openai_client
from tallystick_node.local.market import LocalMarket
from tests.warm import Warm

KILLS = 10
PARALLEL = 12

pytestmark = pytest.mark.e2e


async def keep_buying(client: openai.AsyncOpenAI, over: asyncio.Event, became: Counter[str]) -> None:
    """Requests without end, until told; what became of them. A broken stream is an error to its caller."""

    async def one_after_another() -> None:
        while not over.is_set():
            try:
                await buy(client, model="echo", requests=2, parallel=1)
                became["answered"] += 2
            except openai.OpenAIError as error:
                became[type(error).__name__] += 1

    await asyncio.gather(*(one_after_another() for _ in range(PARALLEL)))


async def one_more(became: Counter[str]) -> None:
    """Returns once it is answered, however long a gateway takes to start."""
    before = became["answered"]
    while became["answered"] == before:  # noqa: ASYNC110 (what counts rings no bell for tests)
        await asyncio.sleep(0.05)


async def test_ten_kills_lose_nothing_and_charge_nothing_twice(tmp_path: Path, warm: Warm) -> None:
    moments = random.Random(20)
    slow = ("--token-delay-ms", "5")
    with LocalMarket(
        folder=tmp_path,
        engine=EngineKind.ECHO,
        engine_options=slow,
        provider_count=1,
        credit=Atoms(50_000),
        popen=warm.popen,
    ) as market:
        provider = market.providers[0]
        transport = tallystick.transport(
            market.payer,
            rpc=market.chain.url,
            deployment=market.deployment,
            budget=tallystick.Budget(total=20_000_000, per_request=50_000),
            home=market.home,
        )
        over, became = asyncio.Event(), Counter[str]()
        client = openai_client(transport)
        buying = asyncio.create_task(keep_buying(client, over, became))
        for _ in range(KILLS):
            await one_more(became)
            await asyncio.sleep(moments.uniform(0, 0.5))
            await asyncio.to_thread(provider.running.kill)
            await asyncio.to_thread(market.start_gateway, provider)
        await one_more(became)
        over.set()
        await buying
        await client.close()

        paying = tallystick.transport(
            market.payer,
            rpc=market.chain.url,
            deployment=market.deployment,
            budget=tallystick.Budget(total=20_000_000, per_request=50_000),
            home=market.home,
        )
        async with openai_client(paying) as client:
            await buy(client, model="echo", requests=4, parallel=2)
            payer, spent = PayersHalf.of(paying), paying.spent
        await asyncio.to_thread(market.stop_gateways)
        checks = audit(market.market_of(market.payer), payer)

    assert became["answered"] >= KILLS, became
    assert all(check.holds for check in checks), checks
    assert spent == sum(item.receipt.message.cost for item in payer.held)
    assert not [item for item in payer.held if not item.acknowledged]
    assert not charged_twice(payer.held, MAX_TOKENS)
