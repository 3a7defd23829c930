"""Payer and provider, over the same payloads, see the same answer at every moment of it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.receipt import Finish
from tallystick.protocol.transcript import Counts, Transcript, tokens_hash
from tallystick.protocol.units import ZERO_HASH, Hash32

SEEN = (
    "response_hash",
    "tokens_hash",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "finish",
)
hashes = st.from_type(Hash32)
token_ids = st.lists(st.integers(0, 2**32 - 1), max_size=4)
scores = st.floats(-1e9, 0) | st.integers(-(10**400), 1)

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
"""What any peer may send."""


def or_anything(strategy):
    return strategy | any_json


def shaped(**members):
    """An object that lacks any of these members, or has anything in their place."""
    return st.fixed_dictionaries({}, optional={name: or_anything(value) for name, value in members.items()})


hostile_chunks = or_anything(
    shaped(
        prompt_token_ids=token_ids,
        choices=st.lists(
            or_anything(
                shaped(
                    token_ids=token_ids,
                    text=st.text(max_size=3),
                    logprobs=shaped(
                        content=st.lists(shaped(logprob=scores), max_size=4),
                        token_logprobs=st.lists(or_anything(scores), max_size=4),
                    ),
                    delta=shaped(content=st.text(max_size=3), tool_calls=st.just([{}])),
                    finish_reason=st.sampled_from(["stop", "length", "tool_calls", "?"]),
                )
            ),
            max_size=3,
        ),
        usage=shaped(
            prompt_tokens=st.integers(-5, 2**33),
            completion_tokens=st.integers(-5, 2**33),
            prompt_tokens_details=shaped(cached_tokens=st.integers(-5, 2**33)),
        ),
    )
)
honest_chunks = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries({"index": st.integers(0, 3), "token_ids": token_ids}), max_size=3
        )
    }
)


def seen(transcript):
    return {name: getattr(transcript, name) for name in SEEN}


def provider_side(transcript, counts, chunk):
    """Counts the chunk before it is sent, makes its payload, and returns that."""
    payload = json.dumps(chunk).encode()
    before = seen(transcript)
    said = counts.add(chunk)
    assert seen(transcript) == before
    transcript.add_payload(payload)
    transcript.follow(counts, said)
    return payload


def payer_side(transcript, payload):
    transcript.add_payload(payload)
    transcript.add_counts(json.loads(payload))


@given(hashes, st.lists(hostile_chunks, max_size=6))
def test_payer_and_provider_agree_after_every_payload(request_hash, chunks):
    counts, provider, payer = Counts(), Transcript(request_hash), Transcript(request_hash)

    for chunk in chunks:
        payer_side(payer, provider_side(provider, counts, chunk))
        assert seen(payer) == seen(provider)


@given(hashes, st.lists(hostile_chunks, max_size=6))
def test_whatever_comes_counts_are_counts_and_never_fall(request_hash, chunks):
    counts, transcript = Counts(), Transcript(request_hash)
    before = seen(transcript)

    for chunk in chunks:
        provider_side(transcript, counts, chunk)
        now = seen(transcript)
        assert now["output_tokens"] >= before["output_tokens"] >= 0
        assert now["input_tokens"] >= before["input_tokens"] >= 0
        assert 0 <= before["cached_input_tokens"] <= now["cached_input_tokens"] <= now["input_tokens"]
        assert now["finish"] is None or isinstance(now["finish"], Finish)
        assert len(now["tokens_hash"]) == len(now["response_hash"]) == 32
        before = now


@given(hashes, st.lists(st.binary(max_size=20), max_size=8))
def test_the_response_hash_is_the_chain_over_the_payloads(request_hash, payloads):
    transcript, expected = Transcript(request_hash), request_hash

    assert transcript.response_hash == request_hash
    for payload in payloads:
        transcript.add_payload(payload)
        expected = keccak(expected + keccak(payload))
        assert transcript.response_hash == expected


@given(hashes, st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_no_other_cut_or_order_of_the_bytes_has_the_same_hash(request_hash, one, other):
    first, second = Transcript(request_hash), Transcript(request_hash)
    for payload in one:
        first.add_payload(payload)
    for payload in other:
        second.add_payload(payload)

    assert (first.response_hash == second.response_hash) == (one == other)


@given(hashes, st.lists(honest_chunks, max_size=8))
def test_output_is_counted_and_hashed_by_token_ids_in_the_order_they_came(request_hash, chunks):
    transcript = Transcript(request_hash)
    for chunk in chunks:
        transcript.add_counts(chunk)

    ids = [item for chunk in chunks for choice in chunk["choices"] for item in choice["token_ids"]]
    encoded = b"".join(item.to_bytes(4, "big") for item in ids)
    assert transcript.output_tokens == len(ids)
    assert transcript.tokens_hash == (keccak(keccak(encoded) + ZERO_HASH) if ids else ZERO_HASH)


@given(
    hashes,
    st.lists(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.floats(-1e9, 0)), min_size=1, max_size=4)),
)
def test_however_an_answer_is_cut_into_payloads_its_tokens_have_one_hash(request_hash, pieces):
    transcript = Transcript(request_hash)
    for piece in pieces:
        ids, logprobs = zip(*piece, strict=True)
        transcript.add_counts(
            {"choices": [{"token_ids": [*ids], "logprobs": {"token_logprobs": [*logprobs]}}]}
        )

    said = [token for piece in pieces for token in piece]
    assert transcript.tokens_hash == tokens_hash([token for token, _ in said], [score for _, score in said])


@given(hashes, token_ids.filter(len), st.integers(0, 2**32 - 1))
def test_usage_cannot_inflate_what_token_ids_count(request_hash, ids, claimed):
    transcript = Transcript(request_hash)
    transcript.add_counts({"choices": [{"token_ids": ids}]})
    transcript.add_counts({"choices": [], "usage": {"completion_tokens": claimed}})

    assert transcript.output_tokens == len(ids)
