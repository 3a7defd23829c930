"""What strikes take in the mean: against strikes that come one by one, and the figures of decision 28."""

from dataclasses import replace
from random import Random

import pytest

from tallystick.protocol.strikes import MOST, STRIKES, concluded
from tallystick.protocol.units import Atoms
from tallystick_node.sim.accusing import (
    AWAY,
    FEE_PRICES,
    LEFT_S,
    LONGEST_PERIOD_S,
    Bench,
    Struck,
    accused_after_s,
    cycle_s,
    falsely,
    remains_s,
    tried,
    truly,
    truly_and_silent,
)

STAKE = 300.0 * 64


def played_s(random: Random, rate: float, window_s: float, filed: list[float], now: float) -> float:
    """When the third of strikes counts that come by chance, those of `filed` being there."""
    filed = [*filed]
    while True:
        if len(filed) >= STRIKES:
            return now
        now += random.expovariate(rate)
        filed = [at for at in filed if at + window_s > now] + [now]


@pytest.mark.parametrize("met", [0.6, 1.386294, 3.0, 24.0, 200.0])
@pytest.mark.parametrize("there", [0, 1, 2, 3])
def test_three_strikes_count_as_soon_as_where_they_come_one_by_one(met: float, there: int) -> None:
    random, runs = Random(f"{met} {there}"), 6_000
    times = [played_s(random, 2.0, met / 2, [0.0] * there, 0.0) for _ in range(runs)]
    assert accused_after_s(2.0, met / 2, there) == pytest.approx(sum(times) / runs, rel=0.06)


def test_strikes_that_hardly_ever_meet_take_for_ever() -> None:
    often, seldom = accused_after_s(1e-3, 1.0), accused_after_s(9.99e-4, 1.0)
    assert seldom == pytest.approx(often, rel=0.01)  # On both sides of where it is taken from its limit.
    assert accused_after_s(1e-6, 1.0) == pytest.approx(2e18, rel=1e-3)
    assert accused_after_s(0.0, 1.0) == float("inf")


@pytest.mark.parametrize("accused_s", [0.0, 2.0, 6.0])
@pytest.mark.parametrize(("slashed", "gone"), [(1.0, 5), (0.0, 0)])
def test_what_is_found_while_one_stands_accused_is_gone_or_filed_when_it_is_over(
    accused_s: float, slashed: float, gone: int
) -> None:
    """Strikes that were taken meanwhile end with a slash; what no owner had room for is filed later."""
    random, rate, window_s, runs, now = Random(f"{accused_s}"), 1.0, 3.0, 20_000, 0.0
    found: list[float] = []
    for _ in range(runs):
        now = played_s(random, rate, window_s, [now] * len(found), now)
        at, end, found = now + random.expovariate(rate), now + accused_s, []
        while at < end:
            found.append(at)
            at += random.expovariate(rate)
        found = [each for each in found if each + window_s > end][gone:]
        now = end
    cycle = cycle_s(rate, accused_s=accused_s, window_s=window_s, slashed=slashed)
    assert cycle == pytest.approx(now / runs, rel=0.05)
    assert MOST - STRIKES == 5


def test_the_chances_are_those_of_decision_28() -> None:
    assert AWAY == 0.05
    assert tried(falsely(0.1), stake=STAKE).upheld == pytest.approx(0.0003, abs=5e-5)
    assert tried(falsely(0.3), stake=STAKE).upheld == pytest.approx(0.078, abs=5e-4)
    assert tried(truly(0.1), stake=STAKE).upheld == pytest.approx(0.998, abs=5e-4)
    assert tried(truly(0.3), stake=STAKE).upheld == pytest.approx(0.88, abs=5e-3)


def test_what_moves_is_what_the_rule_moves() -> None:
    all_of_one_mind = tried(Bench(1.0, 0.0), stake=STAKE)
    rule = concluded(provider_stake=Atoms(72_000), striker_stakes=[Atoms(72_000)] * STRIKES, reaudit=None)
    assert (all_of_one_mind.upheld, all_of_one_mind.cleared) == (1.0, 0.0)
    assert all_of_one_mind.provider == pytest.approx(rule.provider / 72_000)
    assert all_of_one_mind.striker == pytest.approx(rule.strikers[0] / 72_000)
    assert all_of_one_mind.answerer == -FEE_PRICES
    cleared = tried(Bench(0.0, 1.0), stake=STAKE)
    assert (cleared.upheld, cleared.cleared, cleared.provider) == (0.0, 1.0, 0.0)
    assert cleared.striker == pytest.approx(-1 / 50)


def test_who_strikes_falsely_loses_until_a_third_of_all_stake_is_of_one_mind() -> None:
    below, above = (tried(falsely(part), stake=STAKE, richer=8.0).striker for part in (1 / 3, 0.36))
    assert below < 0 < above
    assert tried(falsely(0.4), stake=STAKE).striker < 0  # Of one that stakes as much as they there is less.
    assert tried(truly(0.0), stake=STAKE).striker > 0


STAYING = Struck(left_s=0.0)
"""Payers, whatever their auditors find."""


def test_a_cheat_makes_the_most_of_it() -> None:
    """It loses two thirds once in four periods at most."""
    always = -remains_s(0.0, 1e6, STAYING, stake=STAKE)
    assert always == pytest.approx(2 / 3 * STAKE / (4 * 600.0), rel=0.05)
    seldom = -remains_s(0.0, 1e6, replace(STAYING, period_s=LONGEST_PERIOD_S), stake=STAKE)
    assert seldom < always / 100
    assert -remains_s(0.0, 1e6, STAYING, stake=STAKE, share=0.4) < always
    assert remains_s(1.0, 0.0, stake=STAKE) == 1.0


def test_who_was_struck_before_its_payers_has_none_for_a_week() -> None:
    """Each of twenty finds one answer in 20,000 s, and is away for thirty times as long."""
    assert LEFT_S == 7 * 86_400
    here = 20_000 / (20_000 + LEFT_S)
    assert remains_s(1.0, 1e-3, stake=1.0) == pytest.approx(here, rel=0.01)
    assert remains_s(1.0, 1e-3, Struck(audits=0.5), stake=1.0) == pytest.approx((1 + here) / 2, rel=0.01)
    assert remains_s(1.0, 1e-3, STAYING, stake=1.0) > 0.99


def test_a_ring_may_be_silent() -> None:
    cleared, silent = tried(truly(0.3), stake=STAKE), tried(truly_and_silent(0.3), stake=STAKE)
    assert cleared.upheld == pytest.approx(silent.upheld)
    assert silent.cleared == 0.0
