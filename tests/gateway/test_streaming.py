"""Streams: receipts on the way, the pause for an acknowledgement, and every way to break off."""

import asyncio
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.units import Atoms, to_hex
from tallystick.protocol.wire import RECEIPT_COMMENT
from tallystick_node.gateway.relay import Answer, RelayPolicy, Running
from tallystick_node.gateway.streaming import StreamAnswer
from tests.gateway.conftest import Make, World, until
from tests.gateway.payer import CHAT, Payer, Stream

ALL = {"include_usage": True, "continuous_usage_stats": True}


def asking(payer: Payer, max_tokens: int = 8, **fields: object) -> bytes:
    """A streamed request that gets everything a receipt can be checked against."""
    return payer.body(stream=True, return_token_ids=True, stream_options=ALL, max_tokens=max_tokens, **fields)


async def acknowledging(payer: Payer, stream: Stream) -> None:
    """Reads to the end and acknowledges the receipts that it holds without a gap."""
    while (event := await stream.next_event()) is not None:
        if isinstance(event, Receipt) and event.sequence < payer.tally.count:
            assert (await payer.acknowledge()).status_code in (200, 409)  # Another may have overtaken it.


async def test_payloads_pass_byte_for_byte(world: World) -> None:
    payer = await world.payer()
    async with payer.stream(asking(payer)) as stream:
        await stream.finish()
    first = orjson.loads(stream.payloads[0])
    assert first["prompt_token_ids"] == list(range(10))
    assert first["usage"]["completion_tokens"] == 1
    assert orjson.loads(stream.payloads[-1])["choices"] == []
    assert world.engine.bodies[0]["return_token_ids"] is True


async def test_the_counts_of_a_bill_come_whether_asked_for_or_not(world: World) -> None:
    payer = await world.payer()
    body = payer.body(stream=True, stream_options={"include_usage": True})
    async with payer.stream(body) as stream:
        await stream.finish()
    usages = [orjson.loads(payload).get("usage") for payload in stream.payloads]
    assert [usage["completion_tokens"] for usage in usages] == [*range(1, 9), 8]
    assert stream.receipts[0].tokens_hash == stream.transcript.tokens_hash != bytes(32)
    assert stream.receipts[0].cost == 90


@pytest.mark.parametrize("asked", [{}, {"stream_options": {"include_usage": True}}])
async def test_a_cut_stream_is_billed_by_counts_that_the_payer_has(
    world: World, asked: dict[str, object]
) -> None:
    """`Payer.check` compares each receipt with what came. Here a chunk without ids holds several tokens."""
    world.engine.gives_ids = False
    world.engine.per_chunk = 4
    world.engine.tokens = 40
    world.engine.die_after = 20
    payer = await world.payer()
    async with payer.stream(payer.body(stream=True, max_tokens=40, **asked)) as stream:
        await stream.finish()
    assert [receipt.finish for receipt in stream.receipts] == [Finish.ENGINE_FAILED]
    assert (stream.receipts[0].input_tokens, stream.receipts[0].output_tokens) == (10, 20)


async def test_input_that_is_counted_late_is_billed_once_it_is(make_world: Make) -> None:
    """Else an engine that counts at the end alone would read every long request's input for nothing."""
    world = await make_world(credit=4000)
    world.engine.gives_ids = world.engine.counts_on_the_way = False
    world.engine.tokens = 300
    payer = await world.payer()
    async with payer.stream(asking(payer, 300)) as stream:
        await acknowledging(payer, stream)
    assert stream.done
    assert len(stream.receipts) > 5
    assert [receipt.input_tokens for receipt in stream.receipts] == [0] * (len(stream.receipts) - 1) + [10]
    assert sum(receipt.cost for receipt in stream.receipts) == 10 + 3000


async def test_an_engine_that_gives_neither_ids_nor_usage(world: World) -> None:
    world.engine.gives_ids = world.engine.gives_usage = False
    payer = await world.payer()
    async with payer.stream(asking(payer)) as stream:
        await stream.finish()
    receipt = stream.receipts[0]
    assert (receipt.input_tokens, receipt.output_tokens) == (0, 8)
    assert receipt.tokens_hash == bytes(32)


async def test_cached_input_costs_its_own_price(world: World) -> None:
    world.engine.cached_tokens = 4
    payer = await world.payer()
    async with payer.stream(asking(payer)) as stream:
        await stream.finish()
    assert stream.receipts[0].cached_input_tokens == 4
    assert stream.receipts[0].cost == 6 + 2 + 80


async def test_a_long_stream_is_paid_as_it_flows(make_world: Make) -> None:
    world = await make_world(credit=4000)
    world.engine.tokens = 300
    payer = await world.payer()
    async with payer.stream(asking(payer, 300)) as stream:
        await acknowledging(payer, stream)
    assert stream.done
    assert len(stream.receipts) > 5
    assert [receipt.finish for receipt in stream.receipts[:-1]] == [Finish.INTERIM] * (
        len(stream.receipts) - 1
    )
    assert all(receipt.cost >= 100 for receipt in stream.receipts[:-1])
    assert stream.receipts[-1].finish == Finish.STOP
    assert sum(receipt.cost for receipt in stream.receipts) == 10 + 3000
    assert sum(receipt.input_tokens for receipt in stream.receipts) == stream.receipts[0].input_tokens == 10
    assert not stream.comments


async def test_a_stream_pauses_until_it_is_acknowledged(make_world: Make) -> None:
    world = await make_world(credit=1200)
    world.engine.tokens = 300
    payer = await world.payer()
    account = world.books.accounts[payer.wallet.address]
    pauses = 0
    async with payer.stream(asking(payer, 300)) as stream:
        reading = asyncio.create_task(stream.next_event())
        while True:
            heard = len(stream.comments)
            await until(lambda heard=heard, reading=reading: reading.done() or len(stream.comments) > heard)
            assert account.exposure <= 1200
            if not reading.done():  # Out of credit: nothing but keep-alive comments comes.
                status = (await payer.acknowledge()).status_code
                assert status in (200, 409)  # A comment may have been on its way.
                pauses += status == 200
                continue
            if reading.result() is None:
                break
            reading = asyncio.create_task(stream.next_event())
    assert pauses >= 2
    assert stream.comments == [": waiting for an acknowledgement"] * len(stream.comments)
    assert len(stream.comments) >= pauses
    assert stream.transcript.output_tokens == 300
    assert sum(receipt.cost for receipt in stream.receipts) == 3010


async def test_a_stream_that_is_never_acknowledged_ends(make_world: Make) -> None:
    policy = RelayPolicy(pause_s=0.2, keep_alive_s=0.05, unsecured_limit=Atoms(0))
    world = await make_world(credit=1200, relay_policy=policy)
    world.engine.tokens = 300
    payer = await world.payer()
    async with payer.stream(asking(payer, 300)) as stream:
        await stream.finish()
    assert not stream.done
    assert stream.receipts[-1].finish == Finish.OUT_OF_CREDIT
    account = world.books.accounts[payer.wallet.address]
    assert 600 < account.owed <= 1200
    assert account.reserved == 0
    assert payer.tally.amount == account.owed
    assert (await payer.acknowledge()).status_code == 200
    await payer.complete()


async def test_many_streams_of_one_account_never_block_one_another(make_world: Make) -> None:
    world = await make_world(credit=2000)
    world.engine.tokens = 100
    payer = await world.payer()

    async def one() -> Stream | None:
        async with payer.stream(asking(payer, 100)) as stream:
            if stream.response.status_code == 402:
                return None
            await acknowledging(payer, stream)
            return stream

    streams = [stream for stream in await asyncio.gather(*(one() for _ in range(12))) if stream]
    assert streams
    assert all(stream.done for stream in streams)
    assert payer.tally.amount == len(streams) * 1010


async def test_a_free_model_streams_without_receipts_on_the_way(make_world: Make) -> None:
    world = await make_world(prices=(0, 0, 0))
    world.engine.tokens = 100
    payer = await world.payer()
    async with payer.stream(asking(payer, 100)) as stream:
        await stream.finish()
    assert [receipt.cost for receipt in stream.receipts] == [0]
    assert (await payer.acknowledge()).json() == {"cumulativeAmount": "0", "receiptCount": "1"}


async def test_the_payer_goes_in_mid_stream(world: World) -> None:
    payer = await world.payer()
    world.engine.gate = asyncio.Semaphore(3)
    body = asking(payer)
    async with payer.stream(body) as stream:
        for _ in range(3):
            await stream.next_event()
    await until(world.engine.cut.is_set)
    await until(lambda: not world.gateway.running)
    tab = world.books.tabs[payer.channel.id]
    assert (tab.owed, tab.reserved) == (40, 0)
    # The answer stays under its nonce: what was billed can be had again, and is then acknowledged.
    async with payer.stream(body, nonce=payer.nonce) as again:
        await again.finish()
    assert again.payloads == stream.payloads
    assert [receipt.finish for receipt in again.receipts] == [Finish.CANCELLED]
    assert (await payer.acknowledge()).json()["cumulativeAmount"] == "40"
    assert world.engine.started == 1


async def test_a_payer_that_stops_reading_has_gone(make_world: Make) -> None:
    policy = RelayPolicy(pause_s=0.05, keep_alive_s=1, unsecured_limit=Atoms(0))
    world = await make_world(relay_policy=policy)
    payer = await world.payer()
    body = asking(payer)
    running = await world.gateway.admit(payer.credential(body), body)
    assert isinstance(running, Running)
    world.engine.gate = asyncio.Semaphore(3)
    blocks = await world.relay.serve(running, CHAT, world.model)
    assert not isinstance(blocks, Answer)
    taken = 0

    async def send(_: object) -> None:
        nonlocal taken
        taken += 1
        if taken > 1:
            await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    await StreamAnswer(blocks, world.relay.patience_s, running, world.relay)({}, receive, send)
    tab = world.books.tabs[payer.channel.id]
    assert (tab.issued.count, tab.reserved, taken) == (1, 0, 2)
    await until(lambda: not world.gateway.running)
    await until(world.engine.cut.is_set)


@pytest.mark.parametrize("whole", [False, True])
async def test_a_channel_that_is_lost_in_mid_stream_ends_it_with_one_line_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture, whole: bool
) -> None:
    """The engine has said all of it, or is at it still: no receipt may follow, so nothing more is sent."""
    payer = await world.payer()
    world.engine.gate = asyncio.Semaphore(3)
    with capture_logs() as logs:
        async with payer.stream(asking(payer)) as stream:
            for _ in range(3):
                await stream.next_event()
            tab = world.books.tabs[payer.channel.id]
            tab.lost = True
            if whole:
                for _ in range(40):
                    world.engine.gate.release()
            else:
                next(iter(world.gateway.running.values())).end(Finish.CANCELLED)
            await stream.finish()
        await until(lambda: not world.gateway.running)
    assert (stream.receipts, stream.done, tab.reserved) == ([], False, 0)
    assert [line for line in logs if line["log_level"] != "info"] == [
        {"event": "answer.cut", "channel": to_hex(tab.id), "code": "channel-lost", "log_level": "warning"}
    ]
    assert not [record for record in caplog.records if record.exc_info]


async def test_the_payer_goes_before_a_whole_answer(world: World) -> None:
    payer = await world.payer()
    world.engine.gate = asyncio.Semaphore(0)
    body = payer.body()
    asked = asyncio.create_task(payer.post(body))
    await until(lambda: world.engine.started == 1)
    asked.cancel()
    for _ in range(8):
        world.engine.gate.release()
    await until(lambda: not world.gateway.running)
    response = await payer.post(body, nonce=payer.nonce)
    assert payer.take_whole(body, response).cost == 90
    assert world.engine.started == 1


async def test_the_engine_goes_in_mid_stream(world: World) -> None:
    world.engine.die_after = 5
    payer = await world.payer()
    async with payer.stream(asking(payer)) as stream:
        await stream.finish()
    assert not stream.done
    assert [receipt.finish for receipt in stream.receipts] == [Finish.ENGINE_FAILED]
    assert stream.receipts[0].cost == 10 + 50
    assert world.books.accounts[payer.wallet.address].reserved == 0


async def test_the_engine_goes_before_the_first_token(world: World) -> None:
    world.engine.die_after = 0
    payer = await world.payer()
    body = asking(payer)
    async with payer.stream(body) as stream:
        await stream.finish()
    assert stream.receipts == []
    response = await payer.post(payer.body())
    assert (response.status_code, response.json()["error"]["code"]) == (502, "engine-unreachable")
    tab = world.books.tabs[payer.channel.id]
    assert (tab.issued.count, tab.reserved) == (0, 0)
    world.engine.die_after = None
    async with payer.stream(body, nonce=payer.nonce - 1) as stream:  # Nothing was billed: done anew.
        await stream.finish()
    assert stream.done


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("status", [400, 404, 429, 500])
async def test_an_error_of_the_engine_passes_as_it_is_and_is_free(
    world: World, status: int, streamed: bool
) -> None:
    payer = await world.payer()
    body = {"error": {"message": "no", "type": "BadRequestError", "param": None, "code": status}}
    world.engine.refuse = (status, body)
    response = await payer.post(payer.body(stream=streamed))
    assert (response.status_code, response.json()) == (status, body)
    assert "payment-receipt" not in response.headers
    tab = world.books.tabs[payer.channel.id]
    assert (tab.issued.count, tab.reserved) == (0, 0)
    world.engine.refuse = None
    await payer.complete(nonce=payer.nonce)


async def test_an_engine_that_is_not_there(world: World) -> None:
    payer = await world.payer()
    await world.engine.__aexit__()
    for body in (payer.body(), asking(payer)):
        response = await payer.post(body)
        assert (response.status_code, response.json()["error"]["code"]) == (502, "engine-unreachable")
        assert response.json()["error"]["retryable"] is True
    assert world.books.accounts[payer.wallet.address].exposure == 0
    await world.engine.__aenter__()


async def test_draining_ends_a_stream_with_its_receipt(world: World) -> None:
    payer = await world.payer()
    world.engine.gate = asyncio.Semaphore(2)
    async with payer.stream(asking(payer)) as stream:
        for _ in range(2):
            await stream.next_event()
        world.gateway.draining = True
        refused = await payer.post(payer.body())
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        for running in world.gateway.running.values():
            running.end(Finish.DRAINED)
        await stream.finish()
    assert [receipt.finish for receipt in stream.receipts] == [Finish.DRAINED]
    assert (await payer.acknowledge()).json()["cumulativeAmount"] == "30"


async def test_no_receipt_comes_from_the_engine(world: World) -> None:
    """Only `data:` lines are passed on: a comment of the engine's cannot pass for a receipt."""
    payer = await world.payer()
    body = asking(payer)
    async with payer.http.stream("POST", CHAT, content=body, headers=payer.headers(body)) as response:
        raw = b"".join([piece async for piece in response.aiter_raw()])
    assert raw.count(RECEIPT_COMMENT) == 1
    assert raw.index(RECEIPT_COMMENT) < raw.index(b"data: [DONE]")
