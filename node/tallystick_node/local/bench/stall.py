"""Whether a stream ever waits for its payment: the SDK and a gateway a round trip apart, with as much credit
as the rule of thumb says (4 × rate × round trip), and no more."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final

from openai import AsyncOpenAI

import tallystick
from tallystick_node.local.bench.distance import far_away
from tallystick_node.local.bench.row import Row
from tallystick_node.local.load import openai_client
from tallystick_node.local.market import LocalMarket, LocalProvider
from tallystick_node.local.process import free_ports

_BUDGET: Final = tallystick.Budget(total=40_000_000, per_request=20_000_000)
_TOKENS: Final = 300
_ROUNDS: Final = 3
"""In which the paid stream and the engine alone take turns."""
_TOKEN_MS: Final = 10
_PRICE: Final = 1_000
"""Atoms an output token."""
_SHORTEST_MS: Final = 50
"""On loopback too the two sides need a moment."""
_LEAST_MS: Final = 25
"""Less is the machine's own unevenness. One wait for an acknowledgement takes half a round trip and more."""


class CutShort(Exception):
    """A stream ended for want of credit."""


async def measure_stall(folder: Path, round_trips_ms: Sequence[int]) -> list[Row]:
    """Raises what `openai` raises."""
    options = ("--token-delay-ms", str(_TOKEN_MS))
    rows = []
    with LocalMarket(folder=folder, provider_count=1, engine_options=options) as market:
        (provider,) = market.providers
        (port,) = free_ports(1)
        distance = 0.0
        async with far_away(port, provider.port, lambda: distance):
            for round_trip in round_trips_ms:
                distance = 0.0
                credit = 4 * max(round_trip, _SHORTEST_MS) * _PRICE // _TOKEN_MS
                await asyncio.to_thread(_offer, market, provider, port, credit)
                distance = round_trip / 1000
                rows.append(await _row(market, round_trip, credit))
    return rows


def _offer(market: LocalMarket, provider: LocalProvider, port: int, credit: int) -> None:
    """The gateway comes back with this credit, at the far end."""
    provider.running.stop()
    lines = [
        line
        for line in provider.config.read_text().splitlines()
        if not line.startswith(("credit", "endpoint", "input_price", "output_price"))
    ]
    lines.insert(lines.index("[listen]") + 1, f'endpoint = "https://127.0.0.1:{port}"')
    lines += [f"credit = {credit}", "input_price = 1", f"output_price = {_PRICE * 1_000_000}"]
    provider.config.write_text("\n".join(lines) + "\n")
    market.start_gateway(provider)


async def _row(market: LocalMarket, round_trip: int, credit: int) -> Row:
    transport = tallystick.transport(
        market.payer, rpc=market.chain.url, deployment=market.deployment, budget=_BUDGET, home=market.home
    )
    url = f"http://127.0.0.1:{market.providers[0].engine_port}/v1"
    async with openai_client(transport) as client:
        await _gaps(client, 4)  # Opens the channel, or learns the new offer.
        before = len(transport.session.purse.held_receipts())
        async with AsyncOpenAI(base_url=url, api_key="-") as engine:
            pairs = [(await _gaps(client, _TOKENS), await _gaps(engine, _TOKENS)) for _ in range(_ROUNDS)]
        receipts = (len(transport.session.purse.held_receipts()) - before) // _ROUNDS
    return Row(
        section="a stream that pays as it flows",
        name=f"time stalled at {round_trip} ms round trip",
        value=max(0.0, median(sum(paid) - sum(alone) for paid, alone in pairs)) * 1000,
        unit="ms",
        target=max(_LEAST_MS, round_trip / 2),
        baseline=median(sum(alone) for _, alone in pairs) * 1000,
        baseline_name="the whole stream",
        note=(
            f"credit of {credit // _PRICE} tokens at {1000 // _TOKEN_MS} a second, {receipts} receipts; "
            f"longest gap {_longest_ms(paid for paid, _ in pairs):.0f} ms, the engine's own "
            f"{_longest_ms(alone for _, alone in pairs):.0f}"
        ),
    )


def _longest_ms(streams: Iterable[list[float]]) -> float:
    """The median over streams: a wait for credit would show in each."""
    return 1000 * median(map(max, streams))


async def _gaps(client: AsyncOpenAI, tokens: int) -> list[float]:
    """Seconds between one token and the next."""
    stream = await client.chat.completions.create(
        model="echo", messages=[{"role": "user", "content": "Go on."}], max_tokens=tokens, stream=True
    )
    came = [time.perf_counter() async for chunk in stream if chunk.choices and chunk.choices[0].delta.content]
    if len(came) != tokens:
        raise CutShort(f"{len(came)} tokens of {tokens} came")
    return [after - before for before, after in pairwise(came)]
