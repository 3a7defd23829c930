"""A payer whose grant the chain has yet to mine: a provider serves little on it, and the rest once it has."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import orjson
import pytest

from tallystick.client.refusals import BLOCK_S, ROOM, read_refusal
from tallystick.client.transport import BASE_URL
from tallystick.protocol.errors import CapExceeded
from tallystick.protocol.units import Atoms, to_hex
from tests.client.provider import FakeProvider
from tests.client.serving import Handler
from tests.client.side import Refused

URL = f"{BASE_URL}/chat/completions"


class MinesLater(FakeProvider):
    """Takes no request before the grant is mined."""

    mined = False

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        if not self.mined:
            self.seen["refused"] += 1
            side = next(iter(self.sides.values()))
            raise Refused(402, CapExceeded("It is not mined."), self.terms(side, 1))
        return False


def test_a_large_first_request_waits_for_its_grant(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(MinesLater)
    with httpx2.Client(transport=world.transport()) as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.post, URL, json=ask("one two"), timeout=30)
        world.until(lambda: provider.seen["refused"] == 2)
        provider.mined = True
        assert answer.result().status_code == 200
    assert (provider.seen["refused"], provider.worked) == (2, 1)  # Asked again once in a while, no more.


def test_another_that_serves_now_is_not_kept_waiting(world: Any, ask: Callable[..., Any]) -> None:
    waits, serves = world.provider(MinesLater), world.provider(price=2_000_000)
    with httpx2.Client(transport=world.transport()) as client:
        answer = client.post(URL, json=ask("one two")).json()
    assert answer["tallystick"]["provider"] == to_hex(serves.key.address)
    assert waits.seen["refused"] == 1


@pytest.mark.parametrize(("granted", "patience"), [(1_000, ROOM), (999, 0)])
def test_nobody_waits_for_a_grant_that_was_not_given(granted: int, patience: int) -> None:
    terms = {
        "offerHash": "0x" + 64 * "0",
        "credit": "1",
        "owed": "0",
        "reserved": "0",
        "required": "0",
        "receiptCount": "0",
        "cap": "1000",
    }
    error = {"type": "tallystick_error", "code": "cap-exceeded", "message": "More.", "terms": terms}
    refused = read_refusal(402, orjson.dumps({"error": error})).error(Atoms(granted))
    assert (refused.patience, refused.pause_s) == (patience, BLOCK_S if patience else 0)
