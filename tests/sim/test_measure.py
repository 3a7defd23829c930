"""What a real engine's times are taken by: an engine that speaks OpenAI's API, well or not."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from aiohttp import web

from tallystick_node.sim.fit import Measured
from tallystick_node.sim.measure import EngineSilent, measured

WORD = {"choices": [{"text": "x"}], "usage": None}


def usage(prompt: object, completion: object) -> dict[str, object]:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


def asked(events: Sequence[Any], loads: tuple[str, ...] = ("2", "20/s")) -> list[Measured]:
    """Of an engine that answers each request by these events."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            await response.write(b"data: " + orjson.dumps(event) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    async def run() -> list[Measured]:
        app = web.Application()
        app.router.add_post("/v1/completions", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/"
        try:
            return await measured(url, "m", loads, seconds=0.3, longest=8, seed=1)
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def test_each_load_is_asked_in_its_turn() -> None:
    found = asked([WORD, WORD, usage(3, 2)])
    assert {item.load for item in found} == {"2", "20/s"}
    assert all((item.input, item.output) == (3, 2) and 0 < item.first_s <= item.end_s for item in found)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([WORD], "how many tokens"),
        ([WORD, usage(None, None)], "how many tokens"),
        ([WORD, usage(3, 0)], "how many tokens"),
        ([WORD, {"choices": [], "usage": {"total_tokens": 5}}], "how many tokens"),
        ([{"choices": ["x"]}, usage(3, 2)], "no text"),
        ([{"choices": [{"delta": {"content": "x"}}]}, usage(3, 2)], "no text"),
        ([WORD, {"error": {"message": "out of memory"}}], "out of memory"),
    ],
)
def test_an_engine_that_answers_otherwise_is_named_in_words(events: Sequence[Any], said: str) -> None:
    with pytest.raises(EngineSilent, match=said):
        asked(events)
