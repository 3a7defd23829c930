"""What an opinion may cost follows from what is usual, not from what its seller asks."""

from tallystick.client.bounds import OPINION_PARTS, bound
from tallystick.protocol.units import Atoms


def usual(looked_at: list[int], listed: list[int]) -> float:
    return bound([Atoms(one) for one in looked_at], [Atoms(one) for one in listed]) / OPINION_PARTS


def test_it_is_what_the_dearer_of_those_looked_at_would_cost() -> None:
    assert usual([3, 5], [3, 5]) == 5
    assert usual([3], []) == 3


def test_an_absurd_offer_moves_it_by_nothing() -> None:
    assert usual([3, 5], [3, 5, 10**9]) == usual([3, 5], [3, 5, 5]) == 5
    assert usual([3], [3, 10**9]) == 3


def test_who_sells_for_nothing_is_judged_all_the_same() -> None:
    assert usual([0], [0, 4, 5]) == 4
