"""The SDK against real gateways over TLS, a real contract and an echoing engine: it adds up to the atom."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

import tallystick
from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.market import Market
from tallystick.chain.transaction import Mined
from tallystick.client.drivers import run_blocking
from tallystick.client.refusals import Refusal
from tallystick.client.resync import ask_half
from tallystick.client.session import open_session
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.receipt import Finish
from tallystick.protocol.signed import Key, Signed
from tallystick.protocol.units import Address, Atoms, to_hex
from tallystick.protocol.voucher import Close, Tally
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.market import LocalMarket
from tests.warm import Warm

pytestmark = pytest.mark.e2e

CREDIT = Atoms(4_000)
BUDGET = tallystick.Budget(total=5_000_000, per_request=200_000)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[LocalMarket]:
    """Two providers with little credit, so that long answers are paid as they flow."""
    folder = tmp_path_factory.mktemp("market")
    slow = ("--token-delay-ms", "1")
    with LocalMarket(
        folder=folder,
        engine=EngineKind.ECHO,
        engine_options=slow,
        provider_count=2,
        credit=CREDIT,
        popen=warm.popen,
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


class Buyer:
    """A payer of its own: of the other one, grants of earlier tests may be mined in between."""

    def __init__(self, market: LocalMarket, home: Path):
        self.key = Key.generate()
        market.chain.rpc.call("anvil_setBalance", to_hex(self.key.address), hex(10**20))
        self.chain = market.market_of(self.key)
        self.chain.mint(Atoms(1_000_000))
        self.chain.deposit(Atoms(1_000_000), self.key.address)
        self.client = tallystick.Client(self.key, **options(market, home), transactions=True)

    @property
    def free(self) -> Atoms:
        return self.chain.account(self.key.address).free

    def buys(self) -> tuple[Atoms, ChannelKey]:
        """What an answer cost, and the channel that it came over."""
        cost = self.client.chat("echo", "one two three", max_tokens=8).cost
        channel_id = self.client.receipts()[-1].receipt.message.channel_id
        purse = self.client._session.purse
        (key,) = (key for key, _ in purse.open_keys() if key.id == channel_id)
        return cost, key

    def until(self, happened: Callable[[Channel], bool], key: ChannelKey) -> Channel:
        for _ in range(1_500):
            channel = self.chain.channel(key.payer, key.provider, key.session_key)
            if happened(channel):
                return channel
            Event().wait(0.02)
        raise AssertionError("it never happened")


class Between:
    """Sends closes, and has something happen before the first one is sent."""

    def __init__(self, chain: Market, happens: Callable[[Signed[Close]], object]):
        self.sent = 0
        self._chain = chain
        self._happens = happens

    def close(self, key: ChannelKey, signed: Signed[Close]) -> Mined:
        self.sent += 1
        if self.sent == 1:
            self._happens(signed)
        return self._chain.close(key, signed)

    def request_close(self, provider: Address, session_key: Address) -> object:
        return self._chain.request_close(provider, session_key)


@pytest.fixture
def buyer(market: LocalMarket, tmp_path: Path) -> Iterator[Buyer]:
    made = Buyer(market, tmp_path)
    with made.client:
        yield made


def test_channels_are_closed_with_consent(buyer: Buyer) -> None:
    before = buyer.free
    cost, key = buyer.buys()
    buyer.until(lambda channel: channel.cap > 0, key)
    (closed,) = buyer.client.close_channels()
    assert closed.key == key
    assert closed.submitted
    assert closed.close is not None
    assert closed.close.message.cumulative_amount == closed.paid == cost
    assert before - buyer.free == cost
    assert buyer.client.close_channels() == []


def test_one_that_its_provider_has_yet_to_open_is_closed_once_it_is_open(buyer: Buyer) -> None:
    """Its grant is on its way: until it is mined there is nothing that could be closed."""
    before = buyer.free
    cost, _ = buyer.buys()
    buyer.client._session.closer = between = Between(buyer.chain, lambda _: None)
    (closed,) = buyer.client.close_channels()
    assert closed.submitted
    assert between.sent == 2
    assert before - buyer.free == cost


def test_one_that_is_settled_meanwhile_is_closed(buyer: Buyer) -> None:
    before = buyer.free
    cost, key = buyer.buys()
    buyer.until(lambda channel: channel.cap > 0, key)
    settled: list[Atoms] = []

    def settles(_: object) -> None:
        settled.append(buyer.until(lambda channel: channel.settled == cost, key).settled)

    buyer.client._session.closer = Between(buyer.chain, settles)
    (closed,) = buyer.client.close_channels()
    assert (closed.submitted, closed.paid, settled) == (True, cost, [cost])
    assert before - buyer.free == cost


def test_one_that_is_closed_meanwhile_is_closed(buyer: Buyer) -> None:
    """By whoever else has both signatures; one transaction is enough."""
    before = buyer.free
    cost, key = buyer.buys()
    buyer.until(lambda channel: channel.cap > 0, key)
    between = Between(buyer.chain, lambda signed: buyer.chain.close(key, signed))
    buyer.client._session.closer = between
    (closed,) = buyer.client.close_channels()
    assert (closed.submitted, between.sent) == (True, 1)
    assert before - buyer.free == cost


def test_one_whose_close_is_not_taken_is_closed_by_the_next_call(buyer: Buyer) -> None:
    """It is not forgotten: what it reserves would be nobody's."""
    before = buyer.free
    cost, key = buyer.buys()
    buyer.until(lambda channel: channel.cap > 0, key)

    def is_away(_: object) -> None:
        raise ChainUnavailable("The chain is away.")

    buyer.client._session.closer = Between(buyer.chain, is_away)
    (closed,) = buyer.client.close_channels()
    assert (closed.submitted, closed.close is not None) == (False, True)
    (closed,) = buyer.client.close_channels()
    assert closed.submitted
    assert before - buyer.free == cost


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
