"""A duel makes no atoms, and ruins nobody by chance."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.duel import STAKE_PARTS, Vote, moved, verdict
from tallystick.protocol.units import Atoms

votes = st.lists(st.sampled_from(Vote), max_size=11)
atoms = st.integers(0, 1 << 96).map(Atoms)


@given(votes, atoms, atoms, atoms, atoms)
def test_no_atom_is_made(cast: list[Vote], price: Atoms, fee: Atoms, first: Atoms, second: Atoms) -> None:
    done = moved(cast, price=price, fee=fee, first_stake=first, second_stake=second)
    assert done.first + done.second + done.challenger + sum(done.judges) + done.burnt == 0
    assert done.burnt >= 0


@given(votes, atoms, atoms, atoms, atoms)
def test_nobody_loses_more_than_a_small_part_of_its_stake(
    cast: list[Vote], price: Atoms, fee: Atoms, first: Atoms, second: Atoms
) -> None:
    done = moved(cast, price=price, fee=fee, first_stake=first, second_stake=second)
    assert -done.first <= min(2 * price, first // STAKE_PARTS)
    assert -done.second <= min(2 * price, second // STAKE_PARTS)


@given(votes)
def test_neither_side_is_favoured(cast: list[Vote]) -> None:
    other = {Vote.FIRST: Vote.SECOND, Vote.SECOND: Vote.FIRST}
    stakes = {"first_stake": Atoms(10**9), "second_stake": Atoms(10**9)}
    one = moved(cast, price=Atoms(1_000), fee=Atoms(100), **stakes)
    turned = moved([other.get(vote, vote) for vote in cast], price=Atoms(1_000), fee=Atoms(100), **stakes)
    assert (turned.first, turned.second) == (one.second, one.first)
    assert (turned.judges, turned.challenger, turned.burnt) == (one.judges, one.challenger, one.burnt)


F, S, T, N = Vote.FIRST, Vote.SECOND, Vote.TIE, Vote.SILENT


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


def test_what_each_is_paid() -> None:
    done = moved(
        [F, F, F, S, N],
        price=Atoms(1_000),
        fee=Atoms(100),
        first_stake=Atoms(10**9),
        second_stake=Atoms(10**9),
    )
    assert (done.first, done.second) == (2_000, -2_000)
    assert done.judges == (100, 100, 100, -50, -100)
    assert (done.challenger, done.burnt) == (-300, 150)


def test_equal_providers_keep_their_stake_over_a_thousand_duels() -> None:
    """With judges that toss a coin and never call a tie, and requests as dear as the stake allows."""
    random = Random(1)
    start = Atoms(10**9)
    for _ in range(20):
        first = second = start
        for _ in range(1_000):
            done = moved(
                random.choices((F, S), k=5),
                price=Atoms(10**9),
                fee=Atoms(100),
                first_stake=first,
                second_stake=second,
            )
            first, second = Atoms(first + done.first), Atoms(second + done.second)
        assert min(first, second) >= 0.95 * start
