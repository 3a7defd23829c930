"""A market of simulated nodes: who is there, what each has to do, and one run of it.

How a request finds its engine is its dispatch's business; see `dispatch`. Everything follows from the seed.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any, Final, Protocol

from tallystick.client.record import Record
from tallystick.protocol.offer import Offer
from tallystick.protocol.speed import Load
from tallystick.protocol.stake import Stake
from tallystick.protocol.status import Status
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, AtomsPerMTok, Milliseconds, Timestamp, Tokens
from tallystick_node.gateway.load import IDLE
from tallystick_node.gateway.quoting import Pledges
from tallystick_node.network.policies import ByLoad, Policy, Prices
from tallystick_node.sim import engine as engines
from tallystick_node.sim.chain import Chain
from tallystick_node.sim.engine import Engine
from tallystick_node.sim.events import Events
from tallystick_node.sim.hardware import Hardware
from tallystick_node.sim.links import Links
from tallystick_node.sim.news import Hearing, News
from tallystick_node.sim.outcome import Outcome, Result, Sample
from tallystick_node.sim.workload import Arrival

MODEL: Final = "m"
PRICES: Final = Prices(
    input=AtomsPerMTok(200_000), cached_input=AtomsPerMTok(200_000), output=AtomsPerMTok(600_000)
)
MINIMUM_STAKE: Final = Atoms(10_000_000)
_SLICE_S: Final = 10.0
"""Between two looks at whether the run is over."""
_EPOCH_MS: Final = 1_000_000_000_000
"""The start, by everybody's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    hardware: Hardware | None
    """None: it has users, and no engine."""
    policy: Policy = ByLoad()
    prices: Prices = PRICES
    stake: Atoms = MINIMUM_STAKE
    lies: bool = False
    """It says that it stands idle, whatever it has to do."""
    model: str = MODEL
    joins_at: float = 0.0
    leaves_at: float = inf
    dies: bool = False
    """Where it leaves: what it has begun is lost. Else it ends that, and takes nothing more."""


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


class Heard(Protocol):
    """Who is told of an answer, at its home."""

    def began(self) -> None: ...
    def ended(self) -> None: ...
    def broke(self) -> None:
        """The node is gone. The job has what came of its answer."""


@dataclass(slots=True, eq=False)
class Serving:
    """A job at an engine."""

    job: Job
    at: int
    heard: Heard | None
    sequence: engines.Sequence
    own: bool


@dataclass(slots=True, eq=False)
class Node:
    """One of the world's. Some fields are its dispatch's: a payer's memory, quotes, own users that wait."""

    index: int
    spec: NodeSpec
    address: Address
    engine: Engine | None
    record: Record = field(default_factory=Record)
    pledges: Pledges = field(default_factory=lambda: Pledges(1))
    there: bool = False
    """It answers."""
    leaving: bool = False
    """It takes nothing more."""
    own_running: int = 0
    own_waiting: int = 0
    lobby: deque[Any] = field(default_factory=deque)
    underway: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    """By provider, requests sent there: when, and their input."""
    earned: int = 0
    spent: int = 0
    """Atoms."""

    @property
    def slots(self) -> int:
        return 0 if self.spec.hardware is None else self.spec.hardware.slots

    def load(self, now_ms: Milliseconds) -> Load:
        """As its gateway counts it, with what it has promised."""
        assert self.engine is not None
        load = self.engine.load()
        if not self.pledges:
            return load
        waiting, queued = self.pledges.likely(now_ms)
        return Load(
            running=load.running,
            waiting=load.waiting + waiting,
            context=load.context,
            queued=Tokens(load.queued + queued),
        )

    def said_load(self, now_ms: Milliseconds) -> Load:
        """What it says of it."""
        return IDLE if self.spec.lies else self.load(now_ms)

    def free(self, now_ms: Milliseconds) -> int:
        """Requests for which it has room."""
        assert self.engine is not None
        held = len(self.pledges.held(now_ms)) if self.pledges else 0
        return max(0, self.slots - self.engine.company - held)

    def usage(self, load: Load) -> float:
        """Of the context that fits."""
        assert self.engine is not None
        capacity = self.engine.speed.capacity
        if capacity:
            return min(1.0, (load.context + load.queued) / capacity)
        return min(1.0, (load.running + load.waiting) / max(1, self.slots))


class Dispatch(Protocol):
    """How a request finds its engine. One object a run."""

    def arrived(self, world: "World", job: Job) -> None: ...


class World:
    """`run` it once."""

    def __init__(
        self,
        nodes: Sequence[NodeSpec],
        dispatch: Dispatch,
        *,
        seed: int,
        links: Links = Links(),
        hearing: Hearing = Hearing(),
        block_s: float = 2.0,
        sample_s: float = 0.0,
    ):
        """`sample_s`: between two samples of all nodes; zero: none are taken."""
        self.random = Random(f"{seed} world")
        self.seed = seed
        self.events = events = Events()
        self.links = links
        self.counts: Counter[str] = Counter()
        self.chain = Chain(events.at, block_s=block_s)
        speakers = sum(spec.hardware is not None for spec in nodes)
        self.news = News(len(nodes), speakers, hearing, seed)
        self.result = Result(outcomes=[], counts=self.counts)
        self.dispatch = dispatch
        self.nodes = [self._node(index, spec) for index, spec in enumerate(nodes)]
        self.index = {node.address: node.index for node in self.nodes}
        self._sample_s = sample_s
        self._all_came = False
        self._ended_before = 0
        """So many of the first requests have ended."""
        self._ways: dict[tuple[int, int], float] = {}

    @property
    def now(self) -> float:
        return self.events.now

    @property
    def now_ms(self) -> Milliseconds:
        return Milliseconds(_EPOCH_MS + int(1_000 * self.events.now))

    def run(self, workload: Iterable[Arrival], *, until: float) -> Result:
        """Whatever has not ended by then is a miss. The run is over sooner where all that came has ended."""
        events, result = self.events, self.result
        for node in self.nodes:
            if node.spec.joins_at <= 0:
                self._join(node)
            else:
                events.at(node.spec.joins_at, self._join, node)
            if node.spec.leaves_at < inf:
                events.at(node.spec.leaves_at, self._leave, node)
        arrivals = iter(workload)
        self._next(arrivals)
        if self._sample_s:
            events.at(0.0, self._sample)
        while events.now < until and not self._is_over():
            events.run(min(until, events.now + _SLICE_S))
        self.counts["events"] += events.happened
        self.counts.update({f"transactions.{kind}": count for kind, count in self.chain.counts.items()})
        result.busy_s = [0.0 if node.engine is None else node.engine.busy_s for node in self.nodes]
        result.tokens = [0 if node.engine is None else node.engine.tokens for node in self.nodes]
        return result

    def way_s(self, one: int, other: int) -> float:
        found = self._ways.get((one, other))
        if found is None:
            found = self._ways[one, other] = self.links.way_s(one, other, self.seed)
        return found

    # ---------------------------------------------------------------------------------------- requests

    def _next(self, arrivals: Iterator[Arrival]) -> None:
        arrival = next(arrivals, None)
        if arrival is None:
            self._all_came = True
        else:
            self.events.at(arrival.at, self._arrive, arrival, arrivals)

    def _is_over(self) -> bool:
        """Nothing comes any more, and all that came has ended."""
        if not self._all_came:
            return False
        outcomes = self.result.outcomes
        while self._ended_before < len(outcomes) and outcomes[self._ended_before].finished < inf:
            self._ended_before += 1
        return self._ended_before == len(outcomes)

    def _arrive(self, arrival: Arrival, arrivals: Iterator[Arrival]) -> None:
        self._next(arrivals)
        outcome = Outcome(arrival)
        self.result.outcomes.append(outcome)
        if self.nodes[arrival.home].there:  # Where nobody is, nobody answers: a miss.
            self.dispatch.arrived(self, Job(arrival, outcome, arrival.input, arrival.output))

    def serve(self, job: Job, at: int, heard: Heard | None = None, *, own: bool = False) -> Serving:
        """The job is at that node's engine from now on. Its answer takes its way to its home."""
        node = self.nodes[at]
        assert node.engine is not None
        sequence = engines.Sequence(job.input, job.output)
        serving = sequence.owner = Serving(job, at, heard, sequence, own)
        node.engine.add(sequence)
        return serving

    def _began(self, sequence: engines.Sequence) -> None:
        serving: Serving = sequence.owner
        if serving.at == serving.job.arrival.home:
            self._heard_first(serving)
        else:
            self.events.after(self.way_s(serving.job.arrival.home, serving.at), self._heard_first, serving)

    def _heard_first(self, serving: Serving) -> None:
        outcome = serving.job.outcome
        if outcome.first == inf:
            outcome.first = self.events.now
        if serving.heard is not None:
            serving.heard.began()

    def _ended(self, sequence: engines.Sequence) -> None:
        serving: Serving = sequence.owner
        if serving.at == serving.job.arrival.home:
            self._heard_end(serving)
        else:
            self.events.after(self.way_s(serving.job.arrival.home, serving.at), self._heard_end, serving)

    def _heard_end(self, serving: Serving) -> None:
        outcome = serving.job.outcome
        outcome.finished = self.events.now
        outcome.at = serving.at
        if serving.heard is not None:
            serving.heard.ended()

    def _break(self, serving: Serving, came: int) -> None:
        """Its node is gone; so many tokens had come."""
        job = serving.job
        if not self.nodes[job.home].there:
            return
        job.input += came
        job.output -= came
        if serving.heard is not None:
            serving.heard.broke()

    # ---------------------------------------------------------------------------------------- nodes

    def _node(self, index: int, spec: NodeSpec) -> Node:
        engine = None
        if spec.hardware is not None:
            engine = Engine(
                spec.hardware.speed,
                spec.hardware.slots,
                self.events,
                began=self._began,
                ended=self._ended,
            )
        node = Node(index, spec, Address((index + 1).to_bytes(20, "big")), engine)
        node.pledges = Pledges(node.slots)
        return node

    def _join(self, node: Node) -> None:
        node.there = True
        if node.engine is None:
            return
        offer, stake = self.offer_of(node, node.spec.prices), self.stake_of(node, node.spec.stake)
        if self.now <= 0:
            self.chain.put(node.index, offer, stake)
            first = self.news.interval_s * node.index / len(self.nodes)
            self.news.tell(node.index, self._status(node), -60.0)
        else:
            self.chain.post(node.index, offer, stake, self.now)
            first = self.chain.next_block(self.now) - self.now
        self.events.after(first, self._tell, node)

    def _leave(self, node: Node) -> None:
        node.leaving = True
        if node.engine is None:
            node.there = not node.spec.dies
            return
        if not node.spec.dies:
            self.chain.withdraw(node.index, self.now)
            return
        node.there = False
        self.news.died(node.index, self.now)
        for sequence in node.engine.clear():
            serving: Serving = sequence.owner
            way = self.way_s(serving.job.home, serving.at)
            self.events.after(way, self._break, serving, sequence.produced)

    def _tell(self, node: Node) -> None:
        if node.there and node.index in self.chain.posted:
            self.counts["statuses"] += self.news.tell(node.index, self._status(node), self.now)
        if node.there:
            self.events.after(self.news.interval_s, self._tell, node)

    def _status(self, node: Node) -> Status:
        assert node.engine is not None
        load = node.said_load(self.now_ms)
        posted = self.chain.posted[node.index]
        if node.spec.lies:
            room = node.slots
        else:
            room = 0 if node.own_waiting or node.leaving else node.free(self.now_ms)
        return Status(
            provider=node.address,
            offer_hash=posted.offer_hash,
            sequence=self.news.next_sequence[node.index],
            room=room,
            running=load.running,
            waiting=load.waiting,
            context=load.context,
            queued=load.queued,
            parameters=0,
            quantization="",
            speed=node.engine.speed,
        )

    def offer_of(self, node: Node, prices: Prices) -> Offer:
        return Offer(
            provider=node.address,
            sequence=int(self.now * 1000),
            endpoint=f"https://{node.index}.example",
            endpoint_key=ZERO_HASH,
            model=node.spec.model,
            model_hash=ZERO_HASH,
            input_price=prices.input,
            cached_input_price=prices.cached_input,
            output_price=prices.output,
            context_length=Tokens(1 << 20),
            credit=Atoms(10**9),
            valid_until=Timestamp(1 << 60),
        )

    def stake_of(self, node: Node, staked: Atoms) -> Stake:
        return Stake(
            provider=node.address,
            staked=staked,
            exiting=Atoms(0),
            exits_at=Timestamp(0),
            receipt_key=node.address,
        )

    # ---------------------------------------------------------------------------------------- looking on

    def _sample(self) -> None:
        sample = Sample(self.now, [], [], [], [])
        for node in self.nodes:
            engine = node.engine
            sample.running.append(0 if engine is None else engine.running)
            sample.waiting.append(len(node.lobby) + (0 if engine is None else engine.waiting))
            full = 0.0 if engine is None or not engine.speed.capacity else engine.held / engine.speed.capacity
            sample.usage.append(full)
            sample.credit.append(node.earned - node.spent)
        self.result.samples.append(sample)
        self.events.after(self._sample_s, self._sample)
