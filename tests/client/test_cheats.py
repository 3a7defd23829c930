"""What becomes of receipts that are false, missing, or signed with a key of before.

That no cheat pays is for `tests/cheats`.
"""

import json
from collections.abc import Callable
from typing import Any

import httpx2

from tallystick.client.transport import Transport
from tallystick.protocol.signed import Key
from tests.cheats.providers import OvercountsOutput


def post(transport: Transport, body: Any, **headers: str) -> httpx2.Response:
    with httpx2.Client(transport=_Shared(transport)) as client:
        return client.post("https://market/v1/chat/completions", json=body, headers=headers)


class _Shared(httpx2.BaseTransport):
    """A transport that outlives the client that uses it."""

    def __init__(self, transport: Transport):
        self._transport = transport

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._transport.handle_request(request)


def test_the_refused_receipt_is_evidence(world: Any, ask: Callable[..., Any]) -> None:
    cheater = world.provider(OvercountsOutput)
    transport = world.transport()
    answer = post(transport, ask())
    assert (
        answer.headers["tallystick-refused"] == answer.json()["tallystick"]["refused"] == "receipt-mismatch"
    )
    (refused,) = transport.session.purse.evidence.refused()
    assert refused.code == "receipt-mismatch"
    assert refused.signed.message.channel_id in cheater.sides
    assert post(transport, ask()).json()["error"]["code"] == "no-eligible-offer"


def test_a_receipt_that_never_comes_is_never_paid(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(mishap="no-receipt")
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
    provider = world.provider(mishap="no-receipt")
    transport = world.transport()
    post(transport, ask("one two three"))
    provider.mishap = ""
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


def test_a_key_that_was_replaced_signs_what_it_issued(world: Any, ask: Callable[..., Any]) -> None:
    """The offers that the payer has read name the new key; the contract remembers the old one."""
    provider = world.provider()
    provider.signing_key = Key.generate()
    world.chain.former_keys.add((provider.key.address, provider.signing_key.address))
    seen: list[Any] = []
    transport = world.transport(on_outcome=seen.append)
    for stream in (False, True):
        assert "three" in post(transport, ask(stream=stream)).text
    transport.close()
    assert [outcome.refusal for outcome in seen] == [None, None]
    assert provider.paid == provider.issued > 0


def test_a_key_that_the_chain_cannot_judge_now_is_judged_later(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    provider.signing_key = Key.generate()
    world.chain.former_keys.add((provider.key.address, provider.signing_key.address))
    world.chain.gone = True
    seen: list[Any] = []
    transport = world.transport(on_outcome=seen.append)
    post(transport, ask())
    assert seen[0].refusal.code == "chain-unavailable"
    assert not transport.session.purse.evidence.refused()
    world.chain.gone = False
    post(transport, ask())
    transport.close()
    assert provider.paid == provider.issued > seen[1].cost > 0
