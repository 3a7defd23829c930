"""What pays, in the large: flows that settle, prices that are found, cheats that lose."""

from dataclasses import replace

import pytest

from tallystick_node.sim.accusing import LONGEST_PERIOD_S, Struck
from tallystick_node.sim.fluid import Seller, Weights, by_default, by_stake, curve, flows
from tallystick_node.sim.hardware import twelve
from tallystick_node.sim.incentives import (
    AUDITED,
    DEAREST,
    POWER,
    SLOT_PRICES,
    SLOTS,
    Ring,
    a100,
    honesty,
    least_audits,
    least_stake,
    longest_period_s,
    prices,
    sellers_in_effect,
    shares,
    strikes_s,
    twins,
)
from tallystick_node.sim.responses import Terms, best_cheat, honest_lead, least_slot_prices, settled
from tallystick_node.sim.splitting import gained

AT_ONCE = Terms(struck=Struck(period_s=0.0, left_s=0.0))
"""Slashed with the third strike, as nobody is."""
TWELVE = [Seller(engine=curve(each.speed, each.slots), price=1.25, stake=1.0) for each in twelve()]


@pytest.mark.parametrize("weights", [by_default(), by_stake])
@pytest.mark.parametrize("rate", [5.0, 30.0, 55.0])
def test_all_that_comes_is_served_and_nobody_does_more_than_it_can(weights: Weights, rate: float) -> None:
    found = flows(TWELVE, rate, weights)
    assert sum(found) == pytest.approx(rate, rel=1e-3)
    assert all(flow <= seller.engine.full + 1e-6 for flow, seller in zip(found, TWELVE, strict=True))


def test_where_flows_settle_they_are_what_the_rule_gives() -> None:
    found, weights = flows(TWELVE, 30.0, by_default()), by_default()
    drawn = weights(TWELVE, [seller.engine.time_s(flow) for seller, flow in zip(TWELVE, found, strict=True)])
    assert found == pytest.approx([30.0 * each / sum(drawn) for each in drawn], abs=0.1)


def test_an_engine_takes_longer_the_more_it_does() -> None:
    for seller in TWELVE:
        times = [seller.engine.time_s(part / 20 * seller.engine.full) for part in range(30)]
        assert times == sorted(times)


def test_who_asks_for_less_gets_more() -> None:
    alike = [Seller(engine=a100(), price=price, stake=1.0) for price in (1.0, 1.25, 1.25, 1.25)]
    found = flows(alike, 8.0, by_default())
    assert found[0] > 1.2 * found[1]
    assert flows(alike, 8.0, by_stake)[0] == pytest.approx(2.0)


def test_prices_fall_where_payers_look_at_them() -> None:
    ours = prices(by_default(), sellers=8, busy=0.15, rounds=12, seed=1, start=2.0)
    assert 1.2 < ours[-1] < 1.7
    theirs = prices(by_stake, sellers=8, busy=0.15, rounds=20, seed=1, start=2.0)
    assert theirs[-1] == DEAREST


def test_prices_rise_where_engines_are_busy() -> None:
    idle, busy = (
        prices(by_default(), sellers=8, busy=part, rounds=12, seed=1, start=2.0)[-1] for part in (0.15, 0.45)
    )
    assert busy > 1.5 * idle


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5])
def test_honesty_pays_best_where_cheats_do_not_collude(share: float) -> None:
    earned = honesty(share)
    assert earned.honest > max(0.0, earned.cheat)


def test_so_many_payers_have_to_audit_that_their_leaving_costs_a_cheat_more_than_it_saves() -> None:
    late = Struck(period_s=LONGEST_PERIOD_S)
    least = least_audits(0.1, late)
    assert 0.5 < least_audits(0.1, Struck()) <= least < 0.9
    assert least_audits(0.1, Struck(left_s=0.0)) < 0.1  # Who stays strikes on.
    for audits, pays in ((least - 0.02, True), (least + 0.02, False)):
        earned = honesty(0.1, how=replace(late, audits=audits))
        assert (earned.cheat > earned.honest) is pays


def test_long_periods_shield_the_accused() -> None:
    earned = honesty(0.1, how=Struck(period_s=LONGEST_PERIOD_S, left_s=0.0))
    assert earned.cheat > earned.honest > 0


def test_who_strikes_all_others_without_end_pays_more_for_it_than_they_do() -> None:
    """Where half of all stake is of one mind it is paid for it."""
    lost, spent = strikes_s(0.1, stake=19_200.0)
    assert spent > 10 * lost
    lost, spent = strikes_s(0.5, stake=19_200.0)
    assert lost > 0 > spent
    assert honesty(0.5, Ring.STRIKES).honest < 0 < honesty(0.5, Ring.CLEARS).honest


def test_the_stake_of_a_slot_deters() -> None:
    assert 1.2 < SLOT_PRICES / least_stake(AUDITED, POWER, slots=SLOTS) < 3
    longest = longest_period_s(slots=SLOTS)
    assert least_stake(AUDITED, POWER, slots=SLOTS, period_s=longest) == pytest.approx(SLOT_PRICES, rel=0.03)


def test_twins_keep_their_stake() -> None:
    assert min(twins(pairs=5, duels=1_000, stake=300 * 400, price=400, seed=1)) > 0.95


def test_shares_are_shares() -> None:
    for rule in ("ours", "the paper's rule"):
        found = shares(rule, rounds=3, busy=0.5)
        assert all(sum(parts) == pytest.approx(1.0) for parts in found)
        assert 1 < sellers_in_effect(found[-1]) <= 12


def test_splitting_gains_nothing() -> None:
    """The standard deviation of one such figure is about 2 %."""
    for found in gained((2, 20), others=3, gpu="A100", draws=300, seed=1):
        assert found == pytest.approx(1.0, abs=0.08)


def test_cheating_pays_only_so_seldom_that_it_gains_nothing() -> None:
    stay = Terms(struck=Struck(left_s=0.0))
    assert best_cheat(1e-4, stay) < 0 < best_cheat(1e-6, stay) < 1e-5
    assert best_cheat(1e-6, Terms()) < 0


def test_a_small_provider_whose_strikes_age_soon_may_cheat_more_often() -> None:
    soon = Terms(struck=Struck(window_s=43_200.0, left_s=0.0))
    assert best_cheat(1e-4, soon, slots=4) > 0 > best_cheat(1e-4, Terms(), slots=SLOTS)


def test_the_less_is_audited_the_more_has_to_be_at_stake() -> None:
    often, seldom = (least_slot_prices(replace(AT_ONCE, audited=rate)) for rate in (0.02, 0.005))
    assert seldom > 2 * often


def test_the_longer_an_accusation_takes_the_more_has_to_be_at_stake() -> None:
    soon, late, left = (
        least_slot_prices(Terms(struck=how))
        for how in (Struck(left_s=0.0), Struck(period_s=3_600.0, left_s=0.0), Struck(period_s=3_600.0))
    )
    assert late > 4 * soon
    assert left < soon


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_of_all_that_one_may_choose_an_honest_plan_pays_best(share: float) -> None:
    assert honest_lead(share, AT_ONCE) > -1e-5
    assert honest_lead(share, replace(AT_ONCE, power=0.0)) < 0


def test_cheats_that_choose_anew_become_nearly_honest() -> None:
    start, *_, end = settled(sellers=3, busy=0.3, seed=1)
    assert any(plan.cheats for plan in start)
    assert all(plan.cheats <= 1e-5 for plan in end)


def test_many_alike_are_as_one_that_is_as_large() -> None:
    seller = Seller(engine=a100(), price=1.25, stake=2.0)
    other = replace(seller, price=1.3)
    alone, *_ = flows([other, seller.times(4)], 10.0, by_default())
    one_by_one, *_ = flows([other, *[seller] * 4], 10.0, by_default())
    assert alone == pytest.approx(one_by_one, rel=1e-3)
