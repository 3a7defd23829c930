"""Many requests at a time on one channel, through the `openai` package and the SDK, over an engine that takes
its time as a model does."""

import time
from pathlib import Path
from typing import Final

from openai import AsyncOpenAI

import tallystick
from tallystick_node.local.bench.row import Row
from tallystick_node.local.load import buy, openai_client
from tallystick_node.local.market import LocalMarket

_BUDGET: Final = tallystick.Budget(total=20_000_000, per_request=100_000)
_SECTION: Final = "many requests on one channel"


class NotOneChannel(Exception):
    """The SDK spread them: the figure would be of something else."""


async def measure_parallel(folder: Path, *, requests: int, parallel: int, token_delay_ms: int) -> list[Row]:
    options = ("--first-token-delay-ms", "100", "--token-delay-ms", str(token_delay_ms))
    with LocalMarket(folder=folder, provider_count=1, engine_options=options) as market:
        transport = tallystick.transport(
            market.payer, rpc=market.chain.url, deployment=market.deployment, budget=_BUDGET, home=market.home
        )
        async with openai_client(transport) as client:
            await buy(client, model="echo", requests=2, parallel=1)  # Opens the channel.
            serial = await _seconds(client, requests, 1)
            together = await _seconds(client, requests, parallel)
            channels = transport.session.purse.open_keys()
            receipts = len(transport.session.purse.held_receipts())
        if len(channels) != 1 or receipts < 2 * requests + 2:
            raise NotOneChannel(f"{len(channels)} channels, {receipts} receipts")
    return [
        Row(
            section=_SECTION,
            name=f"{requests} requests, {parallel} at a time, against one by one",
            value=serial / together,
            unit="×",
            target=parallel / 2,
            at_least=True,
            baseline=1,
            baseline_name="x402 and MPP take turns",
            note=f"{serial:.1f} s one by one, {together:.2f} s together",
        )
    ]


async def _seconds(client: AsyncOpenAI, requests: int, parallel: int) -> float:
    begun = time.perf_counter()
    await buy(client, model="echo", requests=requests, parallel=parallel)
    return time.perf_counter() - begun
