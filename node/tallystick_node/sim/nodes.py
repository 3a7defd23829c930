"""A simulated node: what it is made of, and what it knows of itself at any moment."""

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from tallystick.client.record import Record
from tallystick.protocol.length import fits
from tallystick.protocol.offer import Offer
from tallystick.protocol.speed import Load
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, AtomsPerMTok, Milliseconds, Timestamp, Tokens
from tallystick_node.config import PolicyConfig
from tallystick_node.gateway.load import IDLE
from tallystick_node.gateway.quoting import Pledges
from tallystick_node.network.participation import Mean, usage_of
from tallystick_node.network.policies import ByLoad, Policy, Prices, State
from tallystick_node.sim.crediting import Credits
from tallystick_node.sim.engine import Engine
from tallystick_node.sim.hardware import Hardware
from tallystick_node.sim.outcome import Outcome
from tallystick_node.sim.till import Till
from tallystick_node.sim.workload import Arrival

MODEL: Final = "m"
PRICES: Final = Prices(
    input=AtomsPerMTok(200_000), cached_input=AtomsPerMTok(200_000), output=AtomsPerMTok(600_000)
)
MINIMUM_STAKE: Final = Atoms(10_000_000)
STAKED_EVERY_S: Final[float] = PolicyConfig().stake_every_s
"""Between two questions of how much is to be at stake, of a node that is not configured."""
_NO_LIMIT: Final = Atoms(10**9)
"""Of a credit."""
_ANY: Final = Tokens(1 << 20)
"""Of context, where nobody says how much fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    hardware: Hardware | None
    """None: it has users, and no engine."""
    policy: Policy = ByLoad()
    prices: Prices = PRICES
    stake: Atoms = MINIMUM_STAKE
    stake_every_s: float = STAKED_EVERY_S
    lies: bool = False
    """It says that it stands idle, whatever it has to do."""
    credit: Atoms | None = None
    """Of each payer; None: it never runs out."""
    model: str = MODEL
    joins_at: float = 0.0
    leaves_at: float = inf
    dies: bool = False
    """Where it leaves: its process ends, and what it has begun is lost. Else it ends that, and takes nothing
    more."""


@dataclass(slots=True, eq=False)
class Job:
    """A request until it is answered."""

    arrival: Arrival
    outcome: Outcome
    input: int
    """Tokens; where somebody broke off, with those of the answer that came."""
    output: int
    """Tokens that are missing."""

    @property
    def home(self) -> int:
        return self.arrival.home


@dataclass(slots=True, eq=False, kw_only=True)
class Node:
    """One of a world's. Some fields are its dispatch's: a payer's memory, quotes, own users that wait."""

    index: int
    spec: NodeSpec
    address: Address
    engine: Engine | None
    slots: int
    """Sequences of its engine at a time: the requests that it takes."""
    till: Till
    pledges: Pledges
    prices: Prices
    """In force, or on their way there."""
    staked: Atoms
    credits: Credits | None = None
    """None: its payers' credit never runs out."""
    record: Record = field(default_factory=Record)
    there: bool = False
    """It answers."""
    leaving: bool = False
    """It takes nothing more."""
    own_running: int = 0
    own_waiting: int = 0
    lobby: deque[Job] = field(default_factory=deque)
    underway: dict[int, list[Any]] = field(default_factory=dict)
    """By provider, the attempts that are under way there."""
    spent: int = 0
    """Atoms."""
    used: Mean = field(default_factory=Mean)
    """Usage since the policy was asked for a price."""
    used_long: Mean = field(default_factory=Mean)
    """The same, for a stake."""

    @property
    def earned(self) -> int:
        """Atoms."""
        return self.till.earned

    def load(self, now_ms: Milliseconds) -> Load:
        """As its gateway counts it, with what it has promised."""
        assert self.engine is not None
        load = self.engine.load()
        if not self.pledges:
            return load
        waiting, queued = self.pledges.likely(now_ms)
        return Load(load.running, load.waiting + waiting, load.context, Tokens(load.queued + queued))

    def holds(self, job: Job) -> bool:
        """All of its context, by itself: else the engine refuses it."""
        assert self.engine is not None
        return fits(job.input + job.output, self.engine.speed.capacity)

    def said(self, load: Load) -> Load:
        """What it says of it."""
        return IDLE if self.spec.lies else load

    def free(self, now_ms: Milliseconds) -> int:
        """Requests for which it has room."""
        assert self.engine is not None
        free = self.slots - self.engine.company
        if self.pledges:
            free -= len(self.pledges.held(now_ms))
        return free if free > 0 else 0

    def usage(self, load: Load) -> float:
        assert self.engine is not None
        return usage_of(load, self.engine.speed, self.slots)

    def sent_since(self, provider: int, since: float) -> tuple[int, Tokens]:
        """Requests of its own under way at that provider that were sent since then, and their input."""
        requests = tokens = 0
        for attempt in self.underway[provider]:
            if attempt.sent_at >= since:
                requests += 1
                tokens += attempt.input
        return requests, Tokens(tokens)

    def state(self, now: Milliseconds, seed: int, usage: float) -> State:
        """For a question about prices or stake."""
        return State(
            now=now,
            seed=seed,
            load=self.load(now),
            room=self.free(now),
            usage=usage,
            own_waiting=self.own_waiting,
            base=self.spec.prices,
            prices=self.prices,
            staked=self.staked,
            minimum_stake=MINIMUM_STAKE,
        )

    # ----------------------------------------------------------------------------------- on chain

    def offer(self, sequence: int) -> Offer:
        """Of as much context as its engine holds."""
        held = Tokens(0) if self.engine is None else self.engine.speed.capacity
        return offer_of(
            self.address,
            self.prices,
            model=self.spec.model,
            sequence=sequence,
            credit=self.spec.credit,
            context=held or _ANY,
        )

    def stake(self) -> Stake:
        return stake_of(self.address, self.staked)


def offer_of(
    provider: Address,
    prices: Prices,
    *,
    model: str = MODEL,
    sequence: int = 0,
    credit: Atoms | None = None,
    context: Tokens = _ANY,
) -> Offer:
    return Offer(
        provider=provider,
        sequence=sequence,
        endpoint=f"https://{int.from_bytes(provider, 'big') - 1}.example",
        endpoint_key=ZERO_HASH,
        model=model,
        model_hash=ZERO_HASH,
        input_price=prices.input,
        cached_input_price=prices.cached_input,
        output_price=prices.output,
        context_length=context,
        credit=_NO_LIMIT if credit is None else credit,
        valid_until=Timestamp(1 << 60),
    )


def stake_of(provider: Address, staked: Atoms) -> Stake:
    return Stake(
        provider=provider, staked=staked, exiting=Atoms(0), exits_at=Timestamp(0), receipt_key=provider
    )
