"""The echo engine: what it answers is known beforehand, and it misbehaves only where it was told to."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from zlib import crc32

import aiohttp
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_node.engine.echo import EchoEngine, Manner, read_manner
from tallystick_node.engine.openai_replies import joined
from tallystick_node.engine.openai_requests import ChatRequest
from tests.engine.conftest import Served

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
Echoing = Callable[[Manner], AbstractAsyncContextManager[Served]]


def saying(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"enum": ["C", "F"]},
                "hours": {"type": "array", "items": {"type": "boolean"}},
            },
        },
    },
}


async def test_it_says_the_words_once(echo: Served) -> None:
    body = await echo.body(CHAT, model="echo", messages=saying("one two three"), return_token_ids=True)
    choice = body["choices"][0]
    assert choice["message"]["content"] == "one two three"
    assert choice["finish_reason"] == "stop"
    assert choice["token_ids"] == [crc32(word) % 2**31 for word in (b"one", b"two", b"three")]
    assert body["usage"]["prompt_tokens"] == len(body["prompt_token_ids"]) == 5
    assert body["usage"]["completion_tokens"] == 3


async def test_it_goes_around_until_the_tokens_asked_for_are_said(echo: Served) -> None:
    body = await echo.body(CHAT, messages=saying("one two three"), max_tokens=5)
    assert body["choices"][0]["message"]["content"] == "one two three one two"
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 5
    body = await echo.body(COMPLETIONS, prompt="hey")
    assert body["usage"]["completion_tokens"] == 16


@pytest.mark.parametrize(
    ("begun", "most", "rest"), [("one", None, " two three"), ("one two three one", 2, " two three")]
)
async def test_it_goes_on_where_another_stopped(
    echo: Served, begun: str, most: int | None, rest: str
) -> None:
    messages = [*saying("one two three"), {"role": "assistant", "content": begun}]
    goes_on = {"continue_final_message": True, "add_generation_prompt": False}
    body = await echo.body(CHAT, messages=messages, max_tokens=most, **goes_on)
    assert body["choices"][0]["message"]["content"] == " two three"


async def test_a_stream_has_a_chunk_a_token(echo: Served) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = await echo.chunks(CHAT, messages=saying("one two three"), stream_options=options)
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks[:-1]] == [
        "",
        "one",
        " two",
        " three",
    ]
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [0, 1, 2, 3, 3]


@given(st.text(max_size=20), st.none() | st.integers(1, 9), st.sampled_from([[], ["a"], ["b c"]]))
def test_a_token_is_a_piece_whatever_the_text(text: str, most: int | None, stop: list[str]) -> None:
    async def pieces() -> None:
        engine, request = EchoEngine(Manner()), ChatRequest(messages=saying(text), max_tokens=most, stop=stop)
        prompt = engine.chat_prompt(request.messages)
        said = [piece async for piece in engine.generate(request, prompt, choice=0, max_tokens=most or 99)]
        assert all(len(piece.token_ids) == 1 for piece in said)
        assert [piece.finish is None for piece in said] == [True] * (len(said) - 1) + [False]
        assert not any(string in joined(said).whole.text for string in stop)

    asyncio.run(pieces())


@pytest.mark.parametrize(
    ("text", "choice", "called"),
    [
        ("Use the tool please", "auto", True),
        ("Say something", "auto", False),
        ("Say something", "required", True),
        ("Say something", {"type": "function", "function": {"name": "weather"}}, True),
        ("Use the tool please", "none", False),
    ],
)
async def test_it_calls_a_tool_where_one_is_wanted(
    echo: Served, text: str, choice: object, called: bool
) -> None:
    body = await echo.body(CHAT, messages=saying(text), tools=[WEATHER], tool_choice=choice)
    message = body["choices"][0]["message"]
    assert body["choices"][0]["finish_reason"] == ("tool_calls" if called else "stop")
    assert (message["content"] is None) == called
    if called:
        function = message["tool_calls"][0]["function"]
        assert function["name"] == "weather"
        arguments = json.loads(function["arguments"])
        assert arguments == {"city": text, "days": len(text.split()), "unit": "C", "hours": [True]}


async def test_a_tool_result_is_answered_in_words(echo: Served) -> None:
    messages = [*saying("Use the tool"), {"role": "tool", "tool_call_id": "x", "content": "tool says 21 C"}]
    body = await echo.body(CHAT, messages=messages, tools=[WEATHER])
    assert body["choices"][0]["message"]["content"] == "tool says 21 C"


async def test_the_openai_package_reads_a_streamed_tool_call(echo: Served) -> None:
    async with openai.AsyncOpenAI(base_url=f"{echo.url}/v1", api_key="none") as client:
        whole = await client.chat.completions.create(
            model="echo", messages=saying("Use the tool"), tools=[WEATHER]
        )
        async with client.chat.completions.stream(
            model="echo",
            messages=saying("Use the tool"),
            tools=[WEATHER],
            stream_options={"include_usage": True},
        ) as stream:
            streamed = await stream.get_final_completion()
    one, other = (answer.choices[0].message.tool_calls[0] for answer in (whole, streamed))
    assert (one.id, one.function.name) == (other.id, other.function.name)
    assert one.function.arguments == other.function.arguments
    assert streamed.usage.completion_tokens == whole.usage.completion_tokens


async def test_it_reports_cached_tokens_where_told_to(echoing: Echoing) -> None:
    async with echoing(Manner(cached_tokens=3)) as echo:
        usage = (await echo.body(CHAT, messages=saying("one two")))["usage"]
        assert usage["prompt_tokens_details"] == {"cached_tokens": 3}
        options = {"include_usage": True}
        last = (await echo.chunks(COMPLETIONS, prompt="one two", stream_options=options))[-1]
        assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}


async def test_it_dies_in_mid_answer_where_told_to(echoing: Echoing) -> None:
    async with echoing(Manner(die_after_tokens=2)) as echo:
        body = {"messages": saying("one two three"), "stream": True}
        got = b""
        async with echo.session.post(echo.url + CHAT, json=body) as response:
            while b" two" not in got:
                got += await response.content.readany()
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.content.read()
        assert b"three" not in got
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await echo.body(CHAT, messages=saying("one two three"))
        assert (await echo.body(CHAT, messages=saying("one two")))["usage"]["completion_tokens"] == 2


async def test_it_fails_as_often_as_told_to(echoing: Echoing) -> None:
    async with echoing(Manner(fail_every=2)) as echo:
        asked = [{"messages": saying("one"), "stream": stream} for stream in (False, False, True, True)]
        statuses = []
        for body in asked:
            async with echo.session.post(echo.url + CHAT, json=body) as response:
                statuses.append(response.status)
    assert statuses == [200, 500, 200, 500]


async def test_it_takes_its_time_where_told_to(echoing: Echoing) -> None:
    async with echoing(Manner(first_token_delay=3600)) as echo:
        caller = asyncio.create_task(echo.body(CHAT, messages=saying("one")))
        engine_load = None
        while engine_load != "1.0":
            engine_load = (await echo.get("/metrics"))[1].split()[5]
        caller.cancel()
        while engine_load != "0.0":
            engine_load = (await echo.get("/metrics"))[1].split()[5]


async def test_the_context_has_an_end(echoing: Echoing) -> None:
    async with echoing(Manner(max_model_len=8)) as echo:
        assert (await echo.post(CHAT, {"messages": saying("word " * 6)}))[0] == 400
        body = await echo.body(CHAT, messages=saying("a b c d"), max_tokens=8)
        assert body["usage"]["total_tokens"] == 8


def test_the_command_line_sets_the_manner() -> None:
    line = "--port 80 --served-model-name m --token-delay-ms 2 --first-token-delay-ms 30 --max-model-len 99"
    manner = Manner(name="m", token_delay=0.002, first_token_delay=0.03, max_model_len=99)
    assert read_manner(line.split()) == (manner, "127.0.0.1", 80)
    assert read_manner(["--port", "80"])[0] == Manner()


async def test_it_says_one_of_the_choices_where_it_is_to(echo: Served) -> None:
    asked = [{"role": "user", "content": "which?"}]
    said = {
        (await echo.body("/v1/chat/completions", messages=asked, structured_outputs={"choice": ["A", "B"]}))[
            "choices"
        ][0]["message"]["content"]
        for _ in range(2)
    }
    assert said in ({"A"}, {"B"})
