"""How nodes of a comparison take part where no rule that ships is meant. Also what a policy of a user's own
looks like: a class, named in the configuration by its dotted path."""

from dataclasses import dataclass

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
