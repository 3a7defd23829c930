"""The embedded engine over HTTP: counts, ids and log-probabilities are true, and the shapes are vLLM's."""

import asyncio
import json
import math

import pytest

from tallystick.protocol.judging import CHOICES, letter_of, requests
from tallystick.tokenizer import Vocabulary
from tests.engine.conftest import SLOTS, Served, until

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
KENYA = [{"role": "user", "content": "What is the capital of Kenya?"}]
KENYA_IDS = [2, 59, 76, 273, 285, 265, 868, 295, 1271, 279, 93, 69, 35, 203, 3]


async def test_it_knows_the_capital_of_kenya(embedded: Served) -> None:
    body = await embedded.body(CHAT, model="good", messages=KENYA, temperature=0)
    assert body["choices"][0]["message"]["content"] == "The capital of Kenya is Nairobi."
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {
        "prompt_tokens": 15,
        "total_tokens": 31,
        "completion_tokens": 16,
        "prompt_tokens_details": None,
    }


@pytest.mark.parametrize(
    "begun", ["The", "The capital of", "The capital of Ken", "The capital of Kenya is Nairobi"]
)
async def test_it_goes_on_with_an_answer_that_somebody_began(embedded: Served, begun: str) -> None:
    messages = [*KENYA, {"role": "assistant", "content": begun}]
    goes_on = {"continue_final_message": True, "add_generation_prompt": False}
    body = await embedded.body(CHAT, messages=messages, temperature=0, **goes_on)
    assert begun + body["choices"][0]["message"]["content"] == "The capital of Kenya is Nairobi."
    status, _ = await embedded.post(CHAT, {"messages": messages, "continue_final_message": True})
    assert status == 400


async def test_usage_counts_the_token_ids(embedded: Served, vocabulary: Vocabulary) -> None:
    for seed in range(5):
        body = await embedded.body(
            CHAT, messages=KENYA, temperature=1.5, seed=seed, max_tokens=40, return_token_ids=True
        )
        choice = body["choices"][0]
        assert body["prompt_token_ids"] == KENYA_IDS
        assert body["usage"]["prompt_tokens"] == len(KENYA_IDS)
        assert body["usage"]["completion_tokens"] == len(choice["token_ids"])
        assert vocabulary.decode(choice["token_ids"]) == choice["message"]["content"]


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1, "seed": 11}])
async def test_a_stream_says_what_the_body_says(embedded: Served, sampling: dict[str, float]) -> None:
    asked = {
        "messages": KENYA,
        "max_tokens": 40,
        "logprobs": True,
        "top_logprobs": 2,
        "return_token_ids": True,
        **sampling,
    }
    body = await embedded.body(CHAT, **asked)
    options = {"include_usage": True, "continuous_usage_stats": True}
    opening, *middle, last = await embedded.chunks(CHAT, stream_options=options, **asked)
    whole = body["choices"][0]
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert opening["prompt_token_ids"] == KENYA_IDS
    assert opening["usage"]["completion_tokens"] == 0
    choices = [chunk["choices"][0] for chunk in middle]
    assert "".join(choice["delta"]["content"] for choice in choices) == whole["message"]["content"]
    assert [token for choice in choices for token in choice["token_ids"]] == whole["token_ids"]
    streamed = [score["logprob"] for choice in choices for score in choice["logprobs"]["content"]]
    assert streamed == pytest.approx([score["logprob"] for score in whole["logprobs"]["content"]], abs=1e-4)
    assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
    assert choices[-1]["finish_reason"] == whole["finish_reason"]
    assert [chunk["usage"]["completion_tokens"] for chunk in middle] == [*range(1, len(middle) + 1)]
    assert last["choices"] == []
    assert last["usage"] == body["usage"]


async def test_a_stream_without_usage_options_has_no_usage(embedded: Served) -> None:
    chunks = await embedded.chunks(CHAT, messages=KENYA, temperature=0)
    assert not any("usage" in chunk for chunk in chunks)


async def test_log_probabilities_are_those_of_the_model(embedded: Served) -> None:
    body = await embedded.body(CHAT, messages=KENYA, temperature=0, logprobs=True, top_logprobs=20)
    for score in body["choices"][0]["logprobs"]["content"]:
        likeliest = [other["logprob"] for other in score["top_logprobs"]]
        assert sum(map(math.exp, likeliest)) <= 1 + 1e-9
        assert likeliest == sorted(likeliest, reverse=True)
        assert (score["token"], score["logprob"]) == (score["top_logprobs"][0]["token"], likeliest[0])
        assert bytes(score["bytes"]).decode() == score["token"]


async def test_teacher_forcing_gives_the_log_probabilities_of_the_answer(embedded: Served) -> None:
    answer = await embedded.body(
        CHAT, messages=KENYA, seed=3, max_tokens=20, logprobs=True, return_token_ids=True
    )
    token_ids = answer["choices"][0]["token_ids"]
    audit = await embedded.body(
        COMPLETIONS, prompt=[*KENYA_IDS, *token_ids], max_tokens=1, prompt_logprobs=1, temperature=0
    )
    entries = audit["choices"][0]["prompt_logprobs"]
    assert entries[0] is None
    forced = [entry[str(token)] for token, entry in zip(token_ids, entries[len(KENYA_IDS) :], strict=True)]
    said = [score["logprob"] for score in answer["choices"][0]["logprobs"]["content"]]
    assert [entry["logprob"] for entry in forced] == pytest.approx(said, abs=1e-3)
    assert all(entry["rank"] >= 1 for entry in forced)
    assert all(len(entry) <= 2 for entry in entries[1:])


async def test_company_does_not_change_an_answer(embedded: Served) -> None:
    async def ask(i: int) -> str:
        content = f"What is {i} plus 2?"
        body = await embedded.body(
            CHAT, messages=[{"role": "user", "content": content}], temperature=0, max_tokens=12
        )
        return str(body["choices"][0]["message"]["content"])

    alone = [await ask(i) for i in range(3 * SLOTS)]
    assert await asyncio.gather(*map(ask, range(3 * SLOTS))) == alone


async def test_an_answer_ends_at_a_stop_string(embedded: Served) -> None:
    body = await embedded.body(CHAT, messages=KENYA, temperature=0, stop=["rob"], return_token_ids=True)
    choice = body["choices"][0]
    assert choice["message"]["content"] == "The capital of Kenya is Nai"
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "rob")
    assert body["usage"]["completion_tokens"] == len(choice["token_ids"]) == 13
    chunks = await embedded.chunks(CHAT, messages=KENYA, temperature=0, stop="rob")
    said = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert said == choice["message"]["content"]
    assert chunks[-1]["choices"][0]["stop_reason"] == "rob"


async def test_an_answer_ends_at_its_length(embedded: Served) -> None:
    body = await embedded.body(CHAT, messages=KENYA, temperature=0, max_tokens=9, max_completion_tokens=4)
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 4
    body = await embedded.body(COMPLETIONS, prompt="The file", temperature=0, ignore_eos=True)
    assert body["usage"]["completion_tokens"] == 16
    body = await embedded.body(COMPLETIONS, prompt=[5] * 1020, ignore_eos=True, max_tokens=100)
    assert body["usage"] == {**body["usage"], "prompt_tokens": 1020, "completion_tokens": 4}


async def test_choices_of_several_prompts_stand_in_order(embedded: Served) -> None:
    asked = {"n": 2, "seed": 1, "temperature": 1, "max_tokens": 3, "return_token_ids": True, "logprobs": 0}
    body = await embedded.body(COMPLETIONS, prompt=["The file is", "Hello there"], **asked)
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    prompts = [choice["prompt_token_ids"] for choice in body["choices"]]
    assert prompts[0] == prompts[1] == [396, 374, 285] != prompts[2] == prompts[3]
    assert body["usage"]["completion_tokens"] == 12
    streamed = [""] * 4
    for chunk in await embedded.chunks(COMPLETIONS, prompt=["The file is", "Hello there"], **asked):
        streamed[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert streamed == [choice["text"] for choice in body["choices"]]


async def test_an_echo_repeats_the_prompt_with_its_scores(embedded: Served) -> None:
    asked = {"prompt": "The file is", "max_tokens": 2, "temperature": 0, "echo": True, "logprobs": 1}
    choice = (await embedded.body(COMPLETIONS, **asked))["choices"][0]
    assert choice["text"] == "The file is a file"
    assert choice["logprobs"]["tokens"] == ["The", " file", " is", " a", " file"]
    assert choice["logprobs"]["text_offset"] == [0, 3, 8, 11, 13]
    assert choice["logprobs"]["token_logprobs"][0] is None
    chunks = await embedded.chunks(COMPLETIONS, **asked)
    assert chunks[0]["choices"][0]["text"] == "The file is a"
    offsets = [at for chunk in chunks for at in chunk["choices"][0]["logprobs"]["text_offset"]]
    assert offsets == choice["logprobs"]["text_offset"]


async def test_tools_and_formats_get_plain_text(embedded: Served) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    body = await embedded.body(
        CHAT,
        messages=KENYA,
        temperature=0,
        tools=[tool],
        tool_choice="required",
        response_format={"type": "json_object"},
    )
    assert body["choices"][0]["message"]["content"].endswith("Nairobi.")


async def test_parts_of_a_message_are_lines(embedded: Served) -> None:
    parts = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]
    body = await embedded.body("/tokenize", messages=[{"role": "user", "content": parts}])
    assert body == {"count": 8, "max_model_len": 1024, "tokens": [2, 44, 77, 203, 1508, 266, 203, 3]}
    assert (await embedded.body("/tokenize", prompt="Hello there"))["tokens"] == [44, 1607, 83, 785]


REFUSED = [
    (CHAT, {"messages": KENYA, "model": "other"}, 404, "model"),
    (CHAT, {"messages": KENYA, "temperature": 0, "n": 2}, 400, "n"),
    (CHAT, {"messages": KENYA, "n": 0}, 400, "n"),
    (CHAT, {"messages": KENYA, "n": 100_000}, 400, "n"),
    (CHAT, {"messages": KENYA, "temperature": -1}, 400, "temperature"),
    (CHAT, {"messages": KENYA, "top_p": 0}, 400, "top_p"),
    (CHAT, {"messages": KENYA, "max_tokens": 0}, 400, "max_tokens"),
    (CHAT, {"messages": KENYA, "max_tokens": 5000}, 400, "max_tokens"),
    (CHAT, {"messages": KENYA, "max_tokens": "many"}, 400, "body.max_tokens"),
    (CHAT, {"messages": KENYA, "top_logprobs": 2}, 400, "top_logprobs"),
    (CHAT, {"messages": KENYA, "logprobs": True, "top_logprobs": 21}, 400, "logprobs"),
    (CHAT, {"messages": KENYA, "stream_options": {"include_usage": True}}, 400, "stream_options"),
    (CHAT, {"messages": KENYA, "stream": True, "prompt_logprobs": 1}, 400, "prompt_logprobs"),
    (CHAT, {"messages": [{"role": "user", "content": "word " * 1100}]}, 400, "input_tokens"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages"),
    (CHAT, {"messages": []}, 400, "messages"),
    (CHAT, {}, 400, "body.messages"),
    (CHAT, ["not", "an", "object"], 400, "body"),
    (COMPLETIONS, {"prompt": ""}, 400, "prompt"),
    (COMPLETIONS, {"prompt": []}, 400, "prompt"),
    (COMPLETIONS, {"prompt": [99_999]}, 400, "prompt"),
    (COMPLETIONS, {"prompt": "Hi", "prompt_logprobs": -1}, 400, "prompt_logprobs"),
]


@pytest.mark.parametrize(("path", "body", "status", "param"), REFUSED)
async def test_what_cannot_be_served_is_refused(
    embedded: Served, path: str, body: object, status: int, param: str
) -> None:
    actual, answer = await embedded.post(path, body)
    error = answer["error"]
    assert (actual, error["code"], error["param"]) == (status, status, param)
    assert error["type"] == ("NotFoundError" if status == 404 else "BadRequestError")
    assert len(error["message"]) < 300


async def test_who_leaves_frees_the_slot(embedded: Served) -> None:
    batch = embedded.batch
    assert batch is not None
    endless = {"messages": KENYA, "ignore_eos": True, "max_tokens": 1000}
    callers = [
        asyncio.create_task(embedded.body(CHAT, **endless)),
        *(asyncio.create_task(embedded.chunks(CHAT, **endless)) for _ in range(SLOTS)),
    ]
    await until(lambda: (batch.running, batch.waiting) == (SLOTS, 1))
    _, metrics = await embedded.get("/metrics")
    assert f'vllm:num_requests_running{{engine="0",model_name="good"}} {SLOTS}.0' in metrics
    assert 'vllm:num_requests_waiting{engine="0",model_name="good"} 1.0' in metrics
    assert 0 < float(metrics.split()[-1]) < 1
    assert metrics.split()[-2] == 'vllm:kv_cache_usage_perc{engine="0",model_name="good"}'
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await until(lambda: (batch.running, batch.waiting) == (0, 0))
    assert batch.cache_used == 0
    await test_it_knows_the_capital_of_kenya(embedded)


async def test_it_says_what_it_serves(embedded: Served) -> None:
    assert await embedded.get("/health") == (200, "")
    async with embedded.session.get(embedded.url + "/v1/models") as response:
        models = (await response.json())["data"]
    assert [(model["id"], model["max_model_len"]) for model in models] == [("good", 1024)]


async def test_it_says_one_of_the_choices_where_it_is_to(embedded: Served) -> None:
    """Of several tokens too."""
    asked = [{"role": "user", "content": "What is the capital of Kenya?"}]
    for choices in (["A", "B", "C"], ["Nairobi", "Mombasa is", "Kisumu"]):
        answer = await embedded.body(
            "/v1/chat/completions",
            messages=asked,
            temperature=0,
            structured_outputs={"choice": choices},
            return_token_ids=True,
        )
        said = answer["choices"][0]
        assert said["message"]["content"] in choices
        assert said["finish_reason"] == "stop"


async def test_a_verdict_takes_one_token(embedded: Served) -> None:
    for body in requests("good", "What is the capital of Kenya?", "Nairobi.", "Mombasa."):
        answer = await embedded.body("/v1/chat/completions", **json.loads(body))
        assert letter_of(answer) in CHOICES
        assert answer["usage"]["completion_tokens"] == 1
