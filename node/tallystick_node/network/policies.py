"""What a node does of its own accord: which paid work it takes, which requests of its own users it buys
elsewhere, at what prices it sells, and how much it stakes.

A policy is any class with these four methods. It decides from what it is told, and does nothing: it knows no
clock, no chain and no randomness; a seed comes in where it draws.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.length import TYPICAL_ANSWER
from tallystick.protocol.speed import Load, Pace
from tallystick.protocol.units import Atoms, AtomsPerMTok, Milliseconds, Tokens
from tallystick.protocol.value import value

THOUSAND: Final = 1_000
AGAIN_S: Final = 0.5
"""Before a policy that is undecided about an own user's request is asked again."""
COUNTED: Final = 8
"""Providers that are counted, at most: to look at all of many takes longer than a request may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Atoms per million tokens."""

    input: AtomsPerMTok
    cached_input: AtomsPerMTok
    output: AtomsPerMTok

    def scaled_up(self, thousandths: int) -> "Prices":
        """Each, rounded in the provider's favour."""
        values = (
            -(-price * thousandths // THOUSAND) for price in (self.input, self.cached_input, self.output)
        )
        return Prices(
            **dict(zip(("input", "cached_input", "output"), map(AtomsPerMTok, values), strict=True))
        )


@value()
class Request:
    """Somebody wants an answer."""

    model: str
    input_tokens: Tokens
    """An estimate."""
    output_tokens: Tokens | None
    """At most, of all answers together; None: the caller set no limit."""
    own: bool
    """By a user of this node, who does not pay."""
    typical_output: Tokens = TYPICAL_ANSWER
    """Output tokens that answers of this model had before, as far as the node knows."""
    answers: int = 1
    """Asked for, over all prompts."""

    @property
    def expected_output(self) -> Tokens:
        if self.output_tokens is None:
            return self.typical_output
        return min(self.output_tokens, self.typical_output)


@value()
class State:
    """The node, at one moment."""

    now: Milliseconds
    seed: int
    """64 bits, new with each question."""
    load: Load
    """What the engine has to do, own users' requests among it."""
    room: int
    """Requests that the engine would take now beside those that run."""
    usage: float
    """0 to 1: the part in use of what the engine holds. For prices and stake its mean since the last
    question."""
    own_waiting: int
    """Requests of own users that wait for the engine."""
    here: Pace | None = None
    """What the request can expect of this node's engine; None: not known."""
    elsewhere: Pace | None = None
    """What it can expect of the provider that would be bought from; None: not known."""
    providers: int = 0
    """Providers that it could be bought from; `COUNTED` of them stand for any number."""
    holds: bool = True
    """Whether the engine has the context for the request, as far as is known."""
    balance: Atoms = Atoms(0)
    """Free on the node's payer account."""
    base: Prices | None = None
    """As the configuration has them, for the offer that is asked about."""
    prices: Prices | None = None
    """In force."""
    staked: Atoms = Atoms(0)
    minimum_stake: Atoms = Atoms(0)


class Policy(Protocol):
    """How a node takes part. Named in its configuration, by dotted path."""

    def accept(self, request: Request, state: State) -> bool:
        """Whether to take a paid request. Never asked while own users wait: they come first."""

    def offload(self, request: Request, state: State) -> bool | None:
        """Whether to buy the answer for an own user elsewhere; None: ask again after `AGAIN_S`. Never asked
        about paid requests, which are never passed on, nor about what the engine cannot hold."""

    def price(self, state: State) -> Prices | None:
        """What the offer is to cost from now on; None: as it is. Each change is a transaction."""

    def stake(self, state: State) -> Atoms | None:
        """What is to be at stake; None: as it is. Never under the market's minimum."""


def offloads(policy: Policy, request: Request, state: State) -> bool | None:
    """As the policy says; but what the engine cannot hold is bought, if anybody sells it."""
    return policy.offload(request, state) if state.holds else state.providers > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ByLoad:
    """The default: takes what there is room for, buys where one's own engine would take longer than the
    market, and lets prices follow the load between bounds. The stake is left alone."""

    patience: float = 1.0
    """Own users have the own engine up to so many times what it takes elsewhere, as they feel it, …"""
    slack_s: float = 1.0
    """… and so many seconds more, before atoms are spent."""
    lowest: int = THOUSAND
    """Thousandths of the configured prices, of an idle engine."""
    highest: int = THOUSAND
    """Of a full one."""
    target: float = 0.7
    """Usage at which the configured prices hold."""
    step: int = 50
    """Thousandths that prices change by at least: each change is a transaction."""
    band: float = 0.05
    """Usage by which the load must be past the point at which a price is due, before it changes. A load that
    wanders by no more changes prices once at most."""

    def __post_init__(self) -> None:
        if not 0 < self.lowest <= THOUSAND <= self.highest:
            raise ValueError(f"lowest ≤ {THOUSAND} ≤ highest is needed, not {self.lowest} and {self.highest}")
        _require_part("target", self.target)
        if self.step <= 0:
            raise ValueError(f"step is to be above 0, not {self.step}")
        if not 0 <= self.band < 1:
            raise ValueError(f"band is to be a part of 1, not {self.band}")

    def accept(self, request: Request, state: State) -> bool:
        return state.room > 0

    def offload(self, request: Request, state: State) -> bool | None:
        if not state.providers:
            return False
        if state.here is None or state.elsewhere is None:
            return state.own_waiting > 0 or state.room <= 0
        tokens = request.expected_output
        return state.here.felt_s(tokens) > self.patience * state.elsewhere.felt_s(tokens) + self.slack_s

    def price(self, state: State) -> Prices | None:
        if state.base is None:
            return None
        if any(state.base.scaled_up(due) == state.prices for due in self._nearly_due(state.usage)):
            return None
        return state.base.scaled_up(self.thousandths(state.usage))

    def _nearly_due(self, usage: float) -> Iterator[int]:
        """What is due at some usage that is within the band of this one."""
        low, high = (self.thousandths(min(1.0, max(0.0, usage + off))) for off in (-self.band, self.band))
        yield from (low, high)
        first = THOUSAND - (THOUSAND - low) // self.step * self.step
        yield from range(first, high, self.step)

    def thousandths(self, usage: float) -> int:
        """Of the configured prices, a whole number of steps from them, and never out of bounds."""
        if usage <= self.target:
            exact = self.lowest + (THOUSAND - self.lowest) * usage / self.target
        else:
            exact = THOUSAND + (self.highest - THOUSAND) * (usage - self.target) / (1 - self.target)
        stepped = THOUSAND + round((exact - THOUSAND) / self.step) * self.step
        return min(self.highest, max(self.lowest, stepped))

    def stake(self, state: State) -> Atoms | None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """As in WWW.Serve (arXiv 2603.20661): each decision a draw with the frequency that the provider chose,
    and a stake that follows the load."""

    accept_frequency: float = 0.8
    offload_frequency: float = 0.8
    queue_frequency: float = 0.2
    target: float = 0.7
    """Usage up to which the node serves."""
    stake_unit: int = 0
    """Atoms that one of the paper's credits of stake stands for, on top of the market's minimum; 0: the stake
    is left alone."""

    def __post_init__(self) -> None:
        for name in ("accept_frequency", "offload_frequency", "queue_frequency", "target"):
            _require_part(name, getattr(self, name))
        if self.stake_unit < 0:
            raise ValueError(f"stake_unit is not to be below 0, as {self.stake_unit} is")

    def accept(self, request: Request, state: State) -> bool:
        return state.usage < self.target and _drawn(state.seed, b"accept", self.accept_frequency)

    def offload(self, request: Request, state: State) -> bool | None:
        if state.usage < self.target:
            return False
        if state.providers and _drawn(state.seed, b"offload", self.offload_frequency):
            return True
        return False if _drawn(state.seed, b"queue", self.queue_frequency) else None

    def price(self, state: State) -> Prices | None:
        return None

    def stake(self, state: State) -> Atoms | None:
        """A step of two credits at most."""
        if not self.stake_unit:
            return None
        held = max(0, state.staked - state.minimum_stake) // self.stake_unit
        wanted = max(held - 2, min(held + 2, self._credits(state)))
        stake = Atoms(state.minimum_stake + wanted * self.stake_unit)
        return None if stake == state.staked else stake

    def _credits(self, state: State) -> int:
        part = state.usage / self.target
        return (3 if part <= 0.5 else 2 if part <= 0.8 else 1 if part <= 1 else 0) + (not state.own_waiting)


def _require_part(name: str, value: float) -> None:
    if not 0 < value < 1 if name == "target" else not 0 <= value <= 1:
        raise ValueError(f"{name} is to be a part of 1, not {value}")


def _drawn(seed: int, what: bytes, frequency: float) -> bool:
    """True with that frequency; each question of one seed is a draw of its own."""
    drawn = int.from_bytes(keccak(seed.to_bytes(8, "big") + what)[:7], "big")
    return drawn < frequency * (1 << 56)
