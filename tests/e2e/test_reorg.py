"""A whole market whose chain takes blocks back while the SDK buys: nothing lost, nothing paid twice."""

import asyncio
from pathlib import Path

import pytest

import tallystick
from tallystick.protocol.units import Atoms
from tallystick_node.local.audit import PayersHalf, audit
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.load import buy, openai_client
from tallystick_node.local.market import LocalMarket
from tests.warm import Warm

pytestmark = pytest.mark.e2e


async def test_the_sdk_and_the_gateway_outlive_reorganisations(tmp_path: Path, warm: Warm) -> None:
    with LocalMarket(
        folder=tmp_path,
        engine=EngineKind.ECHO,
        provider_count=1,
        credit=Atoms(50_000),
        popen=warm.popen,
    ) as market:
        config = market.providers[0].config
        config.write_text(config.read_text() + "\n[settle]\namount = 1\nminimum = 1\n")
        await asyncio.to_thread(market.providers[0].running.stop)
        await asyncio.to_thread(market.start_gateway, market.providers[0])
        transport = tallystick.transport(
            market.payer,
            rpc=market.chain.url,
            deployment=market.deployment,
            budget=tallystick.Budget(total=20_000_000, per_request=50_000),
            home=market.home,
        )
        market.chain.rpc.call("anvil_mine", hex(25))
        async with openai_client(transport) as client:
            for depth in (1, 3, 8, 20):
                await buy(client, model="echo", requests=3, parallel=2)
                await asyncio.sleep(1.5)  # What was acknowledged is on its way to be settled, or there.
                market.chain.rpc.call("anvil_reorg", depth, [])
            await buy(client, model="echo", requests=3, parallel=2)
            payer, spent = PayersHalf.of(transport), transport.spent
        await asyncio.to_thread(market.stop_gateways)
        checks = audit(market.market_of(market.payer), payer)
    assert all(check.holds for check in checks), checks
    assert spent == sum(item.receipt.message.cost for item in payer.held) > 0
    assert not [item for item in payer.held if not item.acknowledged]
