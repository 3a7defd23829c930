"""Real gateways over TLS on a real chain hear of one another's load and death, and payers hear it of them."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tallystick.client.budget import Budget
from tallystick.client.client import Client
from tallystick.client.session import open_session
from tallystick.protocol.wire import GOSSIP_PATH, NETWORK_PATH, RATINGS_PATH
from tallystick_node.local.market import LocalMarket, LocalProvider
from tests.warm import Warm

pytestmark = pytest.mark.e2e
LONG_S = 120.0
"""Far beyond what it takes, for machines that do other things as well."""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[LocalMarket]:
    folder = tmp_path_factory.mktemp("gossip")
    with LocalMarket(folder=folder, provider_count=3, popen=warm.popen) as market:
        yield market


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(verify=False) as client:
        yield client


def told(http: httpx2.Client, provider: LocalProvider) -> dict[str, Any]:
    answer = http.get(provider.url + NETWORK_PATH)
    assert answer.headers["cache-control"] == "no-store"
    data: dict[str, Any] = answer.json()
    return data


def until(true: Callable[[], bool]) -> None:
    """As soon as it is; no test waits for what does not come."""
    deadline = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_all_hear_of_all(market: LocalMarket, http: httpx2.Client) -> None:
    until(lambda: all(told(http, provider)["known"] == "3" for provider in market.providers))

    addresses = {"0x" + provider.address.hex() for provider in market.providers}
    for provider in market.providers:
        statuses = [item["said"]["status"] for item in told(http, provider)["statuses"]]
        assert {status["provider"] for status in statuses} == addresses


def test_a_payer_sees_their_load(market: LocalMarket) -> None:
    budget = Budget(total=1_000_000, per_request=100_000)
    session = open_session(market.payer, rpc=market.chain.url, home=market.home, budget=budget)
    with Client.of(session) as client:
        client.chat(market.engine.model_name, "Is anybody there?", max_tokens=4)  # This starts it.
        assert session.sight is not None
        sighted, offers = session.sight.sighted, client.offers()
        until(lambda: all(sighted.seen(posted).status is not None for posted in offers))


def test_what_nobody_signed_is_refused(market: LocalMarket, http: httpx2.Client) -> None:
    url = market.providers[0].url
    for path, body, status in (
        (GOSSIP_PATH, b"\0", 400),
        (GOSSIP_PATH, bytes(20_000), 413),
        (RATINGS_PATH, b"{}", 400),
        (RATINGS_PATH, b"[", 400),
    ):
        answer = http.post(url + path, content=body)
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, "tallystick_error")


def test_a_killed_one_is_accused_by_all(market: LocalMarket, http: httpx2.Client) -> None:
    *living, dead = market.providers
    dead.running.kill()
    gone = "0x" + dead.address.hex()

    def accused(provider: LocalProvider) -> int:
        return sum(
            item["said"]["suspicion"]["provider"] == gone for item in told(http, provider)["suspicions"]
        )

    until(lambda: all(accused(provider) == len(living) for provider in living))
