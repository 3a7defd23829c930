"""A payer speaks to the very key that the offer names, or not at all."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tallystick.client.transport import BASE_URL

URL = BASE_URL + "/chat/completions"


@pytest.mark.parametrize("stream", [False, True])
def test_the_right_key(world: Any, ask: Callable[..., Any], stream: bool) -> None:
    provider = world.provider(tls=True)
    with httpx2.Client(transport=world.transport()) as client:
        assert "three" in client.post(URL, json=ask(stream=stream)).text
    assert provider.paid == provider.issued > 0


async def test_the_right_key_under_an_event_loop(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(tls=True)
    async with httpx2.AsyncClient(transport=world.transport()) as client:
        for stream in (False, True):
            assert "three" in (await client.post(URL, json=ask(stream=stream))).text
    assert provider.paid == provider.issued > 0


def test_another_key_is_told_nothing(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(tls=True, pin=b"\5" * 32)
    with httpx2.Client(transport=world.transport()) as client:
        answer = client.post(URL, json=ask())
    assert answer.json()["error"]["code"] == "provider-unreachable"
    assert (sum(provider.seen.values()), provider.bytes_seen) == (0, 0)


async def test_another_key_is_told_nothing_under_an_event_loop(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(tls=True, pin=b"\5" * 32)
    async with httpx2.AsyncClient(transport=world.transport()) as client:
        answer = await client.post(URL, json=ask())
    assert answer.json()["error"]["code"] == "provider-unreachable"
    assert (sum(provider.seen.values()), provider.bytes_seen) == (0, 0)


def test_without_a_pin_a_public_certificate_is_demanded(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(tls=True, pin=bytes(32))
    with httpx2.Client(transport=world.transport()) as client:
        answer = client.post(URL, json=ask())
    assert answer.json()["error"]["code"] == "provider-unreachable"
    assert provider.bytes_seen == 0


def test_a_pinned_provider_is_never_spoken_to_in_the_clear(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(tls=False, pin=b"\5" * 32)
    with httpx2.Client(transport=world.transport()) as client:
        answer = client.post(URL, json=ask())
    assert answer.json()["error"]["code"] == "no-eligible-offer"
    assert provider.bytes_seen == 0


def test_what_the_caller_s_client_sends_along_stays_here(world: Any, ask: Callable[..., Any]) -> None:
    """API keys, cookies and client names of the caller are none of the provider's business."""
    seen: list[dict[str, str]] = []
    provider = world.provider()
    handler = provider._server.RequestHandlerClass

    class Watching(handler):  # type: ignore[misc, valid-type]  # a class made at run time
        def do_POST(self) -> None:  # noqa: N802  # the library's name
            seen.append(dict(self.headers))
            super().do_POST()

    provider._server.RequestHandlerClass = Watching
    with httpx2.Client(transport=world.transport()) as client:
        headers = {"Authorization": "Bearer secret", "X-Stainless-OS": "Linux", "Cookie": "a=b"}
        client.post(URL, json=ask(), headers=headers)
    told = {name.lower() for name in seen[0]}
    assert told <= {
        "host",
        "authorization",
        "content-type",
        "content-length",
        "accept",
        "accept-encoding",
        "user-agent",
    }
    assert seen[0]["Authorization"].startswith("Payment ")
