"""Which token comes next."""

from collections import Counter

import numpy as np
import pytest

from tallystick_node.engine.openai_requests import Request
from tallystick_node.engine.sampling import Logits, Sampler, logprobs_of

LOGITS: Logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))


def draws(count: int, **fields: object) -> list[int]:
    sampler = Sampler(Request.model_validate(fields), 0, (), len(LOGITS))
    return [sampler.draw(LOGITS) for _ in range(count)]


def test_probabilities_add_up_to_one() -> None:
    logits = np.random.default_rng(1).normal(0, 30, (50, 2048)).astype(np.float32)
    assert np.exp(logprobs_of(logits)).sum(axis=-1) == pytest.approx(np.ones(50), abs=1e-12)


def test_greedy_draws_the_likeliest() -> None:
    assert draws(20, temperature=0) == [0] * 20


def test_each_token_comes_as_often_as_it_is_likely() -> None:
    shares = Counter(draws(4000, seed=7))
    assert [shares[token] / 4000 for token in range(4)] == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_a_seed_repeats_its_draws() -> None:
    assert draws(50, seed=5) == draws(50, seed=5) != draws(50, seed=6)


def test_the_choices_of_a_seed_differ() -> None:
    one, other = (Sampler(Request(seed=5), choice, (), 4) for choice in (0, 1))
    assert [one.draw(LOGITS) for _ in range(50)] != [other.draw(LOGITS) for _ in range(50)]


@pytest.mark.parametrize(
    ("fields", "possible"),
    [
        ({"top_p": 0.5}, {0}),
        ({"top_p": 0.7}, {0, 1}),
        ({"top_k": 3}, {0, 1, 2}),
        ({"min_p": 0.4}, {0, 1}),
        ({"logit_bias": {3: 100}}, {3}),
    ],
)
def test_filters_leave_the_likeliest(fields: dict[str, object], possible: set[int]) -> None:
    assert set(draws(300, seed=1, **fields)) == possible


def test_penalties_make_a_token_rarer_once_it_was_said() -> None:
    assert draws(4, temperature=0, frequency_penalty=0.6) == [0, 1, 0, 1]
    assert draws(3, temperature=0, presence_penalty=2) == [0, 1, 2]


def test_a_barred_token_never_comes() -> None:
    sampler = Sampler(Request(temperature=0), 0, (), 4)
    assert sampler.draw(LOGITS, never=(0, 1, 99_999, -7)) == 2
