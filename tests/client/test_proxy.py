"""The proxy: what an OpenAI program gets through it, who is let in, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from tallystick.client.errors import CannotListen, KeyRequired
from tallystick.client.proxy import BODY_LIMIT, Door, Proxy, is_loopback
from tallystick.client.transport import Transport

Opened = Callable[..., Awaitable[Proxy]]


@pytest.fixture
async def opened(world: Any) -> AsyncIterator[Opened]:
    """`await opened(key=…, **transport)`: a proxy that serves on a free port of this machine."""
    async with AsyncExitStack() as stack:

        async def make(*, key: str | None = None, **options: Any) -> Proxy:
            proxy = Proxy(Transport(world.session(**options)), Door(key=key))
            stack.push_async_callback(proxy.aclose)
            return await proxy.start("127.0.0.1", 0)

        yield make


def program(proxy: Proxy, key: str = "-", **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=proxy.url, api_key=key, max_retries=0, **options)


async def raw(proxy: Proxy, *, path: str = "/models", method: str = "GET", **options: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as http:
        return await http.request(method, proxy.url + path, **options)


async def test_answers_and_streams_are_paid_for(world: Any, opened: Opened, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    async with program(await opened()) as client:
        assert [model.id async for model in client.models.list()] == [world.model]
        whole = await client.chat.completions.create(**ask("one two"))
        stream = await client.chat.completions.create(**ask("three four five"), stream=True)
        chunks = [chunk async for chunk in stream]
    assert whole.choices[0].message.content == "one two "
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "three four five "
    costs = [answer.tallystick["cost"] for answer in (whole, chunks[-1])]
    assert sum(costs) == provider.issued > 0


async def test_the_cost_is_in_the_header(world: Any, opened: Opened, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    response = await raw(await opened(), path="/chat/completions", method="POST", json=ask("one"))
    assert (response.status_code, int(response.headers["tallystick-cost"])) == (200, provider.issued)
    assert response.headers["content-length"] == str(len(response.content))


async def test_what_the_market_refuses_is_an_error_in_openai_s_shape(
    world: Any, opened: Opened, ask: Callable[..., Any]
) -> None:
    world.provider()
    async with program(await opened(per_request=10)) as client:
        with pytest.raises(openai.APIStatusError) as nobody:
            await client.chat.completions.create(**ask(model="another"))
        with pytest.raises(openai.APIStatusError) as dear:
            await client.chat.completions.create(**ask("one " * 5_000))
        with pytest.raises(openai.NotFoundError) as nothing:
            await client.embeddings.create(model=world.model, input="a")
    assert [(told.value.status_code, told.value.code) for told in (nobody, dear, nothing)] == [
        (503, "no-eligible-offer"),
        (402, "request-budget-exceeded"),
        (404, "not-found"),
    ]


async def test_a_body_that_is_too_large_is_refused(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.client.proxy.BODY_LIMIT", 1_000)
    response = await raw(await opened(), path="/completions", method="POST", content=b" " * 1_001)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "malformed-request")
    assert BODY_LIMIT > 1_000


async def test_a_stream_that_breaks_for_good_ends_in_words(
    world: Any, opened: Opened, ask: Callable[..., Any]
) -> None:
    provider = world.provider()
    provider.drops = 1
    async with program(await opened()) as client:
        stream = await client.chat.completions.create(**ask("one two three four"), stream=True)
        with pytest.raises(openai.APIError, match="lost on its way") as lost:
            async for _ in stream:
                pass
    assert lost.value.code == "answer-lost"


async def test_a_program_that_repeats_what_was_lost_does_not_buy_it_twice(
    world: Any, opened: Opened, ask: Callable[..., Any]
) -> None:
    provider = world.provider()
    provider.drops = 4  # More than the transport repeats by itself.
    proxy = await opened()
    async with AsyncOpenAI(base_url=proxy.url, api_key="-", max_retries=2) as client:
        whole = await client.chat.completions.create(**ask("one two three"))
    assert whole.choices[0].message.content == "one two three "
    assert provider.worked == 1


# ------------------------------------------------------------------------------------------ the door


async def test_without_its_key_nobody_comes_in(world: Any, opened: Opened, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    proxy = await opened(key="right")
    for wrong in (
        b"Bearer wrong",
        b"Bearer right2",
        b"Bearer \xc3\xa9",
        b"Bearer \xff",
        b"Basic right",
        b"right",
    ):
        response = await raw(proxy, headers={"Authorization": wrong})
        assert (response.status_code, response.json()["error"]["code"]) == (401, "key-required")
    assert (await raw(proxy)).status_code == 401
    async with program(proxy, "wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(**ask("one"))
    assert provider.worked == 0
    async with program(proxy, "right") as client:
        assert (await client.chat.completions.create(**ask("one"))).tallystick["cost"] == provider.issued > 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "rebound.example:8484"},
    ],
)
async def test_a_web_page_spends_nothing(
    world: Any, opened: Opened, ask: Callable[..., Any], headers: dict[str, str]
) -> None:
    provider = world.provider()
    response = await raw(
        await opened(), path="/chat/completions", method="POST", json=ask("one"), headers=headers
    )
    assert (response.status_code, response.json()["error"]["code"]) == (403, "origin-refused")
    assert provider.worked == 0
    keyed = headers | {"Authorization": "Bearer right"}
    assert (await raw(await opened(key="right"), headers=keyed)).status_code == 200


async def test_where_others_reach_it_a_key_is_needed(world: Any) -> None:
    transport = world.transport()
    with pytest.raises(KeyRequired):
        await Proxy(transport, Door(key=None)).start("0.0.0.0", 0)
    proxy = await Proxy(transport, Door(key="right")).start("0.0.0.0", 0)
    await proxy.aclose()


async def test_a_port_that_is_taken_is_said(opened: Opened, world: Any) -> None:
    taken = httpx2.URL((await opened()).url).port
    assert taken is not None
    with pytest.raises(CannotListen, match=str(taken)):
        await Proxy(world.transport(), Door(key=None)).start("127.0.0.1", taken)


def test_what_is_of_this_machine() -> None:
    assert all(is_loopback(host) for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"))
    assert not any(is_loopback(host) for host in ("", "0.0.0.0", "::", "10.0.0.1", "localhost.example"))


# ------------------------------------------------------------------------------------------ the end


async def test_who_hangs_up_buys_no_more(world: Any, opened: Opened, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    proxy = await opened()
    text = "word " * 3_000
    async with program(proxy) as client:
        stream = await client.chat.completions.create(**ask(text, max_tokens=3_000), stream=True)
        await anext(aiter(stream))
        provider.hold.clear()
        await stream.close()
        await reached(lambda: not proxy.running)
        provider.hold.set()
    await reached(lambda: provider.issued == provider.paid > 0)
    assert provider.issued < 2 * 3_000


async def test_closed_it_has_acknowledged_what_it_received(
    world: Any, opened: Opened, ask: Callable[..., Any]
) -> None:
    provider = world.provider()
    proxy = await opened()
    async with program(proxy) as client:
        await client.chat.completions.create(**ask("one two three"))
    await proxy.aclose()
    assert provider.issued == provider.paid > 0


async def reached(happened: Callable[[], object]) -> None:
    """Without holding up the proxy, which runs in this loop."""
    async with asyncio.timeout(60):
        while not happened():  # noqa: ASYNC110  # another thread's doing
            await asyncio.sleep(0.005)
