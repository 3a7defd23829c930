"""The SDK against real gateways over TLS, a real contract and an echoing engine: it adds up to the atom."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

import tallystick
from tallystick.client.drivers import run_blocking
from tallystick.client.refusals import Refusal
from tallystick.client.resync import ask_half
from tallystick.client.session import open_session
from tallystick.protocol.receipt import Finish
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Atoms, to_hex
from tallystick.protocol.voucher import Tally
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.market import LocalMarket

pytestmark = pytest.mark.e2e

CREDIT = Atoms(4_000)
BUDGET = tallystick.Budget(total=5_000_000, per_request=200_000)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMarket]:
    """Two providers with little credit, so that long answers are paid as they flow."""
    folder = tmp_path_factory.mktemp("market")
    slow = ("--token-delay-ms", "1")
    with LocalMarket(
        folder=folder, engine=EngineKind.ECHO, engine_options=slow, provider_count=2, credit=CREDIT
    ) as made:
        yield made


def options(market: LocalMarket, home: Path) -> dict[str, Any]:
    return {
        "rpc": market.chain.url,
        "deployment": market.deployment_file,
        "budget": BUDGET,
        "home": home,
    }


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": text}], "max_tokens": 16, **more}


def test_everything_an_openai_program_does(market: LocalMarket, tmp_path: Path) -> None:
    transport = tallystick.transport(market.payer, **options(market, tmp_path))
    http = DefaultHttpxClient(transport=transport)
    with OpenAI(base_url=tallystick.BASE_URL, api_key="-", http_client=http) as client:
        whole = client.chat.completions.create(**said("one two three"))
        assert whole.tallystick["cost"] > 0

        chunks = list(client.chat.completions.create(**said("one two three"), stream=True))
        assert chunks[-1].tallystick["cost"] > 0

        long = client.chat.completions.create(**said("a b c d e f g h", max_tokens=1_500))
        assert long.usage.completion_tokens == 1_500
        assert finishes(transport).count(Finish.INTERIM) > 1  # far beyond the credit: paid as it flows

        stream = client.chat.completions.create(**said("a b c", max_tokens=1_500), stream=True)
        for _, _ in zip(range(5), stream, strict=False):
            pass
        stream.close()

        keyed = [
            client.chat.completions.create(**said("again"), extra_headers={"Idempotency-Key": "k"})
            for _ in range(2)
        ]
        assert keyed[0].id == keyed[1].id
        assert [model.id for model in client.models.list()] == ["echo"]

        with ThreadPoolExecutor(12) as pool:
            crowd = [pool.submit(client.chat.completions.create, **said(f"{i} {i}")) for i in range(36)]
            assert all(item.result().choices[0].message.content for item in crowd)
    cut = [item for item in transport.receipts() if item.receipt.message.finish == Finish.CANCELLED]
    assert len(cut) == 1
    assert cut[0].receipt.message.output_tokens < 1_000
    require_adds_up(market, tmp_path)


def finishes(transport: tallystick.Transport) -> list[int]:
    return [item.receipt.message.finish for item in transport.receipts()]


async def test_the_same_under_an_event_loop(market: LocalMarket, tmp_path: Path) -> None:
    http = DefaultAsyncHttpxClient(transport=tallystick.transport(market.payer, **options(market, tmp_path)))
    async with AsyncOpenAI(base_url=tallystick.BASE_URL, api_key="-", http_client=http) as client:

        async def one(i: int) -> int:
            if i % 3 == 0:
                completion = await client.chat.completions.create(**said(f"{i} {i}"))
                return int(completion.tallystick["cost"])
            stream = await client.chat.completions.create(**said(f"{i} {i}", max_tokens=200), stream=True)
            if i % 3 == 1:
                return [chunk async for chunk in stream][-1].tallystick["cost"]
            async for _ in stream:
                break
            await stream.close()
            return 0

        costs = await asyncio.gather(*(one(i) for i in range(30)))
    assert sum(cost > 0 for cost in costs) == 20
    await asyncio.to_thread(require_adds_up, market, tmp_path)


def test_channels_are_closed_with_consent(market: LocalMarket, tmp_path: Path) -> None:
    """By a payer of its own: of the other one, grants of earlier tests may be mined in between."""
    payer = Key.generate()
    market.chain.rpc.call("anvil_setBalance", to_hex(payer.address), hex(10**20))
    chain = market.market_of(payer)
    chain.mint(Atoms(1_000_000))
    chain.deposit(Atoms(1_000_000), payer.address)
    before = chain.account(payer.address)
    with tallystick.Client(payer, **options(market, tmp_path), transactions=True) as client:
        answer = client.chat("echo", "one two three", max_tokens=8)
        receipt = client.receipts()[0].receipt.message
        (key,) = (key for key, _ in client._session.purse.open_keys() if key.id == receipt.channel_id)
        for _ in range(500):
            if chain.channel(key.payer, key.provider, key.session_key).cap:
                break  # the provider has submitted the grant
            Event().wait(0.02)
        (closed,) = client.close_channels()
    assert closed.key.id == receipt.channel_id
    assert closed.submitted
    assert closed.close is not None
    assert closed.close.message.cumulative_amount == closed.paid == answer.cost
    assert before.free - chain.account(payer.address).free == answer.cost


def require_adds_up(market: LocalMarket, home: Path) -> None:
    """Nothing is open or unacknowledged, and the providers have issued no receipt that is not here."""
    session = open_session(market.payer, **options(market, home))
    try:
        held = session.purse.held_receipts()
        assert session.purse.spending() == (sum(item.receipt.message.cost for item in held), 0)
        assert all(item.acknowledged for item in held)
        for channel in session.purse.adopt_all():
            endpoint = run_blocking(session.pools, session.clerk.settling.endpoint(channel))
            assert endpoint is not None
            asking = ask_half(session.payer.sender, channel, endpoint, channel.tally.count)
            half = run_blocking(session.pools, asking)
            assert isinstance(half, Refusal) or not half.receipts
            assert channel.tally.amount <= channel.granted
    finally:
        session.close()
    tallies: dict[bytes, Tally] = defaultdict(Tally)
    for message in sorted((item.receipt.message for item in held), key=lambda receipt: receipt.sequence):
        tallies[message.channel_id] = tallies[message.channel_id].append(message)
