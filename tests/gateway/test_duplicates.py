"""The same nonce twice: the first answer, and no new work, whenever the second one comes."""

import asyncio

import httpx2
import pytest

from tallystick.protocol.receipt import Finish
from tallystick.protocol.units import Atoms
from tallystick_node.gateway.relay import RelayPolicy
from tests.gateway.conftest import Make, World, until
from tests.gateway.payer import Stream
from tests.gateway.test_streaming import asking


async def test_a_whole_answer_is_given_again(world: World) -> None:
    payer = await world.payer()
    body = payer.body()
    first = await payer.post(body)
    again = await payer.post(body, nonce=payer.nonce)
    assert (first.content, first.headers["payment-receipt"]) == (
        again.content,
        again.headers["payment-receipt"],
    )
    assert world.engine.started == 1
    payer.take_whole(body, again)
    assert world.books.tabs[payer.channel.id].issued.amount == 90


async def test_a_whole_answer_while_it_is_made(world: World) -> None:
    payer = await world.payer()
    body = payer.body()
    world.engine.gate = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(payer.post(body, nonce=7)) for _ in range(10)]
    await until(lambda: world.engine.started == 1)
    for _ in range(8):
        world.engine.gate.release()
    responses = await asyncio.gather(*tasks)
    assert len({response.content for response in responses}) == 1
    assert len({response.headers["payment-receipt"] for response in responses}) == 1
    assert world.engine.started == 1
    assert world.books.tabs[payer.channel.id].issued.count == 1


async def test_a_stream_is_given_again(world: World) -> None:
    payer = await world.payer()
    body = asking(payer)
    async with payer.stream(body) as first:
        await first.finish()
    payer.receipts.clear()
    async with payer.stream(body, nonce=payer.nonce) as again:
        await again.finish()
    assert (first.payloads, first.done) == (again.payloads, again.done)
    assert first.receipts == again.receipts
    assert world.engine.started == 1


async def test_a_stream_is_followed_while_it_flows(world: World) -> None:
    payer = await world.payer()
    body = asking(payer)
    world.engine.gate = asyncio.Semaphore(3)
    follower = world.stranger()
    follower.session, follower.wallet, follower.channel = payer.session, payer.wallet, payer.channel

    async def follow() -> Stream:
        async with follower.stream(body, nonce=1) as stream:
            await stream.finish()
            return stream

    async with payer.stream(body) as first:
        for _ in range(3):
            await first.next_event()
        second = asyncio.create_task(follow())
        for _ in range(5):
            world.engine.gate.release()
        await first.finish()
    followed = await second
    assert followed.payloads == first.payloads
    assert followed.receipts == first.receipts
    assert followed.done
    assert world.engine.started == 1


async def test_a_stream_that_follows_a_refusal_of_the_engine(world: World) -> None:
    payer = await world.payer()
    body = asking(payer)
    world.engine.refuse = (400, {"error": {"message": "no"}})
    responses = await asyncio.gather(*(payer.post(body, nonce=1) for _ in range(5)))
    assert {response.status_code for response in responses} == {400}


async def test_a_nonce_that_names_another_request(world: World) -> None:
    payer = await world.payer()
    world.engine.gate = asyncio.Semaphore(0)
    running = asyncio.create_task(payer.complete(nonce=1))
    await until(lambda: world.engine.started == 1)
    while_running = await payer.post(payer.body(seed=2), nonce=1)
    for _ in range(8):
        world.engine.gate.release()
    await running
    afterwards = await payer.post(payer.body(seed=2), nonce=1)
    for response in (while_running, afterwards):
        assert (response.status_code, response.json()["error"]["code"]) == (409, "nonce-reused")
    assert world.engine.started == 1


async def test_nonces_of_two_channels_are_two(world: World) -> None:
    one, two = await world.payer(), await world.payer()
    await one.complete(nonce=5)
    await two.complete(nonce=5)
    assert world.engine.started == 2


async def test_after_a_restart(world: World) -> None:
    payer = await world.payer()
    body, streamed = payer.body(), asking(payer)
    whole = await payer.post(body)
    async with payer.stream(streamed) as stream:
        await stream.finish()
    await world.restart()
    payer.http = world.http
    again = await payer.post(body, nonce=1)
    assert (again.content, again.headers["payment-receipt"]) == (
        whole.content,
        whole.headers["payment-receipt"],
    )
    payer.receipts.clear()
    async with payer.stream(streamed, nonce=2) as replayed:
        await replayed.finish()
    assert replayed.payloads == stream.payloads
    assert world.engine.started == 2


async def test_an_answer_that_is_no_longer_kept(world: World) -> None:
    payer = await world.payer()
    body = payer.body()
    await payer.complete(body)
    world.clock.advance(10)
    assert world.store is not None
    assert world.store.prune(world.clock.milliseconds()) == 0  # Not acknowledged: it may still be wanted.
    assert (await payer.acknowledge()).status_code == 200
    assert world.store.prune(world.clock.milliseconds()) == 1
    response = await payer.post(body, nonce=1)
    assert (response.status_code, response.json()["error"]["code"]) == (410, "answer-dropped")
    assert world.engine.started == 1


async def test_a_stream_that_a_crash_cut_off(world: World) -> None:
    """What a receipt bills can be had again; the rest is the provider's loss."""
    world.prices = (10**6, 10**6, 200 * 10**6)
    world.credit = 16_000
    world.post_offer()
    await world.watch.poll()
    payer = await world.payer()
    world.engine.tokens = 100
    body = asking(payer, 100)
    world.engine.gate = asyncio.Semaphore(7)
    async with payer.stream(body) as stream:
        for _ in range(8):
            await stream.next_event()
        assert [receipt.finish for receipt in stream.receipts] == [Finish.INTERIM]
        billed = stream.receipts[0].output_tokens
        await world.crash()
    payer.http = world.http
    tab = world.books.tabs[payer.channel.id]
    assert (tab.issued.count, tab.reserved) == (1, 0)
    payer.receipts.clear()
    async with payer.stream(body, nonce=1) as again:
        await again.finish()
    assert again.done
    assert again.transcript.output_tokens == billed
    assert [receipt.finish for receipt in again.receipts] == [Finish.INTERIM]
    assert (await payer.acknowledge()).status_code == 200
    assert world.engine.started == 1


async def test_a_stream_that_failed_after_a_receipt(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its nonce stays used, and its answer is what was billed."""
    policy = RelayPolicy(pause_s=0.1, keep_alive_s=1, unsecured_limit=Atoms(0))
    world = await make_world(prices=(10**6, 10**6, 200 * 10**6), credit=16_000, relay_policy=policy)
    payer = await world.payer()
    world.engine.tokens = 100
    body = asking(payer, 100)

    async def fail(*_: object) -> bytes:
        raise RuntimeError

    monkeypatch.setattr(world.relay, "_finish", fail)
    async with payer.stream(body) as stream:
        with pytest.raises(httpx2.RemoteProtocolError):
            await stream.finish()
    assert {receipt.finish for receipt in stream.receipts} == {Finish.INTERIM}
    payer.receipts.clear()
    async with payer.stream(body, nonce=1) as again:
        await again.finish()
    assert (again.done, again.receipts) == (True, stream.receipts)
    assert world.engine.started == 1


async def test_a_fetch_gets_what_was_answered_and_never_new_work(world: World) -> None:
    payer = await world.payer()
    body = payer.body()
    first = await payer.post(body)
    again = await payer.post(body, nonce=1, fetch=True)
    assert (again.content, again.headers["payment-receipt"]) == (
        first.content,
        first.headers["payment-receipt"],
    )
    for response in (
        await payer.post(body, nonce=2, fetch=True),
        await world.stranger().post(body, fetch=True),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (404, "answer-unknown")
    assert (await payer.post(payer.body(seed=2), nonce=1, fetch=True)).json()["error"][
        "code"
    ] == "nonce-reused"
    assert world.engine.started == 1


async def test_a_fetch_of_what_was_dropped_unbilled(world: World) -> None:
    payer = await world.payer()
    body = payer.body()
    world.engine.refuse = (500, {"error": {"message": "no"}})
    assert (await payer.post(body, nonce=1)).status_code == 500
    response = await payer.post(body, nonce=1, fetch=True)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "answer-unknown")
