"""Connections break, callers leave, retries come: nothing is paid twice, and nothing true stays unpaid."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import openai
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from tallystick.chain.errors import ChainDisputed
from tallystick.client.outcome import outcome_of
from tallystick.client.transport import BASE_URL, Transport
from tallystick.protocol.errors import MarketError
from tallystick_node.gateway.errors import Busy, ChainStale, Unready
from tests.client.provider import FakeProvider
from tests.client.serving import Handler
from tests.client.side import Refused

URL = "https://market/v1/chat/completions"


def blocking(transport: Transport, **options: Any) -> OpenAI:
    http = DefaultHttpxClient(transport=transport)
    return OpenAI(base_url=BASE_URL, api_key="-", http_client=http, **options)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_lost_on_the_way_is_fetched_again(
    world: Any, ask: Callable[..., Any], stream: bool
) -> None:
    """The provider did the work, and the connection broke: the same nonce gets the same answer."""
    provider = world.provider()
    provider.drops = 1
    seen: list[Any] = []
    transport = world.transport(on_outcome=seen.append)
    with httpx2.Client(transport=transport) as client:
        if stream:
            with pytest.raises(httpx2.RemoteProtocolError):  # cut by the provider, who saw its payer go
                client.post(URL, json=ask("one two three four", stream=True))
        else:
            assert "four" in client.post(URL, json=ask("one two three four")).text
            assert seen[0].cost == provider.issued
    assert provider.worked == 1
    assert provider.seen["replayed"] >= 1
    assert provider.paid == provider.issued > 0


def test_the_package_s_retries_never_pay_twice(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    provider.drops = 4  # more than the transport repeats by itself
    transport = world.transport()
    with blocking(transport, max_retries=2) as client:
        completion = client.chat.completions.create(**ask("one two three"))
    assert completion.choices[0].message.content == "one two three "
    assert provider.worked == 1
    assert completion.tallystick["cost"] == provider.issued == provider.paid


def test_two_calls_alike_are_two_requests(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    with blocking(world.transport()) as client:
        for _ in range(2):
            client.chat.completions.create(**ask("one two three"))
    assert provider.worked == 2


def test_one_idempotency_key_is_one_request(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    with blocking(world.transport()) as client:
        answers = [
            client.chat.completions.create(**ask("one two three"), extra_headers={"Idempotency-Key": key})
            for key in ("a", "a", "b")
        ]
    assert provider.worked == 2
    assert [answer.choices[0].message.content for answer in answers] == ["one two three "] * 3
    assert provider.paid == provider.issued == answers[0].tallystick["cost"] + answers[2].tallystick["cost"]


def test_a_caller_who_leaves_early_pays_for_what_was_sent(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    transport = world.transport()
    with blocking(transport) as client:
        stream = client.chat.completions.create(**ask("a " * 3_000, max_tokens=3_000), stream=True)
        for _, _ in zip(range(5), stream, strict=False):
            pass
        stream.close()
        later = client.chat.completions.create(**ask("one two"))
        assert later.choices[0].message.content == "one two "
    assert provider.worked == 2
    assert provider.paid == provider.issued > later.tallystick["cost"]
    assert transport_spent(world) == provider.paid


async def test_a_task_that_is_cancelled_pays_for_what_was_sent(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    transport = world.transport()
    http = DefaultAsyncHttpxClient(transport=transport)
    async with AsyncOpenAI(base_url=BASE_URL, api_key="-", http_client=http) as client:
        provider.hold.clear()
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                async for _ in await client.chat.completions.create(**ask("one two three"), stream=True):
                    pass

            tasks.start_soon(read)
            await anyio.to_thread.run_sync(world.until, lambda: provider.worked)
            tasks.cancel_scope.cancel()
        provider.hold.set()
    assert provider.worked == 1
    assert provider.paid == provider.issued
    assert transport_spent(world) == provider.paid


def test_a_provider_that_is_gone_is_passed_over_at_once(world: Any, ask: Callable[..., Any]) -> None:
    dead = world.provider(price=1)
    dead.close()
    alive = world.provider(price=1_000_000)
    with blocking(world.transport()) as client:
        completion = client.chat.completions.create(**ask("one two"))
    assert completion.tallystick["provider"] == "0x" + alive.key.address.hex()
    assert transport_spent(world) == alive.paid > 0


class NotNow(FakeProvider):
    """Cannot sell for the moment, so many times."""

    sulks = 0
    code = "chain-stale"

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        if self.sulks > 0:
            self.sulks -= 1
            error = MarketError("Not now.")
            error.code = self.code  # type: ignore[misc]
            raise Refused(503, error)
        return False


def test_a_provider_that_cannot_sell_now_is_passed_over_at_once(world: Any, ask: Callable[..., Any]) -> None:
    sulking = world.provider(NotNow, price=1)
    sulking.sulks = 1_000
    ready = world.provider(price=1_000_000)
    with blocking(world.transport()) as client:
        completion = client.chat.completions.create(**ask("one two"))
    assert completion.tallystick["provider"] == "0x" + ready.key.address.hex()
    assert sulking.sulks == 999
    assert transport_spent(world) == ready.paid > 0


@pytest.mark.parametrize("code", [ChainStale.code, ChainDisputed.code, Busy.code, Unready.code])
def test_where_nobody_else_serves_one_that_cannot_sell_now_is_asked_again(
    world: Any, ask: Callable[..., Any], code: str
) -> None:
    provider = world.provider(NotNow)
    provider.sulks, provider.code = 3, code
    with blocking(world.transport(), max_retries=0) as client:
        client.chat.completions.create(**ask("one two"))
    assert provider.worked == 1
    assert transport_spent(world) == provider.paid == provider.issued


def test_nobody_is_waited_for_for_long(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(NotNow)
    provider.sulks = 1_000
    ticks = itertools.count(1000 * int(time.time()), 100)  # a tenth of a second goes by at each look
    with (
        blocking(world.transport(now=lambda: next(ticks)), max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.chat.completions.create(**ask("one two"))
    assert (caught.value.status_code, caught.value.code) == (503, "chain-stale")
    assert 1 < 1_000 - provider.sulks < 50
    assert transport_spent(world) == 0


def test_nobody_can_be_reached(world: Any, ask: Callable[..., Any]) -> None:
    world.provider().close()
    with blocking(world.transport(), max_retries=0) as client, pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**ask("one two"))
    assert (caught.value.status_code, caught.value.code) == (503, "provider-unreachable")
    assert transport_spent(world) == 0


def test_a_stalled_stream_ends_by_the_caller_s_timeout(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(mishap="stall")
    transport = world.transport()
    with blocking(transport, timeout=httpx2.Timeout(60, read=1), max_retries=0) as client:
        stream = client.chat.completions.create(**ask("one two three four five"), stream=True)
        with pytest.raises(openai.APITimeoutError):
            list(stream)
        outcome = outcome_of(stream)
        assert outcome is not None
        assert not outcome.done
        provider.mishap = ""
        provider.hold.set()
    assert provider.paid == provider.issued


def test_a_channel_closed_under_its_payer_is_replaced(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    with blocking(world.transport()) as client:
        client.chat.completions.create(**ask("one"))
        for side in provider.sides.values():
            side.closed = True
        client.chat.completions.create(**ask("two"))
    assert len(provider.sides) == 2
    assert provider.worked == 2


def transport_spent(world: Any) -> int:
    session = world.session()
    spent, reserved = session.purse.spending()
    session.close()
    assert reserved == 0
    return int(spent)
