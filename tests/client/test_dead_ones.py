"""Providers that cannot be reached cost milliseconds, or half a second, while others wait to serve."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from tallystick.client import searching
from tallystick.client.standing import CONNECT_S
from tallystick.client.transport import BASE_URL, Transport
from tallystick.ports import PostedOffer
from tallystick.protocol.errors import MarketError
from tests.client.provider import FakeProvider
from tests.client.serving import Handler
from tests.client.side import Refused

TIMEOUT = httpx2.Timeout(60, connect=20)
"""What a caller with patience allows: half a second, or milliseconds, are not it."""


def offered_at(world: Any, port: int, *, price: int) -> None:
    """The cheaper offer of somebody who cannot be reached."""
    world.provider(price=price).close()
    posted = world.chain.posted.pop()
    offer = replace(posted.offer, endpoint=f"https://127.0.0.1:{port}")
    world.chain.posted.append(PostedOffer(offer=offer, offer_hash=offer.struct_hash(), stake=posted.stake))


@pytest.fixture(autouse=True)
def hurry(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As elsewhere than in tests."""
    monkeypatch.setattr(searching, "CONNECT_S", CONNECT_S)


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port at which packets vanish: its queue is full, so the kernel drops what comes."""
    with ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        yield hole.getsockname()[1]


@pytest.fixture
def mute() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield listening.getsockname()[1]


def blocking(transport: Transport, **options: Any) -> OpenAI:
    http = DefaultHttpxClient(transport=transport)
    return OpenAI(base_url=BASE_URL, api_key="-", http_client=http, max_retries=0, **options)


def test_a_refused_connection_costs_nothing(world: Any, ask: Callable[..., Any]) -> None:
    world.provider(price=1).close()
    alive = world.provider()
    with blocking(world.transport(), timeout=TIMEOUT) as client:
        client.chat.completions.create(**ask("warm"))
        began = time.monotonic()
        client.chat.completions.create(**ask("one two"))
        assert time.monotonic() - began < 5
    assert alive.worked == 2


def test_a_wrong_key_costs_a_handshake(world: Any, ask: Callable[..., Any]) -> None:
    impostor = world.provider(price=1, tls=True, pin=b"\x01" * 32)
    alive = world.provider()
    with blocking(world.transport(), timeout=TIMEOUT) as client:
        began = time.monotonic()
        client.chat.completions.create(**ask("one two"))
        assert time.monotonic() - began < 10
    assert (impostor.bytes_seen, alive.worked) == (0, 1)


@pytest.mark.parametrize("hole", ["black_hole", "mute"])
def test_silence_costs_half_a_second_where_others_serve(
    world: Any, ask: Callable[..., Any], hole: str, request: pytest.FixtureRequest
) -> None:
    offered_at(world, request.getfixturevalue(hole), price=1)
    alive = world.provider()
    with blocking(world.transport(), timeout=TIMEOUT) as client:
        began = time.monotonic()
        client.chat.completions.create(**ask("one two"))
        assert 0.4 < time.monotonic() - began < 18
    assert alive.worked == 1


@pytest.mark.parametrize("hole", ["black_hole", "mute"])
async def test_the_same_under_an_event_loop(
    world: Any, ask: Callable[..., Any], hole: str, request: pytest.FixtureRequest
) -> None:
    offered_at(world, request.getfixturevalue(hole), price=1)
    alive = world.provider()
    http = DefaultAsyncHttpxClient(transport=world.transport())
    async with AsyncOpenAI(base_url=BASE_URL, api_key="-", http_client=http, timeout=TIMEOUT) as client:
        began = time.monotonic()
        await client.chat.completions.create(**ask("one two"))
        assert 0.4 < time.monotonic() - began < 18
    assert alive.worked == 1


def test_where_nobody_serves_it_gets_the_caller_s_time(
    world: Any, ask: Callable[..., Any], black_hole: int
) -> None:
    for price in (1, 2):
        offered_at(world, black_hole, price=price)
    timeout = httpx2.Timeout(60, connect=1)
    with blocking(world.transport(), timeout=timeout) as client:
        began = time.monotonic()
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(**ask("one two"))
        assert time.monotonic() - began > 2
    assert caught.value.code == "provider-unreachable"


class Busy(FakeProvider):
    """As many requests run as it takes, for a while."""

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        self.seen["refused"] += 1
        if self.seen["refused"] > 3:
            return False
        error = MarketError("Not now.")
        error.code = "busy"  # type: ignore[misc]
        raise Refused(429, error)


def test_a_dead_one_does_not_keep_a_request_from_waiting_for_a_busy_one(
    world: Any, ask: Callable[..., Any], black_hole: int
) -> None:
    """It gets the caller's time once, and is out of the question then."""
    offered_at(world, black_hole, price=1)
    busy = world.provider(Busy)
    with blocking(world.transport(), timeout=httpx2.Timeout(60, connect=1)) as client:
        client.chat.completions.create(**ask("one two"))
    assert busy.worked == 1
    assert busy.seen["refused"] == 4
