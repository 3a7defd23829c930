"""Where a provider is late by its own word, another is asked too, if the caller wants that; both are paid."""

import time
from collections.abc import Callable
from threading import Event
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from tallystick.client.rules import fastest
from tallystick.client.transport import BASE_URL
from tests.client.promising import Adverts, Promising
from tests.client.serving import Handler

URL = "https://market/v1/chat/completions"


class Late(Promising):
    """Says that it is quick, and pauses before its first token, or before another one."""

    pauses_at = 0

    def __init__(self, *arguments: Any, pause_s: float = 0.4, **options: Any):
        super().__init__(*arguments, **options)
        self.pause_s = pause_s
        self.over = Event()
        """Ends the pause."""
        self.pauses = 0

    def said(self, body: dict[str, Any]) -> Any:
        for number, payload in enumerate(super().said(body)):
            if number == self.pauses_at:
                self.pauses += 1
                self.over.wait(self.pause_s)
            yield payload


class PausesBehindAToken(Late):
    pauses_at = 1


class Broken(Promising):
    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        handler.send(500, b"{}", {})
        return True


@pytest.fixture
def adverts() -> Adverts:
    return Adverts()


def advertised(world: Any, adverts: Adverts, kind: type[Any], *, step: float, **options: Any) -> Any:
    provider = world.provider(kind, **options)
    adverts.steps_s[provider.key.address] = step
    return provider


@pytest.mark.parametrize("stream", [False, True])
def test_whoever_speaks_first_goes_on(
    world: Any, ask: Callable[..., Any], adverts: Adverts, stream: bool
) -> None:
    late = advertised(world, adverts, Late, step=0.001, pause_s=60)
    quick = advertised(world, adverts, Promising, step=0.01)
    outcomes: list[Any] = []
    transport = world.transport(outlook=adverts, rule=fastest, hedges=True, on_outcome=outcomes.append)
    with httpx2.Client(transport=transport) as client:
        answer = client.post(URL, json=ask("one two three", stream=stream))
        late.over.set()
        assert answer.status_code == 200
        assert "three" in answer.text
        assert "answer-cut" not in answer.text
    (outcome,) = outcomes
    assert outcome.provider == quick.key.address
    assert (late.worked, quick.worked) == (1, 1)
    assert quick.paid == quick.issued > 0
    assert late.paid == late.issued
    session = world.session()
    assert session.purse.spending() == (late.paid + quick.paid, 0)
    (left,) = outcome.left
    assert (left.provider, left.cost) == (late.key.address, late.paid)
    assert outcome.cost == late.paid + quick.paid


async def test_the_same_under_an_event_loop(world: Any, ask: Callable[..., Any], adverts: Adverts) -> None:
    late = advertised(world, adverts, Late, step=0.001, pause_s=60)
    quick = advertised(world, adverts, Promising, step=0.01)
    http = DefaultAsyncHttpxClient(transport=world.transport(outlook=adverts, rule=fastest))
    async with AsyncOpenAI(base_url=BASE_URL, api_key="-", http_client=http) as client:
        stream = await client.chat.completions.create(
            **ask("one two three"), stream=True, extra_body={"tallystick": {"hedge": True}}
        )
        said = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        late.over.set()
    assert "".join(said) == "one two three "
    assert (late.worked, quick.worked) == (1, 1)


def test_who_is_in_time_is_alone(world: Any, ask: Callable[..., Any], adverts: Adverts) -> None:
    first = advertised(world, adverts, Promising, step=20)
    second = advertised(world, adverts, Promising, step=30)
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest, hedges=True)) as client:
        assert "three" in client.post(URL, json=ask("one two three", stream=True)).text
    assert (first.worked, second.worked) == (1, 0)


def test_one_that_was_heard_keeps_its_answer(world: Any, ask: Callable[..., Any], adverts: Adverts) -> None:
    """It is late after its first token: the other one's time is over."""
    first = advertised(world, adverts, PausesBehindAToken, step=1, pause_s=3)
    second = advertised(world, adverts, Promising, step=2)
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest, hedges=True)) as client:
        assert "three" in client.post(URL, json=ask("one two three", stream=True)).text
    assert (first.worked, second.worked, first.pauses) == (1, 0, 1)


def test_off_by_default(world: Any, ask: Callable[..., Any], adverts: Adverts) -> None:
    late = advertised(world, adverts, Late, step=0.001)
    quick = advertised(world, adverts, Promising, step=0.01)
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest)) as client:
        client.post(URL, json=ask("one two three", stream=True))
    assert (late.worked, quick.worked) == (1, 0)


def test_one_that_fails_is_not_waited_for(world: Any, ask: Callable[..., Any], adverts: Adverts) -> None:
    advertised(world, adverts, Broken, step=20)
    second = advertised(world, adverts, Promising, step=30)
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest, hedges=True)) as client:
        began = time.monotonic()
        assert client.post(URL, json=ask("one two three")).status_code == 200
        assert time.monotonic() - began < 15
    assert second.worked == 1


def test_a_second_one_that_fails_changes_nothing(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    late = advertised(world, adverts, Late, step=0.001)
    advertised(world, adverts, Broken, step=0.01)
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest, hedges=True)) as client:
        assert "three" in client.post(URL, json=ask("one two three", stream=True)).text
    assert late.paid == late.issued > 0


def test_the_budget_of_one_request_pays_for_both_or_there_is_one(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    late = advertised(world, adverts, Late, step=0.001)
    quick = advertised(world, adverts, Promising, step=0.01)
    transport = world.transport(outlook=adverts, rule=fastest, hedges=True, per_request=1_200)
    with httpx2.Client(transport=transport) as client:
        assert "three" in client.post(URL, json=ask("one two three", stream=True, max_tokens=100)).text
    assert (late.worked, quick.worked) == (1, 0)
