"""A provider that cheats is not paid for it.

The answer is delivered, the receipt is kept as evidence, and the provider is avoided.
"""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tallystick.client.transport import Transport

CHEATS = {
    "overcount": "receipt-mismatch",
    "input": "receipt-mismatch",
    "input-absurd": "receipt-mismatch",
    "hash": "receipt-mismatch",
    "tokens-hash": "receipt-mismatch",
    "channel": "receipt-mismatch",
    "price": "receipt-does-not-add-up",
    "cumulative": "receipt-does-not-add-up",
    "signer": "wrong-signer",
}


def post(transport: Transport, body: Any, **headers: str) -> httpx2.Response:
    with httpx2.Client(transport=_Shared(transport)) as client:
        return client.post("https://market/v1/chat/completions", json=body, headers=headers)


class _Shared(httpx2.BaseTransport):
    """A transport that outlives the client that uses it."""

    def __init__(self, transport: Transport):
        self._transport = transport

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._transport.handle_request(request)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("cheat", CHEATS)
def test_a_false_receipt_is_never_paid(world: Any, ask: Callable[..., Any], cheat: str, stream: bool) -> None:
    cheater = world.provider(cheat=cheat, price=1_000_000)
    honest = world.provider(price=2_000_000)
    seen: list[Any] = []
    transport = world.transport(on_outcome=seen.append)

    answer = post(transport, ask("one two three", stream=stream))
    assert answer.status_code == 200
    assert "three" in answer.text
    assert seen[0].refusal.code == CHEATS[cheat]
    assert seen[0].cost == 0

    assert "three" in post(transport, ask("one two three")).text
    transport.close()
    assert (cheater.worked, cheater.paid) == (1, 0)
    assert honest.worked == 1
    assert honest.paid == honest.issued == seen[1].cost == world_spent(world)


def test_the_refused_receipt_is_evidence(world: Any, ask: Callable[..., Any]) -> None:
    cheater = world.provider(cheat="overcount")
    transport = world.transport()
    answer = post(transport, ask())
    assert (
        answer.headers["tallystick-refused"] == answer.json()["tallystick"]["refused"] == "receipt-mismatch"
    )
    (refused,) = transport.session.purse.evidence.refused()
    assert refused.code == "receipt-mismatch"
    assert refused.signed.message.channel_id in cheater.sides
    assert post(transport, ask()).json()["error"]["code"] == "no-eligible-offer"


def test_an_interim_receipt_of_crumbs_is_refused(world: Any, ask: Callable[..., Any]) -> None:
    cheater = world.provider(cheat="small-interim")
    seen: list[Any] = []
    transport = world.transport(on_outcome=seen.append)
    post(transport, ask(" ".join("abcdefghij" * 4), stream=True))
    transport.close()
    assert seen[0].refusal.code == "receipt-does-not-add-up"
    assert cheater.paid == 0


def test_input_billed_twice_is_refused(world: Any, ask: Callable[..., Any]) -> None:
    """What came before, and was true, is paid."""
    cheater = world.provider(cheat="input-twice", credit=5_000)
    seen: list[Any] = []
    transport = world.transport(on_outcome=seen.append)
    post(transport, ask("a " * 1_500, stream=True, max_tokens=1_500))
    transport.close()
    assert seen[0].refusal.code == "receipt-mismatch"
    assert 0 < seen[0].cost == cheater.paid < cheater.issued


def test_a_receipt_that_never_comes_is_never_paid(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(cheat="no-receipt")
    seen: list[Any] = []
    transport = world.transport(on_outcome=seen.append)
    for stream in (False, True):
        assert "three" in post(transport, ask(stream=stream)).text
    assert [outcome.cost for outcome in seen] == [0, 0]
    assert transport.spent == 0
    assert provider.paid == 0


def test_receipts_that_were_missed_are_found_when_they_are_needed(
    world: Any, ask: Callable[..., Any]
) -> None:
    provider = world.provider(cheat="no-receipt")
    transport = world.transport()
    post(transport, ask("one two three"))
    provider.cheat = ""
    post(transport, ask("four five six"))
    transport.close()
    assert provider.issued == provider.paid == world_spent(world) > 0


def world_spent(world: Any) -> int:
    session = world.session()
    spent, reserved = session.purse.spending()
    session.close()
    assert reserved == 0
    return int(spent)


def test_json_of_the_answer_is_untouched_but_for_one_member(world: Any, ask: Callable[..., Any]) -> None:
    world.provider()
    answer = json.loads(post(world.transport(), ask()).text)
    assert set(answer) == {"id", "object", "created", "model", "choices", "usage", "tallystick"}
