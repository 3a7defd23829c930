"""A provider that takes a stream's request and says nothing is left for the next one, and paid nothing."""

from collections.abc import Callable
from threading import Event
from typing import Any

import httpx2
import orjson
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from tallystick.client.rules import fastest
from tallystick.client.transport import BASE_URL
from tallystick.protocol.wire import read_authorization
from tests.client.promising import Adverts, Promising
from tests.client.serving import Handler

URL = "https://market/v1/chat/completions"
LEAST = "tallystick.client.searching._LEAST_S"
LEAST_S = 1.0


class Hangs(Promising):
    """Says nothing until its client goes. Whoever asks then what came of it gets all of it, and the bill."""

    bills = False

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        credential = read_authorization(handler.headers["Authorization"])
        if not credential.fetch:
            self.seen["hung"] += 1
            handler.connection.recv(1)
            handler.hang_up()
            return True
        side = self.sides[credential.voucher.message.channel_id]
        nonce = credential.voucher.message.acknowledgement.request_nonce
        if not self.bills or nonce in side.records:
            return False
        self.acknowledge(side, credential.voucher, bare=False)
        body = orjson.loads(raw)
        record, held = handler._admitted(self, side, body, raw, credential.voucher.message)
        handler._stream(self, side, record, body, held)
        return True


class HangsAndBillsAll(Hangs):
    bills = True


class Pauses(Promising):
    """Behind its head and its first token."""

    def said(self, body: dict[str, Any]) -> Any:
        for number, payload in enumerate(super().said(body)):
            if number == 2:
                Event().wait(1.5 * LEAST_S)
            yield payload


@pytest.fixture
def adverts(monkeypatch: pytest.MonkeyPatch) -> Adverts:
    monkeypatch.setattr(LEAST, LEAST_S)
    return Adverts()


def advertised(world: Any, adverts: Adverts, kind: type[Any], *, step: float, **options: Any) -> Any:
    provider = world.provider(kind, **options)
    adverts.steps_s[provider.key.address] = step
    return provider


@pytest.mark.parametrize("kind", [Hangs, HangsAndBillsAll])
def test_the_next_one_serves_and_is_paid_alone(
    world: Any, ask: Callable[..., Any], adverts: Adverts, kind: type[Hangs]
) -> None:
    prices = {"input_price": 0, "cached_input_price": 0, "credit": 100_000}
    hung = advertised(world, adverts, kind, step=0.001, **prices)
    quick = advertised(world, adverts, Promising, step=0.01, **prices)
    words = " ".join(f"w{number}" for number in range(200))
    outcomes: list[Any] = []
    transport = world.transport(outlook=adverts, rule=fastest, on_outcome=outcomes.append, per_request=600)
    with httpx2.Client(transport=transport, timeout=30) as client:
        answer = client.post(URL, json=ask(words, stream=True, max_tokens=201))
        assert "w199" in answer.text
        (outcome,) = outcomes
        (left,) = outcome.left
        assert (left.provider, outcome.provider) == (hung.key.address, quick.key.address)
        assert left.outstanding <= 64
        world.until(lambda: left.done or left.refusal is not None)
    assert hung.seen["hung"] == 1
    assert hung.paid == 0
    assert quick.paid == quick.issued == outcome.cost == transport.spent > 0


async def test_the_same_under_an_event_loop(world: Any, ask: Callable[..., Any], adverts: Adverts) -> None:
    hung = advertised(world, adverts, Hangs, step=0.001)
    quick = advertised(world, adverts, Promising, step=0.01)
    http = DefaultAsyncHttpxClient(transport=world.transport(outlook=adverts, rule=fastest))
    async with AsyncOpenAI(base_url=BASE_URL, api_key="-", http_client=http) as client:
        stream = await client.chat.completions.create(**ask("one two three"), stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(said) == "one two three "
    assert (hung.seen["hung"], quick.worked) == (1, 1)


def test_who_was_left_is_asked_after_the_others(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    hung = advertised(world, adverts, Hangs, step=0.001)
    quick = advertised(world, adverts, Promising, step=0.01)
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest), timeout=30) as client:
        for _ in range(3):
            assert "three" in client.post(URL, json=ask("one two three", stream=True)).text
    assert (hung.seen["hung"], quick.worked) == (1, 3)


async def test_its_body_has_the_time_that_the_caller_allows(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    """Over a new connection, and over one that is kept."""
    slow = advertised(world, adverts, Pauses, step=0.001)
    other = advertised(world, adverts, Promising, step=0.01)
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest), timeout=30) as client:
        for _ in range(2):
            assert "three" in client.post(URL, json=ask("one two three", stream=True)).text
    http = DefaultAsyncHttpxClient(transport=world.transport(outlook=adverts, rule=fastest))
    async with AsyncOpenAI(base_url=BASE_URL, api_key="-", http_client=http) as openai:
        for _ in range(2):
            stream = await openai.chat.completions.create(**ask("one two three"), stream=True)
            said = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
            assert "".join(said) == "one two three "
    assert (slow.worked, other.worked) == (4, 0)


def test_a_caller_that_has_less_patience_is_told_itself(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    advertised(world, adverts, Hangs, step=0.001)
    quick = advertised(world, adverts, Promising, step=0.01)
    timeout = httpx2.Timeout(60, read=0.8 * LEAST_S)
    with (
        httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest)) as client,
        pytest.raises(httpx2.ReadTimeout),
    ):
        client.post(URL, json=ask("one two three", stream=True), timeout=timeout)
    assert quick.worked == 0
