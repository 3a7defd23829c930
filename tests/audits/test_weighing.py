"""Scales out of distances: what they promise an honest provider, and what they make of cheats.

The distances here are made up, drawn anew from the frequencies that a scale was made of: they hold the
weighing to its arithmetic, and say nothing of engines. What a real engine's 10,000 honest answers did is
measured by `scripts/calibrate`, and told in docs/audits.md.
"""

import random
from math import exp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.evidence import MILLION, Evidence, Scale, Scales
from tallystick.protocol.finding import Check
from tallystick_node.quality.weighing import CUT, EDGES, honest_bounds, poisson_upper, scale

distances = st.lists(st.integers(0, 2_000_000), max_size=30)


def drawn(seed: int, answers: int, chances: dict[int, float], length: int = 25) -> list[list[int]]:
    """Answers in which each token has one of these distances, else none."""
    draw = random.Random(seed)
    kinds, weights = [0, *chances], [1 - sum(chances.values()), *chances.values()]
    return [draw.choices(kinds, weights, k=length) for _ in range(answers)]


HONEST = {2_000: 0.001}
INT4 = {5_000: 0.01, 50_000: 0.03, 200_000: 0.02, 2_000_000: 0.005}


@pytest.fixture(scope="module")
def made() -> Scale:
    return scale(Check.RANK, drawn(1, 2_000, HONEST), {"int4": drawn(2, 200, INT4)}, checks=3)


def test_ten_thousand_answers_drawn_with_the_frequencies_of_the_scale_are_not_struck(made: Scale) -> None:
    evidence = Evidence()
    for answer in drawn(3, 10_000, HONEST):
        evidence = evidence.after(made, answer)

    assert evidence.highest < made.strike


def test_a_rounded_copy_is_struck_and_so_is_one_cut_answer_in_two(made: Scale) -> None:
    for answers in (drawn(4, 60, INT4), [[0] * 12 + [8_000_000], [0] * 25] * 5):
        evidence = Evidence()
        for answer in answers:
            evidence = evidence.after(made, answer)
        assert evidence.highest >= made.strike


def test_being_honest_first_gains_a_cheat_nothing(made: Scale) -> None:
    evidence = Evidence()
    for answer in [[0] * 25] * 1_000:
        evidence = evidence.after(made, answer)
    cheats = drawn(5, 60, INT4)
    late, fresh = evidence, Evidence()
    for answer in cheats:
        late, fresh = late.after(made, answer), fresh.after(made, answer)

    assert late.sums == fresh.sums


@given(
    st.lists(distances, min_size=1, max_size=40).filter(lambda answers: any(answers)),
    st.lists(distances, max_size=20),
)
def test_no_kind_grows_in_the_mean_of_honest_tokens(honest: list[list[int]], cheats: list[list[int]]) -> None:
    """What Ville's inequality asks for: the mean of exp(weight) over the honest bounds is at most 1."""
    made = scale(Check.RANK, honest, {"cheat": cheats}, checks=3)
    bounds = honest_bounds(honest, made.edges)

    assert sum(bounds) == pytest.approx(1)
    for weights in made.weights.values():
        assert (
            sum(bound * exp(weight / MILLION) for bound, weight in zip(bounds, weights, strict=True))
            <= 1 + 1e-9
        )
        assert list(weights) == sorted(weights)


@given(st.lists(distances, min_size=1, max_size=20).filter(lambda answers: any(answers)))
def test_bounds_are_above_what_was_seen(honest: list[list[int]]) -> None:
    edges = EDGES[Check.RANK]
    bounds, tokens = honest_bounds(honest, edges), [d for answer in honest for d in answer]
    for i, edge in enumerate(edges):
        assert sum(bounds[i + 1 :]) >= min(1, sum(d > edge for d in tokens) / len(tokens)) - 1e-9


def test_what_comes_in_clusters_is_known_less_well() -> None:
    spread = [[0] * 9 + [5_000_000]] * 50 + [[0] * 10] * 50
    clustered = [[5_000_000] * 10] * 5 + [[0] * 10] * 95

    assert honest_bounds(clustered, (0,))[1] > honest_bounds(spread, (0,))[1]


@pytest.mark.parametrize(("count", "upper"), [(0, 6.908), (1, 9.233), (10, 24.1), (1_000, 1_101)])
def test_upper_bounds_of_rare_things(count: int, upper: float) -> None:
    assert poisson_upper(count) == pytest.approx(upper, rel=0.01)


@settings(max_examples=30)
@given(st.lists(distances, max_size=10))
def test_evidence_never_falls_below_zero_at_an_answers_beginning(answers: list[list[int]]) -> None:
    made = Scale(check=Check.RANK, edges=(0,), weights={"x": (-1_000, 5_000), CUT: (-1, 2)}, strike=1)
    evidence, highest = Evidence(), 0
    for answer in answers:
        before = dict(evidence.sums)
        evidence = evidence.after(made, answer)
        for kind, total in evidence.sums:
            assert total == max(0, before.get(kind, 0)) + made.weigh(answer)[kind]
        assert evidence.highest >= highest
        highest = evidence.highest
    assert evidence.answers == len(answers)


HEAD = b'{"model": "m", "precision": "p", "sampler": "s", "ends": [], '
LIKELY = b'"likelihood": {"mean": 0, "deviation": 1, "alarm": 5}, '


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        HEAD + b'"likelihood": {}, "checks": {}}',
        HEAD + LIKELY + b'"checks": {"rank": {"edges": [1, 0], "weights": {"x": [1, 2, 3]}, "strike": 1}}}',
        HEAD + LIKELY + b'"checks": {"rank": {"edges": [0], "weights": {"x": [1]}, "strike": 1}}}',
        HEAD + LIKELY + b'"checks": {"rank": {"edges": [0], "weights": {"x": [1.5, 2]}, "strike": 1}}}',
        HEAD + LIKELY + b'"checks": {"rank": {"edges": [0], "weights": {"x": [1, 2]}, "strike": 0}}}',
        HEAD + LIKELY + b'"checks": {"guess": {"edges": [0], "weights": {"x": [1, 2]}, "strike": 1}}}',
    ],
)
def test_what_is_no_scale_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedMessage):
        Scales.read(text)
