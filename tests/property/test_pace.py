"""What a provider's constants and load let one expect."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.speed import Load, Speed, pace, slowdown_s
from tallystick.protocol.units import Tokens

A100 = Speed(
    fixed=10**9,
    sequence=55 * 10**6,
    weights=10_037 * 10**6,
    token=68_540_000,
    context=120_530,
    capacity=Tokens(403_011),
    chunk=Tokens(2_048),
)
IDLE = Load(running=0, waiting=0, context=Tokens(0), queued=Tokens(0))
_anything = st.integers(0, 2**64 - 1)


def busy(running: int, queued: int = 0) -> Load:
    return Load(running=running, waiting=0, context=Tokens(1_260 * running), queued=Tokens(queued))


def test_an_idle_engine_takes_its_steps_and_no_more() -> None:
    expected = pace(A100, IDLE, input_tokens=4_096, output_tokens=100)
    assert expected.first_s == 2 * A100.step_s(sequences=0, context=0, prompt=2_048)
    assert expected.token_s == A100.step_s(sequences=1, context=4_146)


def test_the_prompts_of_those_that_follow_slow_each_token() -> None:
    """Forty sequences of 211 tokens: one ends about every fifth step, and another prompt comes."""
    expected = pace(A100, busy(40), input_tokens=1_155, output_tokens=211)
    alone = A100.step_s(sequences=41, context=40 * 1_260 + 1_260)
    assert 1.4 < expected.token_s / alone < 1.9


def test_a_full_memory_has_to_be_waited_for() -> None:
    small = replace(A100, capacity=Tokens(36_023))
    room, full = (pace(small, busy(n), input_tokens=1_155, output_tokens=211).first_s for n in (20, 40))
    assert full > room + 1


def test_what_is_not_told_limits_nothing() -> None:
    unlimited = replace(A100, capacity=Tokens(0), chunk=Tokens(0))
    expected = pace(unlimited, IDLE, input_tokens=4_096, output_tokens=100)
    assert expected.first_s == A100.step_s(sequences=0, context=0, prompt=4_096)


@given(
    speed=st.builds(
        Speed,
        fixed=_anything,
        sequence=_anything,
        weights=_anything,
        token=_anything,
        context=_anything,
        capacity=_anything,
        chunk=_anything,
    ),
    load=st.builds(Load, running=_anything, waiting=_anything, context=_anything, queued=_anything),
    size=st.tuples(_anything, _anything),
)
def test_no_numbers_are_too_strange_to_predict_by(speed: Speed, load: Load, size: tuple[int, int]) -> None:
    """Constants and load are a stranger's word."""
    expected = pace(speed, load, input_tokens=size[0], output_tokens=size[1])
    assert 0 <= expected.first_s < float("inf")
    assert 0 <= expected.token_s < float("inf")
    assert slowdown_s(speed, load, input_tokens=size[0], output_tokens=size[1]) < float("inf")


@given(st.integers(0, 100), st.integers(0, 50_000), st.integers(1, 50_000))
def test_more_to_do_is_never_sooner_done(running: int, queued: int, more: int) -> None:
    lighter, heavier = (
        pace(A100, busy(running, prompts), input_tokens=1_000, output_tokens=200).total_s(200)
        for prompts in (queued, queued + more)
    )
    assert heavier >= lighter
