"""What pays, in the large: flows that settle, prices that are found, cheats that lose."""

from dataclasses import replace

import pytest

from tallystick.protocol.lottery import WHOLE, share
from tallystick_node.sim.fluid import Seller, Weights, by_default, by_stake, curve, flows
from tallystick_node.sim.hardware import twelve
from tallystick_node.sim.incentives import (
    AUDITED,
    CHANNELS,
    DEAREST,
    SLOT_PRICES,
    a100,
    audit_rate,
    honesty,
    least_stake,
    prices,
    requests_until_slashed,
    requests_until_struck_out,
    sellers_in_effect,
    shares,
    twins,
)
from tallystick_node.sim.responses import Terms, best_cheat, honest_lead, least_slot_prices, settled
from tallystick_node.sim.splitting import gained

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
    earned = honesty(share, collude=False)
    assert earned.honest > 0 > earned.cheat


def test_a_quarter_that_colludes_breaks_strikes_that_count_for_ever() -> None:
    assert honesty(0.25, collude=True, window=None).honest < 0 < honesty(0.25, collude=True, window=10).honest


def test_half_that_colludes_breaks_everything() -> None:
    assert honesty(0.5, collude=True).honest < 0


def test_newcomers_are_found_out_sooner() -> None:
    assert requests_until_slashed(0, 0.9) < 30
    assert requests_until_slashed(1_000 * CHANNELS, 0.9) == pytest.approx(3 / (0.01 * 0.9))
    assert requests_until_slashed(0, 0.0) == float("inf")


def test_who_has_served_much_on_many_channels_is_still_new_on_each() -> None:
    """The draw counts each channel's requests: 400 of twenty are twenty of one."""
    assert audit_rate(20 * CHANNELS) == share(20) / WHOLE > 10 * AUDITED
    assert requests_until_slashed(20 * CHANNELS, 0.9) < requests_until_slashed(217 * CHANNELS, 0.9) / 5


def test_few_wrong_strikes_among_ten_are_seldom_three() -> None:
    assert requests_until_struck_out(0.02, window=None) == pytest.approx(15_000)
    assert requests_until_struck_out(0.02, window=10) > 300_000
    assert requests_until_struck_out(0.0, window=10) == float("inf")


def test_the_stake_of_a_slot_deters() -> None:
    assert 1.5 < SLOT_PRICES / least_stake(0.01, 0.9) < 2.5


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


def test_a_cheat_that_cheats_seldom_escapes_strikes_that_age_soon() -> None:
    assert best_cheat(0.01, Terms(window=10)) > 0 > best_cheat(0.01, Terms(window=30))


def test_cheating_on_a_thousandth_pays_unless_strikes_count_for_long() -> None:
    assert honest_lead(0.1, Terms(window=30)) < 0 < honest_lead(0.1, Terms(window=100))
    assert best_cheat(0.001, Terms(window=30)) > 0 > best_cheat(0.001, Terms(window=None))


def test_the_less_is_audited_the_more_has_to_be_at_stake() -> None:
    often, seldom = (least_slot_prices(Terms(audited=rate, window=30)) for rate in (0.02, 0.005))
    assert seldom == pytest.approx(4 * often, rel=0.05)


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_of_all_that_one_may_choose_an_honest_plan_pays_best(share: float) -> None:
    assert honest_lead(share, Terms(window=100)) > 0
    assert honest_lead(share, Terms(power=0.0)) < 0


def test_cheats_that_choose_anew_become_nearly_honest() -> None:
    start, *_, end = settled(sellers=3, busy=0.3, seed=1)
    assert any(plan.cheats for plan in start)
    assert all(plan.cheats <= 0.003 for plan in end)


def test_many_alike_are_as_one_that_is_as_large() -> None:
    seller = Seller(engine=a100(), price=1.25, stake=2.0)
    other = replace(seller, price=1.3)
    alone, *_ = flows([other, seller.times(4)], 10.0, by_default())
    one_by_one, *_ = flows([other, *[seller] * 4], 10.0, by_default())
    assert alone == pytest.approx(one_by_one, rel=1e-3)
