"""A duel makes no atoms, and ruins nobody by chance."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.duel import STAKE_PARTS, Panel, Vote, moved, verdict
from tallystick.protocol.units import Atoms

votes = st.lists(st.sampled_from(Vote), min_size=1, max_size=11)
atoms = st.integers(0, 1 << 96).map(Atoms)


@st.composite
def panels(draw: st.DrawFn) -> Panel:
    cast = draw(votes)
    stakes = draw(st.lists(atoms, min_size=len(cast), max_size=len(cast)))
    known = draw(st.sampled_from([None, Vote.FIRST, Vote.SECOND, Vote.TIE]))
    return Panel(votes=cast, fee=draw(atoms), stakes=stakes, known=known)


@given(panels(), st.none() | panels(), atoms, atoms, atoms)
def test_no_atom_is_made(
    panel: Panel, appeal: Panel | None, price: Atoms, first: Atoms, second: Atoms
) -> None:
    done = moved(panel, price=price, first_stake=first, second_stake=second, appeal=appeal)
    assert done.first + done.second + done.challenger + done.appellant + sum(done.judges) + done.burnt == 0
    assert done.burnt >= 0


@given(panels(), st.none() | panels(), atoms, atoms, atoms)
def test_nobody_loses_more_than_a_small_part_of_its_stake(
    panel: Panel, appeal: Panel | None, price: Atoms, first: Atoms, second: Atoms
) -> None:
    done = moved(panel, price=price, first_stake=first, second_stake=second, appeal=appeal)
    assert -done.first <= min(2 * price, first // STAKE_PARTS)
    assert -done.second <= min(2 * price, second // STAKE_PARTS)
    stakes = [*panel.stakes, *(appeal.stakes if appeal else ())]
    assert all(-lost <= stake // STAKE_PARTS for lost, stake in zip(done.judges, stakes, strict=True))


@given(panels(), atoms, atoms, atoms)
def test_challenging_and_winning_in_one_hand_gains_nothing(
    panel: Panel, price: Atoms, first: Atoms, second: Atoms
) -> None:
    done = moved(panel, price=price, first_stake=first, second_stake=second)
    assert done.challenger + done.first <= 0
    assert done.challenger + done.second <= 0


@given(panels(), panels(), atoms, atoms, atoms)
def test_appealing_and_winning_in_one_hand_costs_the_challenger_no_more(
    panel: Panel, appeal: Panel, price: Atoms, first: Atoms, second: Atoms
) -> None:
    done = moved(panel, price=price, first_stake=first, second_stake=second, appeal=appeal)
    assert done.challenger >= -panel.fee
    if verdict(panel.votes) is verdict(appeal.votes):
        assert done.appellant <= 0


@given(panels())
def test_neither_side_is_favoured(panel: Panel) -> None:
    other = {Vote.FIRST: Vote.SECOND, Vote.SECOND: Vote.FIRST}
    turned_panel = replace(
        panel,
        votes=[other.get(vote, vote) for vote in panel.votes],
        known=other.get(panel.known, panel.known) if panel.known else None,
    )
    stakes = {"first_stake": Atoms(10**9), "second_stake": Atoms(10**9)}
    one = moved(panel, price=Atoms(1_000), **stakes)
    turned = moved(turned_panel, price=Atoms(1_000), **stakes)
    assert (turned.first, turned.second) == (one.second, one.first)
    assert (turned.judges, turned.challenger, turned.burnt) == (one.judges, one.challenger, one.burnt)


F, S, T, N, D = Vote.FIRST, Vote.SECOND, Vote.TIE, Vote.SILENT, Vote.DECLINED


@pytest.mark.parametrize(
    ("cast", "said"),
    [
        ([], T),
        ([F, F, F, S, S], F),
        ([F, F, S, T, T], T),
        ([F, F, N, N, N], T),
        ([S, S, S, N, N], S),
        ([F, S], T),
    ],
)
def test_it_takes_more_than_half_of_all_judges(cast: list[Vote], said: Vote) -> None:
    assert verdict(cast) is said


RICH = [Atoms(10**9)] * 5


def test_what_each_is_paid() -> None:
    done = moved(
        Panel(votes=[F, F, F, S, N], fee=Atoms(5_000), stakes=RICH),
        price=Atoms(1_000),
        first_stake=Atoms(10**9),
        second_stake=Atoms(10**9),
    )
    assert (done.first, done.second) == (1_750, -2_000)
    assert done.judges == (1_083, 1_083, 1_083, -500, -1_000)
    assert (done.challenger, done.burnt) == (-3_000, 1_501)


def test_a_judge_that_was_shown_nothing_loses_nothing_and_the_challenger_its_fee() -> None:
    done = moved(
        Panel(votes=[F, F, F, D, D], fee=Atoms(5_000), stakes=RICH),
        price=Atoms(0),
        first_stake=Atoms(10**9),
        second_stake=Atoms(10**9),
    )
    assert done.judges == (1_000, 1_000, 1_000, 0, 0)
    assert (done.challenger, done.burnt) == (-5_000, 2_000)


def test_who_appealed_with_success_gets_what_the_first_judges_did_not_earn() -> None:
    done = moved(
        Panel(votes=[F, F, F, S, S], fee=Atoms(5_000), stakes=RICH),
        appeal=Panel(votes=[S] * 11, fee=Atoms(11_000), stakes=[Atoms(10**9)] * 11),
        price=Atoms(1_000),
        first_stake=Atoms(10**9),
        second_stake=Atoms(10**9),
    )
    assert (done.challenger, done.appellant) == (-5_000, 3_000 - 11_000)
    assert done.judges[:5] == (-500, -500, -500, 1_019, 1_019)
    assert (done.first, done.second) == (-2_000, 1_750)


def test_equal_providers_keep_their_stake_over_a_thousand_duels() -> None:
    """With judges that toss a coin and never call a tie, and requests as dear as the stake allows."""
    random = Random(1)
    start = Atoms(10**9)
    for _ in range(20):
        first = second = start
        for _ in range(1_000):
            done = moved(
                Panel(votes=random.choices((F, S), k=5), fee=Atoms(10**9), stakes=RICH),
                price=Atoms(10**9),
                first_stake=first,
                second_stake=second,
            )
            first, second = Atoms(first + done.first), Atoms(second + done.second)
        assert min(first, second) >= 0.95 * start
