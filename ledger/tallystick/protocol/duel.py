"""What one duel moves: who gains and who loses how many atoms, once the judges have voted.

A duel is evidence, not a punishment: the loser pays the winner a few request prices, and never more than a
small part of what it staked, so that two equal providers that win and lose by chance stay as rich as they
were. Whoever wants the duel pays the judges; whoever appeals pays those of the appeal. It knows no answers,
and not how judges are drawn. `tests/vectors/duel.json` holds it and the contract to the same numbers.
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
"""… and at most one part in so many of its stake. A judge loses no more than that of its own by one duel."""
JUDGES_PART: Final = 8
"""One part in so many of the prize goes to the judges who gave it. What leaves the two for good has to be
small: of two equal providers, a thousand duels take a part in 2 · STAKE_PARTS · JUDGES_PART / 1000, a 64th,
of each stake, and chance another hundredth."""
MINORITY_PART: Final = 2
"""A judge whom the others contradict loses one part in so many of a judge's fee."""
TIE_PART: Final = 2
"""In a tie a judge gets one part in so many of it, unless most said that it is a tie."""


class Vote(Enum):
    """Of one judge, over both orders of the answers."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    """Also where the order of the answers decided."""
    SILENT = "silent"
    """It revealed nothing in time; or nobody could be drawn for the seat."""
    DECLINED = "declined"
    """It said in time that it was never shown the case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What some judges said, and who paid for it."""

    votes: Sequence[Vote]
    fee: Atoms
    """An equal part of it for each seat; what does not divide goes back."""
    stakes: Sequence[Atoms]
    """Of each judge; zero for a seat without one."""
    known: Vote | None = None
    """The known verdict. It counts only where the judges say so too."""

    @property
    def share(self) -> Atoms:
        return Atoms(self.fee // len(self.votes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Atoms, gained or lost; all of it together and what was burnt is zero."""

    first: int
    second: int
    challenger: int
    """Who wanted the duel."""
    appellant: int
    judges: tuple[int, ...]
    """In the order of their votes, those of the appeal last."""
    burnt: Atoms


def verdict(votes: Sequence[Vote]) -> Vote:
    """What more than half of all seats say, the silent ones among all; else it is a tie."""
    counted = Counter(votes)
    for side in (Vote.FIRST, Vote.SECOND):
        if 2 * counted[side] > len(votes):
            return side
    return Vote.TIE


def is_majority(votes: Sequence[Vote]) -> bool:
    """Whether more than half of all seats say what the verdict says."""
    return 2 * Counter(votes)[verdict(votes)] > len(votes)


def prize_down(price: Atoms, paid: Atoms, loser_stake: Atoms) -> Atoms:
    """Rounded in the loser's favour. `price`: of the dearer of the two answers; `paid`: what the judges who
    gave it got from who wanted it, so that challenging and winning in one hand gains nothing."""
    return Atoms(min(PRIZE_PRICES * price, paid, loser_stake // STAKE_PARTS))


def moved(
    panel: Panel, *, price: Atoms, first_stake: Atoms, second_stake: Atoms, appeal: Panel | None = None
) -> Moved:
    """`price`: of the dearer of the two answers. The last panel's verdict stands, and both are paid by it; a
    tie moves nothing between the two, and pays half of a share to each who voted, a whole one where most said
    that it is one. What judges lose is burnt, and so is what those would have got who were never shown the
    case: whoever wants a duel, or judges it, gains nothing by another judge's silence. Where an appeal
    overturned the first verdict, its appellant gets what is left of both fees."""
    panels = (panel,) if appeal is None else (panel, appeal)
    said, agreed = verdict(panels[-1].votes), is_majority(panels[-1].votes)
    upheld = next(each for each in panels if verdict(each.votes) is said)
    paid = Atoms(upheld.share * _earning(upheld, said))
    loser_stake = {Vote.FIRST: second_stake, Vote.SECOND: first_stake}.get(said, Atoms(0))
    prize = prize_down(price, paid, loser_stake)
    earning = sum(_earning(each, said) for each in panels)
    bonus = prize // JUDGES_PART // earning if prize else 0
    gained = prize - prize // JUDGES_PART

    judges = tuple(amount for each in panels for amount in _judges(each, said, agreed, bonus))
    left = [_left(each, said, agreed) for each in panels]
    appellant = 0 if appeal is None else left[1] - appeal.fee
    if upheld is panel:
        challenger = left[0] - panel.fee
    else:
        challenger, appellant = -panel.fee, appellant + left[0]
    first, second = {Vote.FIRST: (gained, -prize), Vote.SECOND: (-prize, gained)}.get(said, (0, 0))
    burnt = Atoms(-(first + second + challenger + appellant + sum(judges)))
    return Moved(
        first=first, second=second, challenger=challenger, appellant=appellant, judges=judges, burnt=burnt
    )


def _earning(panel: Panel, said: Vote) -> int:
    """How many said what the verdict says, where that moves money."""
    return sum(vote is said for vote in panel.votes)


def _left(panel: Panel, said: Vote, agreed: bool) -> int:
    """Of the fee, for who posted it."""
    declined = panel.share * sum(vote is Vote.DECLINED for vote in panel.votes)
    return panel.fee - declined - sum(_earned_down(vote, said, agreed, panel) for vote in panel.votes)


def _judges(panel: Panel, said: Vote, agreed: bool, bonus: int) -> list[int]:
    return [
        earned + bonus
        if (earned := _earned_down(vote, said, agreed, panel))
        else -min(_penalty_down(vote, said, agreed, panel), stake // STAKE_PARTS)
        for vote, stake in zip(panel.votes, panel.stakes, strict=True)
    ]


def _is_known(said: Vote, agreed: bool, panel: Panel) -> bool:
    return agreed and panel.known is said


def _earned_down(vote: Vote, said: Vote, agreed: bool, panel: Panel) -> int:
    """Of a share. Whoever says anything without looking lives on cases that nobody can tell: so these pay
    half."""
    if vote in (Vote.SILENT, Vote.DECLINED):
        return 0
    if vote is said and agreed:
        return panel.share
    if said is Vote.TIE and not _is_known(said, agreed, panel):
        return panel.share // TIE_PART
    return 0


def _penalty_down(vote: Vote, said: Vote, agreed: bool, panel: Panel) -> int:
    """Of a judge that earns nothing."""
    if vote is Vote.DECLINED:
        return 0
    if vote is Vote.SILENT or _is_known(said, agreed, panel):
        return panel.share
    return 0 if vote is Vote.TIE or said is Vote.TIE else panel.share // MINORITY_PART
