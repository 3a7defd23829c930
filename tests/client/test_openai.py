"""The unmodified openai package through the transport: whatever it does is paid for, to the atom."""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from tallystick.client.outcome import outcome_of
from tallystick.client.transport import BASE_URL, Transport


def blocking(transport: Transport, **options: Any) -> OpenAI:
    http = DefaultHttpxClient(transport=transport)
    return OpenAI(base_url=BASE_URL, api_key="-", http_client=http, **options)


def asynchronous(transport: Transport, **options: Any) -> AsyncOpenAI:
    http = DefaultAsyncHttpxClient(transport=transport)
    return AsyncOpenAI(base_url=BASE_URL, api_key="-", http_client=http, **options)


def test_a_completion_is_paid_for(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    with blocking(world.transport()) as client:
        completion = client.chat.completions.create(**ask("one two three"))
    assert completion.choices[0].message.content == "one two three "
    assert completion.tallystick["cost"] == provider.issued == provider.paid > 0


def test_a_stream_is_paid_for(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    with blocking(world.transport()) as client:
        stream = client.chat.completions.create(**ask("one two three"), stream=True)
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three "
    assert chunks[-1].tallystick["cost"] == outcome_of(stream).cost == provider.issued == provider.paid > 0


def test_usage_is_shown_to_those_who_ask_for_it(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    with blocking(world.transport()) as client:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client.chat.completions.create(**ask("one two"), **options))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 2
    assert chunks[-1].tallystick["cost"] == provider.paid


def test_a_listener_hears_of_a_stream_whose_reader_leaves_at_its_end(
    world: Any, ask: Callable[..., Any]
) -> None:
    """The openai package reads up to `[DONE]`, and closes the answer there."""
    provider = world.provider()
    seen: list[Any] = []
    with blocking(world.transport(on_outcome=seen.append)) as client:
        list(client.chat.completions.create(**ask("one two"), stream=True))
    assert [outcome.cost for outcome in seen] == [provider.issued]


def test_headers_say_the_cost(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    seen: list[Any] = []
    with blocking(world.transport(on_outcome=seen.append)) as client:
        raw = client.chat.completions.with_raw_response.create(**ask("one two"))
    assert int(raw.headers["tallystick-cost"]) == provider.paid
    assert raw.headers["tallystick-provider"] == "0x" + provider.key.address.hex()
    assert outcome_of(raw) is seen[0]
    assert [receipt.message.cost for receipt in seen[0].receipts] == [provider.paid]


def test_completions_of_text(world: Any) -> None:
    provider = world.provider()
    with blocking(world.transport()) as client:
        whole = client.completions.create(model=world.model, prompt="a b c", max_tokens=5)
        stream = client.completions.create(model=world.model, prompt="a b c", max_tokens=2, stream=True)
        text = "".join(chunk.choices[0].text for chunk in stream)
    assert (whole.choices[0].text, text) == ("a b c ", "a b ")
    assert provider.issued == provider.paid > 0


def test_a_tool_call(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    with blocking(world.transport()) as client:
        chunks = list(client.chat.completions.create(**ask("go"), tools=tools, stream=True))
    calls = [chunk.choices[0].delta.tool_calls[0] for chunk in chunks if chunk.choices[0].delta.tool_calls]
    assert "".join(call.function.arguments for call in calls) == '{"at": "sea"}'
    assert provider.issued == provider.paid > 0


def test_models_are_listed(world: Any) -> None:
    provider = world.provider(price=7)
    with blocking(world.transport()) as client:
        models = client.models.list().data
    assert [model.id for model in models] == [world.model]
    assert models[0].offers[0]["output_price"] == 7
    assert provider.worked == 0


async def test_async(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    async with asynchronous(world.transport()) as client:
        whole = await client.chat.completions.create(**ask("one two"))
        stream = await client.chat.completions.create(**ask("one two three"), stream=True)
        words = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert whole.choices[0].message.content == "one two "
    assert "".join(words) == "one two three "
    assert provider.issued == provider.paid == whole.tallystick["cost"] + outcome_of(stream).cost


def test_an_answer_beyond_the_credit_is_streamed_underneath(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(credit=3_000, price=1_000_000)
    text = ("a " * 1_000).strip()
    seen: list[Any] = []
    with blocking(world.transport(on_outcome=seen.append)) as client:
        whole = client.chat.completions.create(**ask(text, n=2) | {"max_tokens": 1_000})
    assert [choice.message.content for choice in whole.choices] == [text + " "] * 2
    assert [choice.finish_reason for choice in whole.choices] == ["stop", "stop"]
    assert whole.object == "chat.completion"
    assert whole.usage.completion_tokens == 2_000
    assert len(whole.choices[0].token_ids) == 1_000
    assert provider.seen["interim"] > 2
    assert whole.tallystick["cost"] == provider.issued == provider.paid == seen[0].cost


def test_the_engine_s_own_error_is_passed_on(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    transport = world.transport()
    with blocking(transport) as client, pytest.raises(openai.BadRequestError, match="no such thing"):
        client.chat.completions.create(**ask(), extra_body={"engine_error": True})
    assert provider.issued == 0


def test_nobody_offers_the_model(world: Any, ask: Callable[..., Any]) -> None:
    world.provider()
    with blocking(world.transport()) as client, pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**ask(model="another"))
    assert (caught.value.status_code, caught.value.code) == (503, "no-eligible-offer")


def test_what_is_not_sold(world: Any) -> None:
    world.provider()
    with blocking(world.transport()) as client, pytest.raises(openai.NotFoundError):
        client.embeddings.create(model=world.model, input="a")


def test_langchain(world: Any) -> None:
    from langchain_openai import ChatOpenAI

    provider = world.provider()
    http = DefaultHttpxClient(transport=world.transport())
    with http:
        model = ChatOpenAI(model=world.model, base_url=BASE_URL, api_key="-", http_client=http, max_tokens=20)
        assert model.invoke("one two three").content == "one two three "
        assert "".join(str(part.content) for part in model.stream("four five")) == "four five "
    assert provider.issued == provider.paid > 0
    assert provider.worked == 2
