"""How much a payer lets its programs spend. It knows no purse."""

from dataclasses import dataclass

from tallystick.client.errors import RequestBudgetExceeded
from tallystick.protocol.units import Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Two limits, both kept before anything is signed: `0 < per_request <= total`."""

    total: Atoms | int
    """Atoms over the whole life of a purse, whichever process spends them."""
    per_request: Atoms | int
    """Atoms that one request may cost in the worst case."""

    def __post_init__(self) -> None:
        for limit in (self.total, self.per_request):
            if isinstance(limit, bool) or not isinstance(limit, int):
                raise TypeError(f"A budget is a whole number of atoms, not {limit!r}.")
        if not 0 < self.per_request <= self.total:
            raise ValueError(
                f"A budget needs 0 < per_request <= total, not {self.per_request} and {self.total}."
            )

    def require_affordable(self, worst: Atoms) -> None:
        """Raises RequestBudgetExceeded."""
        if worst > self.per_request:
            raise RequestBudgetExceeded(
                "The request may cost more than the budget allows one.",
                required=worst,
                actual=self.per_request,
            )
