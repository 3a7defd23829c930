"""A market of simulated nodes: who is there, what each has to do, and one run of it.

How a request finds its engine is its dispatch's business; see `dispatch`. Everything follows from the seed.
"""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Final, Protocol

from tallystick.protocol.speed import Load
from tallystick.protocol.status import Status
from tallystick.protocol.units import Address, Atoms, Milliseconds
from tallystick_node.config import PolicyConfig, SettleConfig
from tallystick_node.gateway.quoting import Pledges
from tallystick_node.gateway.settling import SettlePolicy
from tallystick_node.network.lobby import LobbyLimits
from tallystick_node.sim import engine as engines
from tallystick_node.sim.chain import Chain
from tallystick_node.sim.crediting import Credits
from tallystick_node.sim.engine import Engine
from tallystick_node.sim.events import Events
from tallystick_node.sim.gossiped import Gossiped
from tallystick_node.sim.links import Links
from tallystick_node.sim.news import Hearing, News
from tallystick_node.sim.nodes import MINIMUM_STAKE, MODEL, PRICES, Job, Node, NodeSpec
from tallystick_node.sim.outcome import Outcome, Result, Sample
from tallystick_node.sim.spread import note
from tallystick_node.sim.till import Till
from tallystick_node.sim.workload import Arrival

__all__ = ["MINIMUM_STAKE", "MODEL", "PRICES", "Dispatch", "Job", "Listener", "Node", "NodeSpec", "World"]

_SETTLE, _POLICY = SettleConfig(), PolicyConfig()
"""A node's configuration where it says nothing."""
SETTLING: Final = SettlePolicy(
    amount=Atoms(_SETTLE.amount), interval_s=_SETTLE.interval_s, minimum=Atoms(_SETTLE.minimum)
)
"""Of gas there is no price here."""
_SLICE_S: Final = 10.0
"""Between two looks at whether the run is over."""
_COLLECTED_AFTER: Final = 1_000_000
"""Objects."""
_FEW: Final = 64
"""Nodes of which the ways between all pairs are kept."""
_EPOCH_MS: Final = 1_000_000_000_000
"""The start, by everybody's clock."""


class Listener(Protocol):
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
    listener: Listener | None


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
        settling: SettlePolicy = SETTLING,
        block_s: float = 2.0,
        sample_s: float = 0.0,
        gossips: bool = False,
        limits: LobbyLimits | None = None,
    ):
        """`sample_s`: between two samples of all nodes; zero: none are taken. `gossips`: news go by the
        nodes' own gossip, and `hearing` says nothing. `limits`: of own users that wait; None: they wait for
        ever."""
        self.random = Random(f"{seed} world")
        self.seed = seed
        self.events = events = Events()
        self.links = links
        self.counts: Counter[str] = Counter()
        self.chain = Chain(events.at, block_s=block_s)
        speakers = sum(spec.hardware is not None for spec in nodes)
        addresses = [Address((index + 1).to_bytes(20, "big")) for index in range(len(nodes))]
        self.news: News | Gossiped = (
            Gossiped(addresses, speakers, events, self.chain, self.way_s, seed)
            if gossips
            else News(len(nodes), speakers, hearing, seed)
        )
        self.limits = limits
        self.result = Result(outcomes=[], counts=self.counts)
        self.dispatch = dispatch
        self.nodes = [
            self._node(index, address, spec, settling)
            for index, (address, spec) in enumerate(zip(addresses, nodes, strict=True))
        ]
        self.index = {node.address: node.index for node in self.nodes}
        kinds = [spec.hardware.speed for spec in nodes if spec.hardware is not None]
        self._longest = max((speed.capacity or inf for speed in kinds), default=inf)
        """Tokens of a request that some engine here can hold: what is longer, each refuses."""
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
        self._next(iter(workload))
        if self._sample_s:
            events.at(0.0, self._sample)
        before = gc.get_threshold()
        gc.set_threshold(_COLLECTED_AFTER)  # A run keeps what it makes: looking for waste takes a third.
        try:
            while events.now < until and not self._is_over():
                before_it = len(result.outcomes)
                events.run(min(until, events.now + _SLICE_S))
                note(len(result.outcomes) - before_it)
        finally:
            gc.set_threshold(*before)
        self.counts["events"] += events.happened
        if isinstance(self.news, Gossiped):
            self.counts["gossip bytes"] += self.news.sent
        self.counts.update({f"transactions.{kind}": count for kind, count in self.chain.counts.items()})
        result.busy_s = [0.0 if node.engine is None else node.engine.busy_s for node in self.nodes]
        result.tokens = [0 if node.engine is None else node.engine.tokens for node in self.nodes]
        return result

    def way_s(self, one: int, other: int) -> float:
        """From one node to another."""
        if len(self.nodes) > _FEW:
            return self.links.way_s(one, other, self.seed)
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
        home = self.nodes[arrival.home]
        if arrival.input + arrival.output > self._longest:
            self.counts["too long"] += 1
        elif home.there and not home.leaving:  # Where nobody is, nobody answers: a miss.
            self.dispatch.arrived(self, Job(arrival, outcome, arrival.input, arrival.output))

    def serve(self, job: Job, at: int, listener: Listener | None = None) -> None:
        """The job is at that node's engine from now on. Its answer takes its way to its home."""
        engine = self.nodes[at].engine
        assert engine is not None
        engine.add(engines.Sequence(job.input, job.output, Serving(job, at, listener)))

    def _began(self, sequence: engines.Sequence) -> None:
        serving: Serving = sequence.owner
        home = serving.job.arrival.home
        if serving.at == home:
            self._heard_first(serving)
        else:
            late = self.links.late_s(self.random) if self.links.loss else 0.0
            self.events.after(self.way_s(home, serving.at) + late, self._heard_first, serving)

    def _heard_first(self, serving: Serving) -> None:
        outcome = serving.job.outcome
        if outcome.first == inf:
            outcome.first = self.events.now
        if serving.listener is not None:
            serving.listener.began()

    def _ended(self, sequence: engines.Sequence) -> None:
        serving: Serving = sequence.owner
        home = serving.job.arrival.home
        if serving.at == home:
            self._heard_end(serving)
        else:
            late = self.links.late_s(self.random) if self.links.loss else 0.0
            self.events.after(self.way_s(home, serving.at) + late, self._heard_end, serving)

    def _heard_end(self, serving: Serving) -> None:
        outcome = serving.job.outcome
        if not self.nodes[outcome.arrival.home].there:
            return  # Nobody hears it.
        outcome.finished = self.events.now
        outcome.at = serving.at
        if outcome.first > outcome.finished:  # The first word was lost, and came after all that followed.
            outcome.first = outcome.finished
        if serving.listener is not None:
            serving.listener.ended()

    def _break(self, serving: Serving, came: int) -> None:
        """Its node is gone; so many tokens had come."""
        job = serving.job
        if not self.nodes[job.home].there:
            return
        job.input += came
        job.output -= came
        if serving.listener is not None:
            serving.listener.broke()

    # ---------------------------------------------------------------------------------------- nodes

    def _node(self, index: int, address: Address, spec: NodeSpec, settling: SettlePolicy) -> Node:
        engine, slots = None, 0
        if (hardware := spec.hardware) is not None:
            slots = hardware.slots
            engine = Engine(hardware.speed, slots, self.events, began=self._began, ended=self._ended)
        return Node(
            index=index,
            spec=spec,
            address=address,
            engine=engine,
            slots=slots,
            till=Till(self.events, self.chain, settling),
            pledges=Pledges(slots),
            prices=spec.prices,
            staked=spec.stake,
            credits=None if spec.credit is None else Credits(address),
        )

    def _join(self, node: Node) -> None:
        node.there = True
        if node.engine is None:
            return
        if self.now <= 0:
            self.chain.put(node.index, node.offer(0), node.stake())
            self.news.tell(node.index, self._status(node, node.load(self.now_ms)), -60.0)
            first = self.news.interval_s * node.index / len(self.nodes)
        else:
            self.chain.post(node.index, node.offer(0), node.stake(), self.now)
            first = self.chain.next_block(self.now) - self.now
        self.events.after(first, self._tell, node)
        part = node.index / len(self.nodes)  # Not all at once.
        self.events.after(_POLICY.price_every_s * (1 + part), self._price, node)
        self.events.after(node.spec.stake_every_s * (1 + part), self._stake, node)

    def _leave(self, node: Node) -> None:
        node.leaving = True
        if node.engine is None:
            node.there = not node.spec.dies
            return
        if not node.spec.dies:
            self.chain.withdraw(node.index, self.now)
            node.till.leave()
            return
        node.there = False
        self.news.died(node.index, self.now)
        for sequence in node.engine.clear():
            serving: Serving = sequence.owner
            way = self.way_s(serving.job.home, serving.at)
            self.events.after(way, self._break, serving, sequence.produced)

    def _tell(self, node: Node) -> None:
        if not node.there:
            return
        load = node.load(self.now_ms)
        usage = node.usage(load)
        node.used.note(usage)
        node.used_long.note(usage)
        if node.index in self.chain.posted:
            self.counts["statuses"] += self.news.tell(node.index, self._status(node, load), self.now)
        self.events.after(self.news.interval_s, self._tell, node)

    def _status(self, node: Node, load: Load) -> Status:
        assert node.engine is not None
        load = node.said(load)
        if node.spec.lies:
            room = node.slots
        else:
            room = 0 if node.own_waiting or node.leaving else node.free(self.now_ms)
        return Status(
            provider=node.address,
            offer_hash=self.chain.posted[node.index].offer_hash,
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

    def _price(self, node: Node) -> None:
        """Asks its policy, now and then, what it is to sell at."""
        if not node.there or node.leaving:
            return
        usage = node.used.take()
        if usage is not None:
            state = node.state(self.now_ms, self.random.getrandbits(64), usage)
            wanted = node.spec.policy.price(state)
            if wanted is not None and wanted != node.prices:
                node.prices = wanted
                self.chain.post(node.index, node.offer(int(1_000 * self.now)), node.stake(), self.now)
        self.events.after(_POLICY.price_every_s, self._price, node)

    def _stake(self, node: Node) -> None:
        """And how much it is to stake."""
        if not node.there or node.leaving:
            return
        usage = node.used_long.take()
        if usage is not None:
            state = node.state(self.now_ms, self.random.getrandbits(64), usage)
            wanted = node.spec.policy.stake(state)
            if wanted is not None and (staked := Atoms(max(MINIMUM_STAKE, wanted))) != node.staked:
                node.staked = staked
                self.chain.stake(node.index, staked, self.now)
        self.events.after(node.spec.stake_every_s, self._stake, node)

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
