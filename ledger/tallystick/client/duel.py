"""Which of a payer's requests become duels, and what they may cost beside. Pure: chance comes in."""

from dataclasses import dataclass
from typing import Final

from tallystick.protocol.units import Atoms

JUDGES: Final = (3, 5)
"""Judges that a duel can have; an appeal has twice as many and one."""
SECOND_PARTS: Final = 2
"""A duel's second request costs at most so many times what the first one could."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """A payer's wish that a share of its requests is answered twice, and judged.

    Providers that judge read what was asked and answered: a request that says `{"tallystick": {"duel":
    false}}` is private, and never becomes a duel."""

    share: float
    """Of requests, by chance: 0 ≤ share ≤ 1. A request that says `{"duel": true}` is one in any case."""
    budget: Atoms | int
    """Atoms that second requests, judges and fees may cost, over the whole life of a purse and within its own
    budget. Once they are spent there are no more duels."""
    judges: int = 3
    """One of `JUDGES`."""
    fee: Atoms | int = 0
    """Atoms for the judges of one duel, put up on chain; zero: the least that the contract takes."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"A share is between 0 and 1, not {self.share}.")
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

    def cost_factor(self, judge_share: float) -> float:
        """Of what requests cost in the mean with duels, over what they cost without. `judge_share`: what one
        judge costs, its part of the fee included, over what the request cost."""
        return 1 + self.share * (1 + self.judges * judge_share)
