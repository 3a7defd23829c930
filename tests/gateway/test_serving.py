"""A paid request from end to end: what the payer gets, what it costs, what is kept."""

import asyncio

import orjson
import pytest

from tallystick.protocol.receipt import Finish
from tests.gateway.conftest import World


async def test_a_whole_answer_is_paid_by_its_receipt(world: World) -> None:
    payer = await world.payer()
    answer = await payer.complete()
    assert answer["usage"]["completion_tokens"] == 8
    receipt = payer.receipts[0]
    assert (receipt.input_tokens, receipt.output_tokens, receipt.cost) == (10, 8, 90)
    assert receipt.finish == Finish.STOP


async def test_the_next_request_acknowledges_the_receipt_before(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    await payer.complete()
    tab = world.books.tabs[payer.channel.id]
    assert tab.acknowledged.amount == 90
    assert tab.issued.amount == 180


async def test_a_stream_ends_in_a_receipt_before_done(world: World) -> None:
    payer = await world.payer()
    body = payer.body(stream=True, return_token_ids=True, stream_options={"include_usage": True})
    async with payer.stream(body) as stream:
        await stream.finish()
    assert stream.done
    assert [receipt.finish for receipt in stream.receipts] == [Finish.STOP]
    assert stream.receipts[0].cost == 90
    response = await payer.acknowledge()
    assert response.json() == {"cumulativeAmount": "90", "receiptCount": "1"}


async def test_a_payer_that_asks_for_no_counts_gets_those_it_is_billed_by(world: World) -> None:
    payer = await world.payer()
    async with payer.http.stream(
        "POST", "/v1/chat/completions", content=(body := payer.body(stream=True)), headers=payer.headers(body)
    ) as response:
        lines = [line async for line in response.aiter_lines() if line.startswith("data: {")]
    chunks = [orjson.loads(line[6:]) for line in lines]
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [*range(1, 9), 8]
    assert [chunk["choices"][0]["token_ids"] for chunk in chunks[:-1]] == [[index] for index in range(8)]
    assert world.engine.bodies[0]["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


EVERY_FIELD = {
    "tools": [
        {
            "type": "function",
            "function": {"name": "weather", "parameters": {"type": "object", "required": []}},
        }
    ],
    "tool_choice": "auto",
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"enum": [None, 1.5]}},
    },
    "logprobs": True,
    "top_logprobs": 3,
    "seed": 2**53 + 1,
    "n": 2,
    "stop": ["\n\n", "ende"],
    "temperature": 0.1,
    "a_field_of_tomorrow": {"nested": [{"þórr": "ⵜⴰⵎⴰⵣⵉⵖⵜ"}, "🐚\u2028", {}, False]},
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_the_engine_is_asked_what_the_payer_asked_and_for_the_counts(
    world: World, *, streamed: bool
) -> None:
    payer = await world.payer()
    body = payer.body(**EVERY_FIELD, stream=streamed)
    assert (await payer.post(body)).status_code == 200
    counts = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}} if streamed else {}
    assert world.engine.bodies == [orjson.loads(body) | {"return_token_ids": True} | counts]


async def test_parallel_requests_share_a_channel(world: World) -> None:
    payer = await world.payer()
    await asyncio.gather(*(payer.complete() for _ in range(32)))
    assert payer.tally.count == 32
    assert payer.tally.amount == 32 * 90
    assert (await payer.acknowledge()).status_code == 200
    assert world.books.tabs[payer.channel.id].owed == 0
