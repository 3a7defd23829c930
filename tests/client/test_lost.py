"""Answers that nobody waits for any more: what was done is paid, what was not is neither bought nor held."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from tallystick.client import clerk
from tallystick.client.flow import Endpoint
from tallystick.client.pools import Pools, TransportPair
from tallystick.protocol.units import to_hex

URL = "https://market/v1/chat/completions"
MARK = b"lost on the way"


class Outage(httpx2.BaseTransport):
    """A network that loses the first answer to a marked request, and then does not reach its provider."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.away = False
        self._lost = False
        self._network = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if MARK not in request.read() or not str(request.url).startswith(self._endpoint):
            return self._network.handle_request(request)
        if self.away:
            raise httpx2.ConnectError("nobody there")
        response = self._network.handle_request(request)
        if not self._lost:
            response.read()
            self._lost = self.away = True
            raise httpx2.ReadError("broken")
        return response

    def pools(self) -> Pools:
        def connect(_: Endpoint) -> TransportPair:
            return TransportPair(lambda: self, httpx2.AsyncHTTPTransport)

        return Pools(connect)

    def close(self) -> None:
        self._network.close()


def reserved(transport: Any) -> int:
    return int(transport.session.purse.spending()[1])


def test_an_answer_that_was_never_billed_is_not_bought_again_for_nobody(
    world: Any, ask: Callable[..., Any]
) -> None:
    provider = world.provider(mishap="stall")
    transport = world.transport()
    with httpx2.Client(transport=transport, timeout=httpx2.Timeout(60, read=1)) as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.post(URL, json=ask("one two three four five", stream=True))
        for side in provider.sides.values():
            side.records.clear()  # the gateway crashed, and knows the nonce no more
        world.until(lambda: provider.seen["answer-unknown"])
        world.until(lambda: reserved(transport) == 0)
        provider.hold.set()
    assert provider.worked == 1


@pytest.mark.parametrize("mishap", ["crash", "crash-done"])
def test_a_crash_in_mid_stream_does_not_stop_acknowledgements(
    world: Any, ask: Callable[..., Any], mishap: str
) -> None:
    """What was billed before it is paid, what was reserved for the rest is free, and later receipts are
    acknowledged as ever."""
    provider = world.provider(credit=5_000, mishap=mishap)
    transport = world.transport()
    with httpx2.Client(transport=transport) as client:
        with suppress(httpx2.RemoteProtocolError):
            client.post(URL, json=ask("a " * 1_500, stream=True, max_tokens=1_500))
        provider.mishap = ""
        world.until(lambda: reserved(transport) == 0)
        assert client.post(URL, json=ask("one two three")).status_code == 200
        world.until(lambda: provider.paid == provider.issued)
    assert provider.worked == 2
    assert [side.closed for side in provider.sides.values()] == [False]


def test_a_short_outage_costs_the_provider_nothing(world: Any, ask: Callable[..., Any]) -> None:
    """The caller is served elsewhere; the clerk fetches the answer once it can, and acknowledges it with the
    receipts that waited behind it."""
    cheap, dear = world.provider(price=1_000_000), world.provider(price=2_000_000)
    network = Outage(cheap.offer.endpoint)
    transport = world.transport(pools=network.pools())
    with httpx2.Client(transport=transport, timeout=20) as client, ThreadPoolExecutor(1) as pool:
        lost = pool.submit(client.post, URL, json=ask(MARK.decode()))
        world.until(lambda: network.away)
        behind = client.post(URL, json=ask("behind it"))
        assert behind.status_code == 200, behind.text
        assert behind.headers["tallystick-provider"] == to_hex(cheap.key.address)
        assert lost.result().headers["tallystick-provider"] == to_hex(dear.key.address)
        assert cheap.paid == 0 < cheap.issued
        network.away = False
        world.until(lambda: cheap.paid == cheap.issued)
    assert (cheap.worked, len(cheap.sides)) == (2, 1)
    assert transport_totals(world) == (cheap.paid + dear.paid, 0)


def test_a_provider_that_stalls_does_not_hold_up_the_end_of_a_process(
    world: Any, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three answers are lost and cannot be had again now: seconds for each. The honest one is acknowledged
    nevertheless, and the next process finds the rest."""
    monkeypatch.setattr(clerk, "_CLOSING_S", 2)
    cheap = world.provider(mishap="stall")
    transport = world.transport()
    with httpx2.Client(transport=transport, timeout=httpx2.Timeout(60, read=1)) as client:
        for _ in range(3):
            with pytest.raises(httpx2.ReadTimeout):
                client.post(URL, json=ask("one two three four five", stream=True))
        honest = world.provider(price=500_000)
        transport.session.payer.listing.refresh()
        assert client.post(URL, json=ask("one")).status_code == 200
        began = time.monotonic()
    assert time.monotonic() - began < 10  # Each of the three may take five.
    assert honest.paid == honest.issued > 0
    assert transport_totals(world)[1] > 0
    cheap.mishap = ""
    cheap.hold.set()
    transport = world.transport()
    with httpx2.Client(transport=transport) as client:
        assert client.post(URL, json=ask("one")).status_code == 200
        world.until(lambda: reserved(transport) == 0)
    assert cheap.paid == cheap.issued > 0


def transport_totals(world: Any) -> tuple[int, int]:
    session = world.session()
    spent, held = session.purse.spending()
    session.close()
    return int(spent), int(held)
