"""What one duel moves: who gains and who loses how many atoms, once the judges have voted.

A duel is evidence, not a punishment: the loser pays the winner a few request prices, and never more than a
small part of what it staked, so that two equal providers that win and lose by chance stay as rich as they
were. The payer that wants the duel pays the judges. It knows no answers, no stake but the two providers', and
not how judges are drawn.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tallystick.protocol.units import Atoms

PRIZE_PRICES: Final = 2
"""Prices of the request that the loser pays, …"""
STAKE_PARTS: Final = 4_000
"""… and at most one part in so many of its stake: a thousand duels of two equal providers move a part in
STAKE_PARTS / √1000 or so, under a hundredth."""
MINORITY_PART: Final = 2
"""A judge whom the others contradict loses one part in so many of a judge's fee."""


class Vote(Enum):
    """Of one judge, over both orders of the answers."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    """Also where the order of the answers decided."""
    SILENT = "silent"
    """It revealed nothing in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Atoms, gained or lost; all of it together and what was burnt is zero."""

    first: int
    second: int
    challenger: int
    """The payer that wanted the duel."""
    judges: tuple[int, ...]
    """In the order of their votes."""
    burnt: Atoms


def verdict(votes: Sequence[Vote]) -> Vote:
    """What more than half of all judges say, the silent ones among all; else it is a tie."""
    counted = Counter(votes)
    for side in (Vote.FIRST, Vote.SECOND):
        if 2 * counted[side] > len(votes):
            return side
    return Vote.TIE


def prize_down(price: Atoms, loser_stake: Atoms) -> Atoms:
    """Rounded in the loser's favour. `price`: of the dearer of the two answers."""
    return Atoms(min(PRIZE_PRICES * price, loser_stake // STAKE_PARTS))


def moved(
    votes: Sequence[Vote], *, price: Atoms, fee: Atoms, first_stake: Atoms, second_stake: Atoms
) -> Moved:
    """`price`: of the dearer of the two answers; `fee`: what each judge is paid, by the challenger. A tie
    moves nothing between the two, and pays all who voted. What judges lose is burnt: whoever wants a duel, or
    judges it, gains nothing by another judge's silence."""
    said = verdict(votes)
    prize = 0
    if said is Vote.FIRST:
        prize = prize_down(price, second_stake)
    elif said is Vote.SECOND:
        prize = -prize_down(price, first_stake)
    judges = tuple(_judge(vote, said, fee) for vote in votes)
    paid = sum(amount for amount in judges if amount > 0)
    lost = -sum(amount for amount in judges if amount < 0)
    return Moved(first=prize, second=-prize, challenger=-paid, judges=judges, burnt=Atoms(lost))


def _judge(vote: Vote, said: Vote, fee: Atoms) -> int:
    if vote is Vote.SILENT:
        return -fee
    if said is Vote.TIE or vote is said:
        return fee
    return 0 if vote is Vote.TIE else -(fee // MINORITY_PART)
