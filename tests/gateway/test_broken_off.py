"""Whoever serves a request is cancelled at the worst moment: what is on a receipt can be had, and no more
is owed."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from tallystick_node.store.records import Change, ReceiptIssued, RequestDropped
from tests.gateway.conftest import World, until
from tests.gateway.payer import Payer


@pytest.fixture
def cancelled_while_saving(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[type], None]:
    """Once, whoever saves such a change: it is saved all the same."""

    def once(kind: type) -> None:
        store = world.store
        assert store is not None
        save, waiting = store.save, [kind]

        async def saved(*changes: Change) -> None:
            await save(*changes)
            if waiting and isinstance(changes[0], waiting[0]):
                waiting.clear()
                raise asyncio.CancelledError

        monkeypatch.setattr(store, "save", saved)

    return once


async def broken_off(world: World, payer: Payer, body: bytes) -> None:
    with suppress(httpx2.TransportError):  # what of its head was out by then is nobody's matter here
        await payer.post(body)
    await until(lambda: not world.gateway.running)
    assert world.books.accounts[payer.wallet.address].reserved == 0


async def test_as_its_receipt_is_saved(world: World, cancelled_while_saving: Any) -> None:
    payer = await world.payer()
    cancelled_while_saving(ReceiptIssued)
    body = payer.body()
    await broken_off(world, payer, body)

    again = await payer.post(body, nonce=payer.nonce)
    assert again.headers["content-type"].startswith("application/json")
    assert payer.take_whole(body, again).cost == 90
    assert world.engine.started == 1


async def test_as_its_last_receipt_is_saved_after_a_stream(world: World, cancelled_while_saving: Any) -> None:
    payer = await world.payer()
    cancelled_while_saving(ReceiptIssued)
    body = payer.body(stream=True)
    await broken_off(world, payer, body)

    again = await payer.post(body, nonce=payer.nonce)
    assert again.text.count("[DONE]") == 1
    async with payer.stream(body, nonce=payer.nonce) as stream:
        await stream.finish()
    assert stream.done
    assert [receipt.cost for receipt in stream.receipts] == [90]
    assert world.engine.started == 1


async def test_as_a_refusal_of_the_engine_is_saved(world: World, cancelled_while_saving: Any) -> None:
    """Its nonce is free."""
    payer = await world.payer()
    cancelled_while_saving(RequestDropped)
    world.engine.refuse = 400, {"error": {"message": "no"}}
    body = payer.body()
    await broken_off(world, payer, body)
    world.engine.refuse = None
    again = await payer.post(body, nonce=payer.nonce)
    assert payer.take_whole(body, again).cost == 90
