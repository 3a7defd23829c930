"""A payer among real gateways that say how fast they are: promises, bounces, a death in mid-answer."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import tallystick
from tallystick.client.client import Client
from tallystick.client.session import Session, open_session
from tallystick.protocol.signed import Key
from tallystick.protocol.speed import Speed
from tallystick.protocol.units import Address, Atoms, Tokens, to_hex
from tallystick_node.local.audit import PayersHalf, audit, charged_twice
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.market import LocalMarket, Make
from tests.client.promising import Adverts
from tests.warm import Warm

pytestmark = pytest.mark.e2e

_PS = 10**9
"""In a millisecond."""


def settings(step_ms: int) -> tuple[tuple[str, ...], str]:
    """Of an engine whose steps take so long, and for its node."""
    speed = Speed(
        fixed=step_ms * _PS, sequence=_PS, weights=0, token=0, context=0, capacity=Tokens(0), chunk=Tokens(0)
    )
    lines = "\n".join(f"{name} = {value}" for name, value in speed.to_json().items())
    return ("--token-delay-ms", str(step_ms)), f"[engine.speed]\n{lines}\n[network]\ngossip = true\n"


def make(name: str, step_ms: int, *engine: str, price: int) -> Make:
    options, more = settings(step_ms)
    return Make(
        name=name,
        engine_options=(*options, *engine),
        settings=more,
        output_price=price,
        input_price=1_000_000,
    )


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[LocalMarket]:
    """`dies` is the cheapest by far, and its engine breaks off after nine tokens."""
    makes = (
        make("dies", 5, "--die-after-tokens", "9", price=1_000_000),
        make("second", 5, price=6_000_000),
        make("third", 10, price=7_000_000),
    )
    folder = tmp_path_factory.mktemp("market")
    with LocalMarket(folder=folder, engine=EngineKind.ECHO, makes=makes, popen=warm.popen) as made:
        yield made


@pytest.fixture
def opened(market: LocalMarket, tmp_path: Path) -> Iterator[Callable[..., Session]]:
    """Sessions of a payer of its own."""
    payer = Key.generate()
    market.fund(payer, Atoms(5_000_000)).deposit(Atoms(5_000_000), payer.address)
    sessions: list[Session] = []

    def one(**options: Any) -> Session:
        sessions.append(
            open_session(
                payer,
                rpc=market.chain.url,
                deployment=market.deployment,
                budget=tallystick.Budget(total=5_000_000, per_request=500_000),
                home=tmp_path,
                **options,
            )
        )
        return sessions[-1]

    yield one
    for session in sessions:
        session.close()


def heard_of_all(market: LocalMarket, session: Session) -> None:
    """Waits until the payer has news of every provider."""
    for _ in range(600):
        outlook = session.payer.prospects._outlook
        if all(outlook.seen(posted).status for posted in session.payer.listing.known):
            return
        time.sleep(0.1)
    raise AssertionError("no news")


def test_news_bring_promises(market: LocalMarket, opened: Callable[..., Session]) -> None:
    """Nothing is configured: the payer hears of the loads, says what it expects, and gets a promise."""
    session = opened(rule=tallystick.fastest, continues=True)
    with Client.of(session) as client:
        client.chat("echo", "one two three", max_tokens=4)
        heard_of_all(market, session)
        answer = client.chat("echo", "one two three", max_tokens=4)
    quote = answer.outcome.quote
    assert quote is not None
    assert quote.provider == answer.provider
    assert 0 < quote.pace.token_s < 0.1
    assert answer.outcome.pace is not None
    for provider in market.providers:
        until_rated(provider.url, answer.provider, session.payer.purse.payer)


def until_rated(url: str, provider: Address, payer: Address) -> None:
    """The payer's own word has come to the node, which has found its channel on chain."""
    told = (to_hex(provider), to_hex(payer))
    for _ in range(600):
        found = httpx2.get(url + "/tallystick/v1/network?ratings=1", verify=False).json()["ratings"]
        ratings = [item["said"]["rating"] for item in found]
        if told in [(rating["provider"], rating["payer"]) for rating in ratings]:
            return
        time.sleep(0.1)
    raise AssertionError("not rated")


def test_an_answer_outlives_its_engine(market: LocalMarket, opened: Callable[..., Session]) -> None:
    words = [f"w{number}" for number in range(30)]
    with Client.of(opened(rule=tallystick.cheapest)) as client:
        with client.stream_chat(
            "echo", " ".join(words), max_tokens=30, tallystick={"continue": True}
        ) as stream:
            said = "".join(stream.texts())
        outcome = stream.outcome
        held = client.receipts()
    assert said.split() == words
    dies, second = market.providers[0], market.providers[1]
    assert [part.provider for part in (*outcome.earlier, outcome)] == [dies.address, second.address]
    assert sum(item.receipt.message.output_tokens for item in held) == 30
    assert outcome.cost == sum(item.receipt.message.cost for item in held)


def test_real_gateways_bounce_are_asked_and_keep_room(
    market: LocalMarket, opened: Callable[..., Session]
) -> None:
    """The payer's news are false: it is told that everybody is fifty times as fast. The first gateway bounces
    what it cannot keep, then both are asked, and the quicker one's quote is redeemed."""
    adverts = Adverts()
    for provider in market.providers:
        adverts.steps_s[provider.address] = 0.0001
    before = [refused(provider.url, "bounced") for provider in market.providers]
    with Client.of(opened(rule=tallystick.fastest, outlook=adverts)) as client:
        answer = client.chat(
            "echo",
            "one two three",
            max_tokens=300,
            provider={"ignore": [to_hex(market.providers[0].address)]},
        )
    after = [refused(provider.url, "bounced") for provider in market.providers]
    assert sorted(now - then for now, then in zip(after, before, strict=True)) == [0, 0, 1]
    quote = answer.outcome.quote
    assert quote is not None
    assert quote.valid_until > 0  # room was held for it
    assert quote.provider == market.providers[1].address == answer.provider


def refused(url: str, code: str) -> int:
    """Requests that the gateway refused so."""
    text = httpx2.get(url + "/metrics", verify=False).text
    found = re.search(rf'^tallystick_refused_total{{code="{code}"}} (\d+)', text, re.MULTILINE)
    return int(found.group(1)) if found else 0


async def test_a_gateway_that_is_killed_in_mid_answer(tmp_path: Path, warm: Warm) -> None:
    """Its stream goes on elsewhere without waiting for any time to pass, and money adds up to the atom on
    both sides."""
    makes = (make("first", 20, price=1_000_000), make("second", 5, price=6_000_000))
    words = [f"w{number}" for number in range(60)]
    with LocalMarket(folder=tmp_path, engine=EngineKind.ECHO, makes=makes, popen=warm.popen) as market:
        first, second = market.providers
        transport = paying(market)
        client = tallystick.AsyncClient.of(transport.session)
        stream = await client.stream_chat("echo", " ".join(words), max_tokens=60)
        said: list[str] = []
        gap, last = 0.0, time.monotonic()
        async for text in stream.texts():
            gap, last = max(gap, time.monotonic() - last), time.monotonic()
            said.append(text)
            if len(said) == 10:
                first.running.kill()
        await client.close()
        assert "".join(said).split() == words
        assert gap < 4, "the shortest that anything is waited for is five seconds"
        (earlier,) = stream.outcome.earlier
        assert (earlier.provider, stream.outcome.provider) == (first.address, second.address)

        await asyncio.to_thread(market.start_gateway, first)
        later = paying(market)
        with Client.of(later.session) as again:
            await asyncio.to_thread(again.chat, "echo", "one two", max_tokens=4)
            payer, spent = PayersHalf.of(later), later.spent
        await asyncio.to_thread(market.stop_gateways)
        checks = audit(market.market_of(market.payer), payer)
    assert all(check.holds for check in checks), checks
    assert spent == sum(item.receipt.message.cost for item in payer.held)
    assert not charged_twice(payer.held, 60)


def paying(market: LocalMarket) -> tallystick.Transport:
    return tallystick.transport(
        market.payer,
        rpc=market.chain.url,
        deployment=market.deployment,
        budget=tallystick.Budget(total=5_000_000, per_request=500_000),
        home=market.home,
        rule=tallystick.cheapest,
        continues=True,
    )
