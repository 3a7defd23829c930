"""What whoever plays against a duel gains by it: computed from what duels move, and asserted.

`scripts/demo quality` prints the same gains. That a duellist cannot tell a duel is shown in
`tests/client/test_duelling.py`, and what the contract lets a challenger do in
`contracts/test/duels/griefing.t.sol`.
"""

from collections.abc import Mapping

import pytest

from tallystick.protocol.duel import Vote
from tallystick.protocol.judging import prompt
from tallystick_node.local.quality import adversaries, gains
from tallystick_node.local.quality.adversaries import SIGNAL, WORTH
from tallystick_node.local.quality.gains import HONEST, LAZY, ORDERS, SHARE, UNSURE, F, T

PANELS = (3, 5)


# ----------------------------------------------------------------------------------------------- a lazy judge


@pytest.mark.parametrize("lazy", LAZY.values(), ids=list(LAZY))
def test_a_judge_that_does_not_look_gains_a_fifth_of_a_fee_less(lazy: Mapping[Vote, float]) -> None:
    """Whatever it says without looking."""
    assert gains.looking(lazy) > WORTH


def test_a_judge_that_always_calls_a_tie_lives_on_the_others_doubts_alone() -> None:
    assert gains.judge({T: 1.0}) <= SHARE / 2
    assert gains.judge({T: 1.0}, known=True) < SHARE / 50


def test_every_way_that_votes_can_fall_is_counted_once() -> None:
    for count in (0, 1, 2, 5):
        found = list(gains.panels(count, HONEST))
        assert sum(likely for _, likely in found) == pytest.approx(1)
        assert all(len(votes) == count for votes, _ in found)
    likely = sum(likely for votes, likely in gains.panels(3, HONEST) if votes.count(F) > 1)
    assert likely == pytest.approx(3 * 0.7**2 * 0.3 + 0.7**3)


# ------------------------------------------------------------------------------------------- colluding judges


@pytest.mark.parametrize("seats", PANELS)
@pytest.mark.parametrize("stake", [0.1, 0.3])
@pytest.mark.parametrize("honest", [UNSURE, HONEST], ids=["as good", "better"])
def test_who_owns_challenger_winner_and_judges_loses(
    stake: float, seats: int, honest: Mapping[Vote, float]
) -> None:
    """Whatever fee it posts, and even where its answer is the better one."""
    assert gains.best_colluding(stake, seats=seats, honest=honest).own < 0


@pytest.mark.parametrize("seats", PANELS)
def test_collusion_pays_from_most_of_all_stake_on(seats: int) -> None:
    """So that the tests above test something: it would pay who owned nearly all judges."""
    assert 0.5 < gains.breaks_even(seats=seats) < 1


@pytest.mark.parametrize("seats", PANELS)
@pytest.mark.parametrize("stake", [0.1, 0.3])
def test_opening_until_the_judges_suit_costs_more_than_a_prize(stake: float, seats: int) -> None:
    assert gains.choosing_judges(stake, seats=seats) < 0


def test_who_owns_all_judges_has_the_prize_less_what_the_other_s_answer_costs() -> None:
    """The most that there is: the prize is no more than two prices, and nothing of it is burnt but crumbs."""
    gain = gains.colluding(1.0)
    assert gain.own == pytest.approx(gains.PRICE, rel=0.01)
    assert gain.own + gain.victim == pytest.approx(0, abs=gains.PRICE / 100)


# ----------------------------------------------------------------------------------- a challenger that griefs


@pytest.mark.parametrize("seats", PANELS)
def test_who_picks_fair_fights_with_a_worse_one_loses_more_than_that_does(seats: int) -> None:
    gain = gains.worst_taunting(seats=seats)
    assert -gain.own > -gain.victim > 0


@pytest.mark.parametrize("seats", PANELS)
def test_who_never_shows_its_case_loses_its_fee_and_harms_no_judge(seats: int) -> None:
    assert gains.withholding(seats=seats) == (-seats * SHARE, 0)


# --------------------------------------------------------------------------- a duellist that recognises duels


def test_a_signal_has_to_tell_duels_very_well_to_gain_anything() -> None:
    """Both requests are the same to the byte: when one comes, and from whom, is all that there is."""
    assert gains.telling() > 2 * SIGNAL
    assert gains.suspecting(1) == gains.suspecting(SIGNAL) == 0
    assert gains.suspecting(0.99 * gains.telling()) == 0 < gains.suspecting(1.01 * gains.telling())


def test_who_tells_duels_for_sure_gains_what_is_to_be_had() -> None:
    assert gains.suspecting(10**9) == pytest.approx(gains.sighted(), rel=0.001)


def test_who_could_tell_would_save_what_duels_take() -> None:
    """So much hangs on its being unable to: a hundredth of what it sells, where a hundredth duels."""
    assert gains.sighted() == pytest.approx(gains.DUELS * (gains.loses() - gains.SAVING * gains.PRICE))
    assert 0 < gains.sighted() < 0.02 * gains.PRICE


# ------------------------------------------------------------------------------------- an answer that injects


@pytest.mark.parametrize("order", ORDERS)
def test_an_answer_that_gives_orders_gains_nothing_by_them(order: str) -> None:
    assert gains.swayed(order, prompt) == 0


def test_the_same_orders_would_win_or_tie_unquoted() -> None:
    """So that the test above tests something: the engine does obey."""
    assert all(gains.swayed(order, gains.naive) == 2 for order in ORDERS[1:])


# -------------------------------------------------------------------------------------------- what is printed


def test_each_is_shown_beside_its_bound_and_held_to_it() -> None:
    part = adversaries.part()
    assert part.holds
    assert len(part.tables[0].rows) == len(part.figures) >= 13
