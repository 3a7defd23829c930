"""How nodes of a comparison take part, and choose, where nothing that ships is meant. Also what a policy of a
user's own looks like: a class, named in the configuration by its dotted path."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from tallystick.client.choose import Candidate, Choice, Wanted
from tallystick_node.network.policies import THOUSAND, ByLoad, Prices, Request, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone(ByLoad):
    """Serves its own users, and nobody buys for them elsewhere."""

    def offload(self, request: Request, state: State) -> bool | None:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Times(ByLoad):
    """The configured prices, so many times."""

    of_thousand: int = THOUSAND
    """Thousandths of them."""

    def price(self, state: State) -> Prices | None:
        return None if state.base is None else state.base.scaled_up(self.of_thousand)


def believing(candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
    """By the time that adverts promise: no record of what came of them, no quotes, no second thoughts."""

    def promised_s(candidate: Candidate) -> float:
        expected = candidate.foreseen(wanted)
        return inf if expected is None else expected.total_s(wanted.expected_output)

    return [Choice(posted=candidate.posted) for candidate in sorted(candidates, key=promised_s)]
