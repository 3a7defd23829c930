"""Strengths follow from the duels alone: their order means nothing, and who wins one more never falls by
it."""

from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.duel import Vote
from tallystick.protocol.strength import Decided, chance, strengths
from tallystick.protocol.units import Address

VERDICTS = (Vote.FIRST, Vote.SECOND, Vote.TIE)
SWAPPED = {Vote.FIRST: Vote.SECOND, Vote.SECOND: Vote.FIRST, Vote.TIE: Vote.TIE}


def provider(number: int) -> Address:
    return Address(bytes([number]) * 20)


def duel(first: int, second: int, verdict: Vote) -> Decided:
    return Decided(first=provider(first), second=provider(second), verdict=verdict)


_pairs = st.tuples(st.integers(1, 6), st.integers(1, 6)).filter(lambda pair: pair[0] != pair[1])
_duels = st.lists(
    st.builds(lambda pair, said: duel(*pair, said), _pairs, st.sampled_from(VERDICTS)), max_size=40
)


def test_without_duels_nobody_has_any() -> None:
    assert strengths([]) == {}


@given(_duels, st.randoms(use_true_random=False))
def test_the_order_of_duels_means_nothing_at_all(duels: list[Decided], random: Random) -> None:
    assert strengths(duels) == strengths(random.sample(duels, len(duels)))


@given(_duels)
def test_who_was_named_first_means_nothing(duels: list[Decided]) -> None:
    turned = [Decided(first=item.second, second=item.first, verdict=SWAPPED[item.verdict]) for item in duels]
    assert strengths(duels) == strengths(turned)


@given(_duels, _pairs)
def test_one_more_win_lifts_the_winner_and_lowers_the_loser(
    duels: list[Decided], pair: tuple[int, int]
) -> None:
    before, after = strengths(duels), strengths([*duels, duel(*pair, Vote.FIRST)])
    winner, loser = provider(pair[0]), provider(pair[1])
    assert after[winner] > before.get(winner, 0.0)
    assert after[loser] < before.get(loser, 0.0)


def test_who_only_won_is_not_beyond_measure() -> None:
    found = strengths([duel(1, 2, Vote.FIRST)] * 50)
    assert 2 < found[provider(1)] - found[provider(2)] < 12


def test_two_duels_that_a_rival_picked_put_no_newcomer_at_the_bottom() -> None:
    """A challenger has both answers before it opens a duel, and may open those alone that one side lost."""
    ties = [duel(*pair, Vote.TIE) for pair in combinations(range(1, 7), 2) for _ in range(5)]
    bad = [duel(9, number, said) for number in range(1, 7) for said in (Vote.FIRST, *[Vote.SECOND] * 4)]
    found = strengths([*ties, *bad, *[duel(8, 1, Vote.SECOND)] * 2])
    assert found[provider(9)] < found[provider(8)] - 0.3
    assert found[provider(8)] > -0.4


def test_strengths_are_found_again() -> None:
    """Three grades whose chances differ by the paper's kind of step, a hundred duels of each pair."""
    random, true = Random(3), {1: 1.0, 2: 0.0, 3: -1.0}
    duels = [
        duel(*pair, Vote.FIRST if random.random() < chance(true[pair[0]], true[pair[1]]) else Vote.SECOND)
        for pair in combinations(true, 2)
        for _ in range(100)
    ]
    found = strengths(duels)
    assert found[provider(1)] > found[provider(2)] > found[provider(3)]
    assert found[provider(1)] - found[provider(3)] == pytest.approx(2.0, abs=0.8)


def test_a_random_responder_is_last_within_ten_duels() -> None:
    """It wins one in ten, by judges' noise; nine like one another have had fifty duels each."""
    last = 0
    for seed in range(100):
        random = Random(seed)
        duels = [
            duel(*random.sample(range(1, 10), 2), random.choice((Vote.FIRST, Vote.SECOND)))
            for _ in range(225)
        ]
        for _ in range(10):
            said = Vote.FIRST if random.random() < 0.1 else Vote.SECOND
            duels.append(duel(10, random.randrange(1, 10), said))
        found = strengths(duels)
        last += min(found, key=lambda one: found[one]) == provider(10)
    assert last >= 97
