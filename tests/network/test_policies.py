"""What the shipped policies decide."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.speed import Load, Pace
from tallystick.protocol.units import Atoms, AtomsPerMTok, Milliseconds, Tokens
from tallystick_node.network.policies import THOUSAND, ByLoad, Paper, Prices, Request, State

IDLE = Load(running=0, waiting=0, context=Tokens(0), queued=Tokens(0))
BASE = Prices(input=AtomsPerMTok(2_000), cached_input=AtomsPerMTok(500), output=AtomsPerMTok(6_001))
OWN = Request(model="tiny", input_tokens=Tokens(100), output_tokens=Tokens(100), own=True)
PAID = replace(OWN, own=False)
usages = st.floats(0, 1)


def state(**changes: Any) -> State:
    made = State(
        now=Milliseconds(0), seed=7, load=IDLE, room=8, usage=0.0, own_waiting=0, base=BASE, prices=BASE
    )
    return replace(made, **changes)


# --------------------------------------------------------------------------------------- the default


def test_paid_work_is_taken_while_there_is_room() -> None:
    assert ByLoad().accept(PAID, state(room=1))
    assert not ByLoad().accept(PAID, state(room=0))


@pytest.mark.parametrize(
    ("here", "elsewhere", "buys"),
    [
        (Pace(0.1, 0.01), Pace(0.1, 0.01), False),
        (Pace(9.0, 0.01), Pace(0.1, 0.01), True),
        (Pace(0.3, 0.01), Pace(0.1, 0.01), False),  # Within the second that atoms are saved for.
        (Pace(0.1, 0.01), Pace(0.1, 0.001), False),
        (Pace(0.1, 0.10), Pace(0.1, 0.001), True),
        (Pace(0.6, 0.01), Pace(0.1, 0.01), True),  # A wait weighs four times as much.
    ],
)
def test_what_the_market_does_sooner_is_bought(here: Pace, elsewhere: Pace, buys: bool) -> None:
    assert ByLoad().offload(OWN, state(here=here, elsewhere=elsewhere, providers=3)) is buys


def test_a_request_without_a_limit_is_taken_for_a_typical_one() -> None:
    slow_after_the_first = state(here=Pace(0.1, 0.1), elsewhere=Pace(0.1, 0.01), providers=1)
    assert ByLoad().offload(replace(OWN, output_tokens=None), slow_after_the_first)
    assert not ByLoad().offload(replace(OWN, output_tokens=Tokens(5)), slow_after_the_first)


def test_where_no_time_is_known_the_engine_s_room_decides() -> None:
    assert not ByLoad().offload(OWN, state(providers=1))
    assert ByLoad().offload(OWN, state(providers=1, room=0))
    assert ByLoad().offload(OWN, state(providers=1, own_waiting=1))


@pytest.mark.parametrize("policy", [ByLoad(), Paper(queue_frequency=1.0)])
def test_nothing_is_bought_of_nobody(policy: ByLoad | Paper) -> None:
    swamped = state(here=Pace(99, 1), elsewhere=Pace(0.1, 0.001), providers=0, room=0, usage=1.0)
    assert policy.offload(OWN, swamped) is False


def test_prices_stay_unless_bounds_are_named() -> None:
    assert all(ByLoad().price(state(usage=usage / 10)) is None for usage in range(11))


def test_prices_follow_the_load() -> None:
    policy = ByLoad(lowest=800, highest=1_500)
    assert policy.price(state(usage=0.7)) is None
    assert policy.price(state(usage=0.0)) == BASE.scaled_up(800)
    assert policy.price(state(usage=1.0)) == BASE.scaled_up(1_500)
    assert policy.price(state(usage=1.0, prices=BASE.scaled_up(1_500))) is None
    assert policy.price(state(usage=0.7, prices=BASE.scaled_up(1_500))) == BASE
    assert policy.price(state(base=None)) is None


def test_prices_are_rounded_in_the_provider_s_favour() -> None:
    assert BASE.scaled_up(800).output == 4_801
    assert Prices(input=AtomsPerMTok(1), cached_input=AtomsPerMTok(0), output=AtomsPerMTok(1)).scaled_up(
        1
    ) == Prices(input=AtomsPerMTok(1), cached_input=AtomsPerMTok(0), output=AtomsPerMTok(1))


@given(usages, usages, st.integers(1, 1_000), st.integers(1_000, 5_000), st.integers(1, 400))
def test_prices_rise_with_the_load_and_stay_in_bounds(
    one: float, other: float, lowest: int, highest: int, step: int
) -> None:
    policy = ByLoad(lowest=lowest, highest=highest, step=step)
    low, high = (policy.thousandths(usage) for usage in sorted((one, other)))
    assert lowest <= low <= high <= highest
    assert (low - THOUSAND) % step == 0 or low in (lowest, highest)


def changes(policy: ByLoad, loads: list[float]) -> int:
    """Prices that one load after another brings about."""
    prices, changed = BASE, 0
    for usage in loads:
        if (wanted := policy.price(state(usage=usage, prices=prices))) is not None:
            prices, changed = wanted, changed + 1
    return changed


@given(
    st.floats(0, 1),
    st.lists(st.floats(0, 1), min_size=1, max_size=30),
    st.sampled_from([0.0, 0.01, 0.05, 0.3]),
    st.integers(1, 1_000),
    st.integers(1_000, 5_000),
    st.integers(1, 400),
)
def test_a_load_that_wanders_within_the_band_changes_prices_once_at_most(
    least: float, parts: list[float], band: float, lowest: int, highest: int, step: int
) -> None:
    policy = ByLoad(lowest=lowest, highest=highest, step=step, band=band)
    loads = [min(1.0, least + 0.999 * band * part) for part in parts]
    assert changes(policy, loads) <= 1


def test_a_load_around_a_step_leaves_prices_alone() -> None:
    """At usage 0.715 of 0.7 to 1.0 half a step is reached."""
    wandering = [0.71, 0.72] * 10
    assert changes(ByLoad(highest=1_500, band=0.0), wandering) > 10
    assert changes(ByLoad(highest=1_500), wandering) == 0


@given(usages, usages)
def test_a_load_that_moved_is_followed(before: float, after: float) -> None:
    """Never further off than the band."""
    policy = ByLoad(lowest=500, highest=2_000)
    held = BASE.scaled_up(policy.thousandths(before))
    now = policy.price(state(usage=after, prices=held)) or held
    least, most = (policy.thousandths(min(1.0, max(0.0, after + off))) for off in (-0.05, 0.05))
    assert BASE.scaled_up(least).output <= now.output <= BASE.scaled_up(most).output


def test_the_stake_is_left_alone() -> None:
    assert ByLoad().stake(state(usage=1.0, staked=Atoms(5))) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"lowest": 0},
        {"lowest": 1_001},
        {"highest": 999},
        {"target": 0.0},
        {"target": 1.0},
        {"step": 0},
        {"band": 1.0},
    ],
)
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ByLoad(**wrong)


# --------------------------------------------------------------------------------------- the paper's


def test_above_its_target_usage_it_takes_nothing() -> None:
    eager = Paper(accept_frequency=1.0)
    assert eager.accept(PAID, state(usage=0.69))
    assert not eager.accept(PAID, state(usage=0.7))


def test_below_its_target_usage_own_users_stay_at_home() -> None:
    assert Paper(offload_frequency=1.0).offload(OWN, state(usage=0.69, providers=3)) is False


def test_above_it_they_are_sent_away_or_wait_or_are_asked_about_again() -> None:
    full = state(usage=0.9, providers=3)
    assert Paper(offload_frequency=1.0).offload(OWN, full) is True
    assert Paper(offload_frequency=0.0, queue_frequency=1.0).offload(OWN, full) is False
    assert Paper(offload_frequency=0.0, queue_frequency=0.0).offload(OWN, full) is None


def test_draws_have_the_frequency_that_was_chosen() -> None:
    policy, full = Paper(accept_frequency=0.25), state(usage=0.9, providers=1)
    seeds = range(4_000)
    taken = sum(policy.accept(PAID, state(seed=seed)) for seed in seeds)
    answers = [policy.offload(OWN, replace(full, seed=seed)) for seed in seeds]
    assert 900 < taken < 1_100
    assert 3_080 < answers.count(True) < 3_320  # 0.8
    assert 110 < answers.count(False) < 210  # 0.2 · 0.2
    assert policy.accept(PAID, state(seed=3)) == policy.accept(PAID, state(seed=3))


@pytest.mark.parametrize(
    ("usage", "own_waiting", "held", "wanted"),
    [
        (0.35, 0, 4, 4),
        (0.35, 1, 4, 3),
        (0.55, 0, 2, 3),
        (0.70, 1, 1, 1),
        (0.95, 1, 4, 2),  # A step of two at most.
        (0.95, 1, 1, 0),
        (0.00, 0, 0, 2),
    ],
)
def test_its_stake_follows_the_load(usage: float, own_waiting: int, held: int, wanted: int) -> None:
    asked = state(
        usage=usage, own_waiting=own_waiting, minimum_stake=Atoms(100), staked=Atoms(100 + 10 * held)
    )
    expected = None if wanted == held else 100 + 10 * wanted
    assert Paper(stake_unit=10).stake(asked) == expected
    assert Paper().stake(asked) is None


@given(usages, st.integers(0, 10**9), st.integers(0, 10**6))
def test_its_stake_is_never_under_the_minimum(usage: float, staked: int, minimum: int) -> None:
    asked = state(usage=usage, staked=Atoms(staked), minimum_stake=Atoms(minimum))
    wanted = Paper(stake_unit=1_000).stake(asked)
    assert wanted is None or wanted >= minimum


@pytest.mark.parametrize(
    "wrong", [{"accept_frequency": 1.1}, {"queue_frequency": -0.1}, {"target": 1}, {"stake_unit": -1}]
)
def test_frequencies_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Paper(**wrong)
