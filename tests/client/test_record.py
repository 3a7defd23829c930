"""What a payer remembers: promises against what came of them, failures, and how long answers are."""

from math import exp

from hypothesis import given
from hypothesis import strategies as st

from tallystick.client.record import Record
from tallystick.protocol.rating import HIGHEST, LOWEST
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Address, Milliseconds, Tokens

ONE, OTHER = Address(b"\1" * 20), Address(b"\2" * 20)
START = Milliseconds(10**12)
PROMISED = Pace(1.0, 0.02)
_paces = st.builds(Pace, st.floats(0, 10**4), st.floats(0, 10**3))


def at(seconds: float) -> Milliseconds:
    return Milliseconds(START + int(1_000 * seconds))


def slower(times: float) -> Pace:
    return Pace(PROMISED.first_s * times, PROMISED.token_s * times)


def answers(record: Record, count: int, times: float, *, seconds: float = 0) -> None:
    for _ in range(count):
        record.observe(ONE, PROMISED, slower(times), 200, now=at(seconds))


def test_who_is_unknown_is_what_others_say() -> None:
    assert Record().ratio(ONE, 1.0, now=START) == 1
    assert abs(Record().ratio(ONE, 3.0, now=START) - 3) < 1e-9


def test_ones_own_answers_outweigh_what_others_say() -> None:
    record = Record()
    answers(record, 20, 4)
    assert 3 < record.ratio(ONE, 1.0, now=START) < 4
    assert record.ratio(OTHER, 1.0, now=START) == 1


def test_one_answer_says_less_than_many() -> None:
    few, many = Record(), Record()
    answers(few, 1, 4)
    answers(many, 10, 4)
    assert 1 < few.ratio(ONE, 1.0, now=START) < many.ratio(ONE, 1.0, now=START)


def test_what_was_long_ago_is_nearly_forgotten() -> None:
    record = Record()
    answers(record, 20, 10)
    ratios = [record.ratio(ONE, 1.0, now=at(seconds)) for seconds in (0, 300, 900, 3_600)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 6
    assert ratios[-1] < 1.1


def test_the_newest_answers_count_most() -> None:
    record = Record()
    answers(record, 20, 8)
    answers(record, 8, 1)
    assert record.ratio(ONE, 1.0, now=START) < 2


def test_a_late_first_token_tells_of_a_quiet_queue() -> None:
    record = Record()
    record.begun(ONE, PROMISED, 20.0, now=START)
    assert record.ratio(ONE, 1.0, now=START) > 2


def test_nobody_is_blamed_for_the_way_to_it() -> None:
    """A hundredth of a second promised, a tenth taken: that is the network."""
    record = Record()
    for _ in range(20):
        record.observe(ONE, Pace(0.01, 0.0), Pace(0.1, 0.0), 1, now=START)
    assert record.ratio(ONE, 1.0, now=START) < 2


def test_what_varies_spreads() -> None:
    steady, wild = Record(), Record()
    for i in range(40):
        steady.observe(ONE, PROMISED, slower(1), 200, now=START)
        wild.observe(ONE, PROMISED, slower(4 if i % 2 else 0.25), 200, now=START)
    assert steady.spread(ONE) < 0.1 < Record().spread(ONE) < wild.spread(ONE)
    assert wild.ratio(ONE, 1.0, now=START) * exp(1.64 * wild.spread(ONE)) > 4


def test_a_rating_is_ones_own_finding() -> None:
    record = Record()
    assert record.rating(ONE) == (1_000_000, 0)
    answers(record, 3, 2)
    ratio, count = record.rating(ONE)
    assert count == 3
    assert 1_900_000 < ratio <= 2_000_000


@given(
    st.lists(st.tuples(_paces, _paces, st.integers(0, 2**32), st.integers(-(10**6), 10**6)), max_size=20),
    st.floats(0, 10**6),
)
def test_no_ratio_leaves_its_bounds(found: list[tuple[Pace, Pace, int, int]], shared: float) -> None:
    """Neither by a quote of nothing nor by an age of waiting, nor by a clock that goes back."""
    record = Record()
    for promised, observed, tokens, seconds in found:
        record.observe(ONE, promised, observed, tokens, now=at(seconds))
        record.begun(ONE, promised, observed.first_s, now=at(seconds))
    assert LOWEST - 1e-9 <= record.ratio(ONE, shared, now=START) <= HIGHEST + 1e-9
    assert record.spread(ONE) >= 0
    assert 0 < record.rating(ONE)[0] < 2**64


def test_who_failed_rests_the_longer_the_more_often() -> None:
    record = Record()
    assert not record.resting(ONE, now=START)
    record.failed(ONE, now=START)
    assert record.resting(ONE, now=at(0.9))
    assert not record.resting(OTHER, now=at(0.9))
    assert not record.resting(ONE, now=at(1))
    for second in range(1, 40):
        record.failed(ONE, now=at(60 * second))
    assert record.resting(ONE, now=at(60 * 39 + 59))
    assert not record.resting(ONE, now=at(60 * 40))
    record.answered(ONE, "m", 10)
    assert not record.resting(ONE, now=at(60 * 39 + 1))


def test_many_requests_that_fail_at_once_are_one_failure() -> None:
    record = Record()
    for _ in range(50):
        record.failed(ONE, now=START)
    assert not record.resting(ONE, now=at(1))


def test_answers_are_as_long_as_they_were() -> None:
    record = Record()
    assert record.typical_output("m", Tokens(256)) == 256
    for _ in range(100):
        record.answered(ONE, "m", 500)
    assert record.typical_output("m", Tokens(256)) == 500
    assert record.typical_output("n", Tokens(256)) == 256
