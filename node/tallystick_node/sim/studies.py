"""The paper's experiments, each as cases that are run over seeds: who is there, what is asked, who finds the
engine.

Every case of a study draws the same arrivals from the same seed, so that differences are the cases' own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from tallystick.client.rules import quoted, stake_weighted
from tallystick.protocol.units import Atoms
from tallystick_node.network.policies import ByLoad, Paper, Policy
from tallystick_node.sim.central import Central, papers, strong
from tallystick_node.sim.detail import Detail
from tallystick_node.sim.dispatch import Alone, Live
from tallystick_node.sim.duelling import Duelling
from tallystick_node.sim.hardware import Hardware, read_pool
from tallystick_node.sim.moving import moved_at_will
from tallystick_node.sim.nodes import STAKED_EVERY_S
from tallystick_node.sim.outcome import Sample, quantile
from tallystick_node.sim.settings import (
    CHURN_AT,
    CHURN_GAP_S,
    CHURN_SECONDS,
    DUEL_RATES,
    FOLLOWED_EVERY_S,
    FOLLOWING,
    FREQUENCIES,
    LENGTHS,
    OFFLOAD_GAP_S,
    OFFLOAD_REQUESTS,
    SETTINGS,
    STAKES,
    Setting,
)
from tallystick_node.sim.workload import Arrival, Stretch, azure, scheduled, trace
from tallystick_node.sim.world import MINIMUM_STAKE, Dispatch, NodeSpec

DRAIN_S: Final = 3_600.0
"""After the last arrival: what has not ended by then is a miss."""
SAMPLE_S: Final = 10.0
AZURE_RATE, AZURE_SECONDS = 5.5, 600.0
"""Requests a second, as the public chat trace has them."""


@dataclass(frozen=True, slots=True)
class Played:
    """What is kept of one run: lists are by request, in order of arrival."""

    arrived: Sequence[float]
    latencies: Sequence[float]
    """Seconds of the whole answer; infinite: it never came."""
    homes: Sequence[int]
    served: Sequence[int]
    """By whom; -1: by nobody."""
    probes: int
    bounces: int
    samples: Sequence[Sample] = field(default=(), repr=False)

    @property
    def ended(self) -> Sequence[float]:
        return [latency for latency in self.latencies if latency < inf]

    @property
    def lost(self) -> int:
        return len(self.latencies) - len(self.ended)

    def mean_s(self) -> float:
        """Of those that ended."""
        ended = self.ended
        return fmean(ended) if ended else inf

    def quantile_s(self, part: float) -> float:
        """Of all: what was lost took forever."""
        return quantile(self.latencies, part)

    def attained(self, threshold_s: float) -> float:
        """The part of all requests that was answered by then."""
        return sum(latency <= threshold_s for latency in self.latencies) / max(1, len(self.latencies))

    def bought_of(self, node: int) -> float:
        """Of what was bought elsewhere, the part that this node served."""
        bought = [at for home, at in zip(self.homes, self.served, strict=True) if at not in (home, -1)]
        return bought.count(node) / max(1, len(bought))


Run = Callable[[int, Detail], Played]
"""Of a seed."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to find an engine, and how nodes take part in it."""

    dispatch: Callable[[], Dispatch]
    policy: Policy = ByLoad()
    stake_every_s: float = STAKED_EVERY_S

    def node(self, hardware: Hardware | None, **its: Any) -> NodeSpec:
        """One that takes part so; `its`: what else there is to say of it."""
        given = {"policy": self.policy, "stake_every_s": self.stake_every_s, **its}
        return NodeSpec(hardware=hardware, **given)


EQUAL: Final = "paper-equal"
ARMS: Final[Mapping[str, Arm]] = {
    "single": Arm(Alone),
    "centralised": Arm(partial(Central, papers)),
    "strong": Arm(partial(Central, strong)),
    "paper": Arm(partial(Live, stake_weighted), FOLLOWING, FOLLOWED_EVERY_S),
    EQUAL: Arm(partial(Live, stake_weighted), Paper()),
    "ours": Arm(partial(Live, quoted)),
}
"""No dispatch at all; the paper's central rule; the least expected latency with perfect instant state; the
paper's decentralised rule, and the same where all stakes are equal and stay so; and the node's own."""
MOVED: Final = "moved"
"""See `moving`: no dispatch at all."""
MARKETS: Final = ("paper", "ours")
WITHOUT_HOME: Final = ("centralised", "strong", *MARKETS)


def run(
    nodes: Sequence[NodeSpec],
    dispatch: Dispatch,
    arrivals: Iterable[Arrival],
    *,
    seconds: float,
    seed: int,
    detail: Detail,
) -> Played:
    world = detail.world(nodes, dispatch, seed=seed, sample_s=SAMPLE_S)
    result = world.run(arrivals, until=seconds + DRAIN_S)
    outcomes = result.outcomes
    return Played(
        arrived=[outcome.arrival.at for outcome in outcomes],
        latencies=[outcome.latency_s for outcome in outcomes],
        homes=[outcome.arrival.home for outcome in outcomes],
        served=[outcome.at for outcome in outcomes],
        probes=sum(outcome.probes for outcome in outcomes),
        bounces=sum(outcome.bounces for outcome in outcomes),
        samples=result.samples,
    )


# ------------------------------------------------------------------------------------------ S1 to S4, and own


def setting(name: str) -> Mapping[str, Run]:
    """Of S1 to S4, each arm, and equal shares that are moved at will."""
    arms = {arm: partial(play, SETTINGS[name], arm) for arm in ARMS}
    return {**arms, MOVED: partial(_moved, SETTINGS[name])}


def _moved(its: Setting, seed: int, _: Detail) -> Played:
    arrivals = list(scheduled(its.schedule, LENGTHS, seed=seed))
    return Played(
        arrived=[arrival.at for arrival in arrivals],
        latencies=moved_at_will([machine.speed for machine in its.machines], arrivals),
        homes=[arrival.home for arrival in arrivals],
        served=[-1] * len(arrivals),
        probes=0,
        bounces=0,
    )


def play(its: Setting, arm: str, seed: int, detail: Detail) -> Played:
    """One of the paper's settings, by one way to find an engine."""
    nodes = [ARMS[arm].node(machine) for machine in its.machines]
    arrivals = scheduled(its.schedule, LENGTHS, seed=seed)
    return run(nodes, ARMS[arm].dispatch(), arrivals, seconds=its.seconds, seed=seed, detail=detail)


def own(trace: Path | None, pool: Path | None) -> Mapping[str, Run]:
    """Any arrivals on any machines, each arm: ten minutes of the public chat trace where none are named, and
    the machines of S1. Whose user asks is drawn. Raises TraceUnreadable, BadPool."""
    machines = SETTINGS["S1"].machines if pool is None else read_pool(pool)
    return {arm: partial(_own, trace, machines, arm) for arm in ARMS}


def _own(path: Path | None, machines: Sequence[Hardware], arm: str, seed: int, detail: Detail) -> Played:
    homes = range(len(machines))
    if path is None:
        arrivals = list(azure(AZURE_RATE, AZURE_SECONDS, homes=homes, seed=seed))
    else:
        arrivals = list(trace(path, homes=homes, seed=seed))
    nodes = [ARMS[arm].node(machine) for machine in machines]
    return run(nodes, ARMS[arm].dispatch(), arrivals, seconds=arrivals[-1].at, seed=seed, detail=detail)


# ------------------------------------------------------------------------------------------ churn


def churn(kind: str) -> Mapping[str, Run]:
    """One that only asks, and four that serve: the last two "join" one after another, or "leave", or "die"
    with all that they had begun."""
    return {arm: partial(_churn, kind, arm) for arm in WITHOUT_HOME}


def _churn(kind: str, arm: str, seed: int, detail: Detail) -> Played:
    policy = ARMS[arm].policy
    if isinstance(policy, Paper):
        policy = replace(policy, offload_frequency=1.0, accept_frequency=0.0, queue_frequency=0.0)
    asks = ARMS[arm].node(None, policy=policy)
    machine = SETTINGS["S1"].machines[0]
    serves = [ARMS[arm].node(machine) for _ in range(4)]
    if kind == "join":
        serves[2:] = [replace(node, joins_at=at) for node, at in zip(serves[2:], CHURN_AT, strict=True)]
    else:
        goes = zip(serves[2:], reversed(CHURN_AT), strict=True)
        serves[2:] = [replace(node, leaves_at=at, dies=kind == "die") for node, at in goes]
    arrivals = scheduled([[Stretch(CHURN_GAP_S, 0, CHURN_SECONDS)]], LENGTHS, seed=seed)
    return run(
        [asks, *serves], ARMS[arm].dispatch(), arrivals, seconds=CHURN_SECONDS, seed=seed, detail=detail
    )


# ------------------------------------------------------------------------------------------ sweeps

_ALWAYS: Final = 1e-9
"""A usage over which a node that has anything to do is: each of its own requests is offloaded or not by the
frequency alone."""


def offload() -> Mapping[str, Run]:
    """A hot node that sells nothing, and three idle ones that take everything."""
    swept = {f"paper {frequency:.2f}": partial(_offload, frequency) for frequency in FREQUENCIES}
    return {**swept, "ours": partial(_offload, None)}


def _offload(frequency: float | None, seed: int, detail: Detail) -> Played:
    machine = SETTINGS["S1"].machines[0]
    hot: Policy = ByLoad()
    others: Policy = hot
    arm = "ours"
    if frequency is not None:
        hot = Paper(offload_frequency=frequency, queue_frequency=1.0, accept_frequency=0.0, target=_ALWAYS)
        others = replace(FOLLOWING, offload_frequency=0.0, queue_frequency=1.0, accept_frequency=1.0)
        arm = "paper"
    nodes = [ARMS[arm].node(machine, policy=policy) for policy in (hot, others, others, others)]
    seconds = OFFLOAD_GAP_S * OFFLOAD_REQUESTS
    arrivals = scheduled([[Stretch(OFFLOAD_GAP_S, 0, 2 * seconds)]], LENGTHS, seed=seed)
    return run(
        nodes,
        ARMS[arm].dispatch(),
        islice(arrivals, OFFLOAD_REQUESTS),
        seconds=2 * seconds,
        seed=seed,
        detail=detail,
    )


def stake() -> Mapping[str, Run]:
    """One that only asks, and four alike that serve, of which the first stakes more: who gets the work?"""
    return {
        f"{arm} {times}": partial(_selling, arm, times, ARMS[arm].policy)
        for arm in (EQUAL, "ours")
        for times in STAKES
    }


def accept() -> Mapping[str, Run]:
    """As `stake`, with stakes that follow loads, and a first one that accepts a part of what it could."""
    return {
        f"paper {part:.2f}": partial(_selling, "paper", 1, replace(FOLLOWING, accept_frequency=part))
        for part in FREQUENCIES
    }


def _selling(arm: str, times: int, first: Policy, seed: int, detail: Detail) -> Played:
    machine, its = SETTINGS["S1"].machines[0], ARMS[arm]
    nodes = [
        its.node(None),
        its.node(machine, policy=first, stake=Atoms(times * MINIMUM_STAKE)),
        *(its.node(machine) for _ in range(3)),
    ]
    arrivals = scheduled([[Stretch(CHURN_GAP_S, 0, CHURN_SECONDS)]], LENGTHS, seed=seed)
    return run(nodes, ARMS[arm].dispatch(), arrivals, seconds=CHURN_SECONDS, seed=seed, detail=detail)


# ------------------------------------------------------------------------------------------ duels


def duels() -> Mapping[str, Run]:
    """S1, with a part of the requests answered twice and judged."""
    return {f"{arm} {rate:.2f}": partial(_duels, arm, rate) for arm in MARKETS for rate in DUEL_RATES}


def _duels(arm: str, rate: float, seed: int, detail: Detail) -> Played:
    its = SETTINGS["S1"]
    nodes = [ARMS[arm].node(machine) for machine in its.machines]
    arrivals = scheduled(its.schedule, LENGTHS, seed=seed)
    dispatch = Duelling(ARMS[arm].dispatch(), rate, seed=seed)
    return run(nodes, dispatch, arrivals, seconds=its.seconds, seed=seed, detail=detail)


STUDIES: Final[Mapping[str, Callable[[], Mapping[str, Run]]]] = {
    **{name: partial(setting, name) for name in SETTINGS},
    **{kind: partial(churn, kind) for kind in ("join", "leave", "die")},
    "offload": offload,
    "stake": stake,
    "accept": accept,
    "duels": duels,
}
