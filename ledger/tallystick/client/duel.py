"""Which of a payer's requests become duels, and what they may cost beside. Pure: chance comes in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.units import Atoms
from tallystick.protocol.vote import Choice

JUDGES: Final = (3, 5)
"""Judges that a duel can have; an appeal has twice as many and one."""
SECOND_PARTS: Final = 2
"""A duel's second request costs at most so many times what the first one could."""


@dataclass(frozen=True, slots=True)
class Known:
    """A question to which the payer knows the answer. Where of two providers one says it and the other does
    not, the payer knows the verdict too: nobody can tell such a duel from any other until it is decided."""

    question: str
    right: str
    """What a right answer has in it, whatever the case of its letters."""

    def verdict(self, first: str, second: str) -> Choice:
        """`NONE` where both are right, or neither."""
        wanted = self.right.casefold()
        says = wanted in first.casefold(), wanted in second.casefold()
        return {(True, False): Choice.FIRST, (False, True): Choice.SECOND}.get(says, Choice.NONE)


Disagrees = Callable[[str, str, str, Choice], bool]
"""Whether a payer thinks a verdict wrong: from the question, both answers, and what the judges said of
them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """A payer's wish that a share of its requests is answered twice, and judged.

    A second provider reads what was asked, and those that judge what was answered too. A request that says
    `{"tallystick": {"duel": false}}` never becomes a duel; one that says `{"private": true}` there is shown
    to no auditor either."""

    share: float
    """Of requests, by chance: 0 ≤ share ≤ 1. A request that says `{"duel": true}` is one in any case."""
    budget: Atoms | int
    """Atoms that second requests, judges and fees may cost, over the whole life of a purse and within its own
    budget. Once they are spent there are no more duels."""
    judges: int = 3
    """One of `JUDGES`."""
    fee: Atoms | int = 0
    """Atoms for the judges of one duel, put up on chain; zero: the least that the contract takes."""
    known: tuple[Known, ...] = ()
    """Questions of which, now and then, one is put to two providers in place of a duel's own: judges who do
    not look are found by them."""
    known_share: float = 0.1
    """Of duels, by chance, where there are any."""
    appeals: bool | Disagrees = False
    """Verdicts that are taken to an appeal, where the judges were not of one mind and the budget has room:
    those that contradict a known one, or those too that a function thinks wrong. It is called in the duels'
    own thread."""

    def __post_init__(self) -> None:
        for share in (self.share, self.known_share):
            if not 0 <= share <= 1:
                raise ValueError(f"A share is between 0 and 1, not {share}.")
        if self.judges not in JUDGES:
            raise ValueError(f"A duel has 3 judges or 5, not {self.judges}.")
        for atoms in (self.budget, self.fee):
            if isinstance(atoms, bool) or not isinstance(atoms, int):
                raise TypeError(f"Atoms are a whole number, not {atoms!r}.")
            if atoms < 0:
                raise ValueError(f"Atoms are zero or more, not {atoms}.")

    def draws(self, said: bool | None, chance: float) -> bool:
        """Whether a request becomes a duel. `said`: by its caller; `chance`: drawn between 0 and 1, 1 left
        out."""
        return chance < self.share if said is None else said

    def draws_known(self, chance: float, which: float) -> Known | None:
        """The question that is put in place of a duel's own; both by chance, as of `draws`."""
        if not self.known or chance >= self.known_share:
            return None
        return self.known[int(which * len(self.known))]

    def thinks_wrong(
        self, question: str, first: str, second: str, *, verdict: Choice, known: Choice = Choice.NONE
    ) -> bool:
        """Whether the verdict is to be appealed."""
        if self.appeals is False:
            return False
        if known is not Choice.NONE and verdict is not known:
            return True
        return callable(self.appeals) and self.appeals(question, first, second, verdict)

    def cost_factor(self, judge_share: float) -> float:
        """Of what requests cost in the mean with duels, over what they cost without, appeals left out.
        `judge_share`: what one judge costs, its part of the fee included, over what the request cost."""
        more = self.known_share if self.known else 0  # A known question is put to two, who are both paid.
        return 1 + self.share * (1 + more + self.judges * judge_share)
