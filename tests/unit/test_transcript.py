"""Answers in OpenAI's shape, as engines give them."""

import pytest

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.receipt import Finish
from tallystick.protocol.transcript import TEXTLESS_ALLOWANCE, Transcript, tokens_hash
from tallystick.protocol.units import ZERO_HASH


@pytest.fixture
def transcript():
    return Transcript(keccak(b"request"))


def chunk(*, ids=None, content=None, finish=None, usage=None):
    choice = {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}
    if ids is not None:
        choice["token_ids"] = ids
    return {"choices": [choice], "usage": usage}


def test_nothing_said_is_nothing_counted(transcript):
    assert (transcript.input_tokens, transcript.cached_input_tokens, transcript.output_tokens) == (0, 0, 0)
    assert transcript.response_hash == keccak(b"request")
    assert transcript.tokens_hash == ZERO_HASH
    assert transcript.finish is None


def test_token_ids_are_counted_and_hashed_across_choices_in_order(transcript):
    transcript.add_counts({"choices": [{"token_ids": [1, 2]}, {"token_ids": [3]}]})
    transcript.add_counts({"choices": [{"token_ids": [4]}]})

    assert transcript.output_tokens == 4
    ids = keccak(bytes.fromhex("00000001000000020000000300000004"))
    assert transcript.tokens_hash == keccak(ids + ZERO_HASH) == tokens_hash([1, 2, 3, 4])


def test_the_hash_can_be_read_in_mid_answer(transcript):
    transcript.add_counts(chunk(ids=[1]))
    early = transcript.tokens_hash
    transcript.add_counts(chunk(ids=[2]))

    assert early == tokens_hash([1])
    assert transcript.tokens_hash == tokens_hash([1, 2])


def chat_scores(*values):
    return {"content": [{"token": "x", "logprob": value, "top_logprobs": []} for value in values]}


def completion_scores(*values):
    return {"tokens": ["x"] * len(values), "token_logprobs": list(values), "text_offset": []}


@pytest.mark.parametrize("scores", [chat_scores, completion_scores])
def test_log_probabilities_are_hashed_beside_their_tokens(transcript, scores):
    transcript.add_counts({"choices": [{"token_ids": [1, 2], "logprobs": scores(-0.5, -2)}]})
    transcript.add_counts({"choices": [{"token_ids": [3], "logprobs": scores(-9999.0)}]})

    doubles = bytes.fromhex("bfe0000000000000c000000000000000c0c3878000000000")
    ids = keccak(bytes.fromhex("000000010000000200000003"))
    assert (
        transcript.tokens_hash == keccak(ids + keccak(doubles)) == tokens_hash([1, 2, 3], [-0.5, -2, -9999])
    )


def test_one_answer_with_other_log_probabilities_or_none_has_another_hash():
    hashes = {tokens_hash([7], scores) for scores in ([], [-1.0], [-1.0000000000000002], [-0.0], [0.0])}

    assert len(hashes) == 5


@pytest.mark.parametrize(
    "absurd",
    [
        chat_scores(-0.5),
        chat_scores(-0.5, -0.5, -0.5),
        chat_scores(-0.5, None),
        chat_scores(-0.5, True),
        chat_scores(-0.5, "-0.5"),
        chat_scores(-0.5, 0.1),
        chat_scores(-0.5, -(10**400)),
        completion_scores(None, -0.5),
        {"content": [None, None]},
        {"content": None, "token_logprobs": 3},
        {},
        [],
        None,
    ],
)
def test_absurd_log_probabilities_are_none(transcript, absurd):
    """Both sides read them alike, so an engine's slip is nobody's lie."""
    transcript.add_counts({"choices": [{"token_ids": [1, 2], "logprobs": absurd}]})

    assert transcript.tokens_hash == tokens_hash([1, 2])


def test_log_probabilities_without_tokens_are_none(transcript):
    transcript.add_counts({"choices": [{"logprobs": chat_scores()}, {"logprobs": chat_scores(-1.0)}]})

    assert transcript.tokens_hash == ZERO_HASH


def test_usage_counts_where_there_are_no_ids(transcript):
    transcript.add_counts(chunk(content="Hello, "))
    transcript.add_counts(chunk(usage={"prompt_tokens": 7, "completion_tokens": 12}))

    assert (transcript.input_tokens, transcript.output_tokens) == (7, 12)
    assert transcript.tokens_hash == ZERO_HASH


def test_no_usage_counts_beyond_what_the_text_can_hold(transcript):
    """A token has a byte at least; the end, a stop string and markers may leave none."""
    transcript.add_counts(chunk(usage={"completion_tokens": 5_000}))
    assert transcript.output_tokens == 0

    transcript.add_counts(chunk(content="ten bytes."))
    assert transcript.output_tokens == 10 + TEXTLESS_ALLOWANCE


def test_a_delta_counts_one_where_there_is_neither(transcript):
    for item in (
        chunk(content=""),
        chunk(content="a"),
        {"choices": [{"text": "b"}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]},
    ):
        transcript.add_counts(item)

    assert transcript.output_tokens == 3


def test_output_never_falls_when_a_better_source_speaks_late(transcript):
    """What an interim receipt was made of stays true, or the difference to it would be negative."""
    for _ in range(5):
        transcript.add_counts(chunk(content="a"))
    transcript.add_counts(chunk(usage={"completion_tokens": 3}))
    transcript.add_counts(chunk(ids=[1]))

    assert transcript.output_tokens == 5


def test_the_prompts_ids_count_the_input_too(transcript):
    transcript.add_counts({"prompt_token_ids": [1, 2, 3], "choices": []})

    assert transcript.input_tokens == 3


def test_no_more_is_cached_than_came_in(transcript):
    usage = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 64}}
    transcript.add_counts({"choices": [], "usage": usage})

    assert (transcript.input_tokens, transcript.cached_input_tokens) == (10, 10)


@pytest.mark.parametrize("absurd", [-1, 1 << 32, 10**30, 1.5, True, "7", None, [7]])
def test_absurd_counts_count_nothing(transcript, absurd):
    usage = {
        "prompt_tokens": absurd,
        "completion_tokens": absurd,
        "prompt_tokens_details": {"cached_tokens": absurd},
    }
    transcript.add_counts({"choices": [], "usage": usage})

    assert (transcript.input_tokens, transcript.cached_input_tokens, transcript.output_tokens) == (0, 0, 0)


@pytest.mark.parametrize("absurd", [[-1], [1 << 32], [True], ["1"], [1.0], [1, None], "12", {"1": 2}])
def test_absurd_token_ids_count_nothing(transcript, absurd):
    transcript.add_counts(chunk(ids=absurd))

    assert (transcript.output_tokens, transcript.tokens_hash) == (0, ZERO_HASH)


@pytest.mark.parametrize("absurd", [None, 1, "data", [], [{}], {"choices": {}}, {"choices": [None, 3, "x"]}])
def test_what_is_no_answer_counts_nothing(transcript, absurd):
    transcript.add_counts(absurd)

    assert (transcript.output_tokens, transcript.finish) == (0, None)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        (None, None),
        ("stop", Finish.STOP),
        ("length", Finish.LENGTH),
        ("tool_calls", Finish.TOOL_CALLS),
        ("function_call", Finish.TOOL_CALLS),
        ("content_filter", Finish.CONTENT_FILTER),
        ("repetition", Finish.OTHER),
        (["stop"], None),
    ],
)
def test_the_engines_reason_to_finish_is_named(transcript, reason, finish):
    transcript.add_counts(chunk(content="x", finish=reason))

    assert transcript.finish is finish
