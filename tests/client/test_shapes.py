"""The pure pieces around an answer: what is asked, how a stream is read, how it becomes one answer again."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.client.ask import CHAT_PATH, affordable_limit, read_ask, worst_cost
from tallystick.client.errors import MalformedRequest
from tallystick.client.events import LINE_LIMIT, Done, Lines, Other, Payload, ReceiptText
from tallystick.client.sinks import Relay
from tallystick.client.whole import Whole
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.units import ZERO_HASH, Address, Atoms


def offer(**prices: int) -> Offer:
    return Offer(
        provider=Address(bytes(20)),
        sequence=0,
        endpoint="",
        endpoint_key=ZERO_HASH,
        model="m",
        model_hash=ZERO_HASH,
        input_price=prices.get("input_price", 1),
        cached_input_price=prices.get("cached_input_price", 1),
        output_price=prices.get("output_price", 1),
        context_length=prices.get("context_length", 4_096),
        credit=1,
        valid_until=1,
    )


def asked(**fields: Any) -> Any:
    return read_ask(CHAT_PATH, json.dumps({"model": "m", "messages": [], **fields}).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": 1}', b'{"messages": []}', b"\xff", b"null"])
def test_what_is_no_request(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read_ask(CHAT_PATH, body)


def test_the_body_is_the_caller_s_but_for_what_counts_need() -> None:
    ask = asked(temperature=0.5, seed=7)
    assert json.loads(ask.body(stream=False)) == {
        "model": "m",
        "messages": [],
        "temperature": 0.5,
        "seed": 7,
        "return_token_ids": True,
    }
    streamed = json.loads(asked(stream_options={"x": 1}).body(stream=True))
    assert streamed["stream"] is True
    assert streamed["stream_options"] == {"x": 1, "include_usage": True, "continuous_usage_stats": True}


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": None, "max_tokens": 10}, 10),
        ({"max_completion_tokens": 5, "max_tokens": 10}, 5),
        ({"max_completion_tokens": None}, None),
    ],
)
def test_the_limit_is_whichever_the_caller_set(fields: dict[str, Any], limit: int | None) -> None:
    assert asked(**fields).limit == limit


@pytest.mark.parametrize("asks", [False, True])
def test_running_usage_is_for_those_who_asked(asks: bool) -> None:
    relay = Relay(shows_usage=True, shows_running_usage=asks)
    chunk = {"choices": [{"delta": {"content": "a"}}], "usage": {"completion_tokens": 1}}
    shown = relay.payload(json.dumps(chunk).encode(), chunk)
    assert (b"usage" in shown) is asks
    assert b'"content"' in shown


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({}, 1),
        ({"n": 3}, 3),
        ({"n": None}, 1),
        ({"prompt": ["a", "b"], "n": 2}, 4),
        ({"prompt": [1, 2, 3]}, 1),
    ],
)
def test_answers_are_counted(fields: dict[str, Any], answers: int) -> None:
    assert asked(**fields).answers == answers


def test_attachments_and_tools_may_be_longer_than_their_names() -> None:
    plain = asked(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}]}])
    image = asked(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a"}}]}])
    assert image.input_bound > plain.input_bound + 4_096
    assert asked(tools=[{}]).input_bound > asked().input_bound + 512


@given(
    limit=st.none() | st.integers(0, 10_000),
    n=st.integers(1, 5),
    prices=st.fixed_dictionaries(
        {name: st.integers(0, 10**8) for name in ("input_price", "cached_input_price", "output_price")}
    ),
    tokens=st.tuples(st.integers(0, 4_096), st.integers(0, 4_096), st.integers(0, 4_096)),
)
def test_no_honest_bill_is_above_the_worst_case(
    limit: int | None, n: int, prices: dict[str, int], tokens: tuple[int, int, int]
) -> None:
    ask = asked(n=n, **({} if limit is None else {"max_tokens": limit}))
    sold = offer(**prices)
    billed = min(tokens[0], ask.input_bound)
    cached = min(tokens[1], billed)
    output = min(tokens[2] * n, (ask.output_limit if ask.output_limit is not None else 4_096 * n), 4_096 * n)
    cost = cost_up(sold, input_tokens=billed, cached_input_tokens=cached, output_tokens=output)
    assert cost <= worst_cost(ask, sold)


@given(st.integers(1, 10**9), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(1, 4))
def test_what_the_budget_affords_is_within_the_budget(
    atoms: int, input_price: int, output_price: int, n: int
) -> None:
    sold = offer(input_price=input_price, output_price=output_price)
    ask = asked(n=n)
    limit = affordable_limit(ask, sold, Atoms(atoms))
    if limit > 0:
        assert worst_cost(ask.limited(limit), sold) <= atoms


STREAM = (
    b': payment-receipt abc\n\ndata: {"a":1}\n\n: keep-alive\n\n'
    b'data:{"b":2}\r\n\r\nevent: error\ndata: [DONE]\n\n'
)
EVENTS = [
    ReceiptText("abc"),
    Payload(b'{"a":1}'),
    Other(b": keep-alive"),
    Payload(b'{"b":2}'),
    Other(b"event: error"),
    Done(),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    lines, events = Lines(), []
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        events += lines.feed(STREAM[start:end])
    assert events == EVENTS


def test_a_line_without_end_is_refused() -> None:
    lines = Lines()
    lines.feed(b"a" * LINE_LIMIT)
    with pytest.raises(MalformedMessage):
        lines.feed(b"a")


def delta(index: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "id": "x",
        "object": "chat.completion.chunk",
        "choices": [{"index": index, **fields}],
        "usage": None,
    }


def test_a_whole_chat_answer() -> None:
    whole = Whole(chat=True)
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "look", "arguments": ""}}
    for chunk in (
        delta(
            delta={"role": "assistant", "content": ""}, token_ids=[1], logprobs={"content": [{"token": "a"}]}
        ),
        delta(delta={"content": "Hel"}, token_ids=[2], logprobs={"content": [{"token": "b"}]}),
        delta(1, delta={"role": "assistant", "tool_calls": [call]}),
        delta(delta={"content": "lo", "reasoning_content": "hm"}, token_ids=[3]),
        delta(1, delta={"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}),
        delta(1, delta={"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
        delta(1, delta={}, finish_reason="tool_calls"),
        delta(delta={}, finish_reason="stop", stop_reason=7),
        {"choices": [], "usage": {"completion_tokens": 3}, "system_fingerprint": "f"},
    ):
        whole.add(chunk)
    answer = whole.answer()
    first, second = answer["choices"]
    assert answer["object"] == "chat.completion"
    assert answer["usage"] == {"completion_tokens": 3}
    assert answer["system_fingerprint"] == "f"
    assert first["message"] == {"role": "assistant", "content": "Hello", "reasoning_content": "hm"}
    assert (first["finish_reason"], first["stop_reason"], first["token_ids"]) == ("stop", 7, [1, 2, 3])
    assert first["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}
    assert second["finish_reason"] == "tool_calls"
    assert second["message"]["content"] is None
    assert second["message"]["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    ]


def test_a_whole_completion() -> None:
    whole = Whole(chat=False)
    for text, tokens in (("a", ["a"]), ("b", ["b", "c"])):
        logprobs = {"tokens": tokens, "token_logprobs": [0.0] * len(tokens)}
        whole.add({"id": "x", "choices": [{"index": 0, "text": text, "logprobs": logprobs}]})
    whole.add({"choices": [{"index": 0, "text": "", "finish_reason": "length"}]})
    answer = whole.answer()
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [
        {
            "index": 0,
            "finish_reason": "length",
            "text": "ab",
            "logprobs": {"tokens": ["a", "b", "c"], "token_logprobs": [0.0, 0.0, 0.0]},
        }
    ]


NAMES = ["choices", "delta", "index", "tool_calls", "logprobs", "content", "function", "token_ids", "text"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(ANYTHING, ANYTHING)
def test_no_chunk_is_too_strange_to_add(first: Any, second: Any) -> None:
    """A provider may send anything; the caller gets an answer, or an error of ours, and no crash."""
    for chat in (True, False):
        whole = Whole(chat=chat)
        for chunk in (first, second):
            for piece in (chunk, {"choices": [chunk]}, {"choices": chunk}, {"choices": [{"delta": chunk}]}):
                if isinstance(piece, dict):
                    whole.add(piece)
        json.dumps(whole.answer())
