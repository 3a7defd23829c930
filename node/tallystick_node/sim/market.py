"""Mixed hardware and a real trace: how many requests a second a market of unequal engines serves well, by
which dispatch. `tally-node sim market`.

The objective is of each request: the first token within 3 s, and 100 ms between tokens, as its user sees it.
What has not ended when the run does is a miss. All dispatches get the same arrivals and the same network.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf, isnan, nan
from pathlib import Path
from statistics import fmean
from typing import Final

from tallystick.client.choose import Wanted
from tallystick.client.rules import Quoted, stake_weighted
from tallystick.client.steering import Steering
from tallystick.protocol.length import TYPICAL_ANSWER
from tallystick_node.network.policies import ByLoad, Policy
from tallystick_node.sim import central
from tallystick_node.sim.capacity import Curve
from tallystick_node.sim.detail import PLAIN, Detail
from tallystick_node.sim.dispatch import Alone, Live
from tallystick_node.sim.hardware import Hardware
from tallystick_node.sim.names import require
from tallystick_node.sim.nodes import STAKED_EVERY_S
from tallystick_node.sim.recorded import TraceUnreadable
from tallystick_node.sim.settings import FOLLOWED_EVERY_S, FOLLOWING
from tallystick_node.sim.workload import CHAT, Arrival, azure, bursty, poisson, trace_at
from tallystick_node.sim.world import Dispatch, Job, Node, NodeSpec

FIRST_S, TOKEN_S = 3.0, 0.1
"""The objective."""
TOLLS: Final = (0.0, 0.25, 0.5)
"""Of which the best central greedy takes the best."""
LIED_TO: Final = (0.9, 1.0)
"""Parts of the rate held at 99 % at which a quarter of the providers lie: with something to spare, and at the
edge."""
SHOWN: Final = (0.5, 0.8)
"""Parts of the rate held at 95 % of which a curve is to know, too."""
ONE_LIES_OF: Final = 4
"""Providers, where some say that they stand idle."""
AFTER_S: Final = 60.0
"""For which a run goes on once nothing comes any more."""
LOWEST, HIGHEST = 0.1, 100_000.0
"""Requests a second: no capacity is looked for beyond."""
TRACE: Final = "trace"
COUNTED: Final = 200
"""Requests of which a part is told, at least: at low rates they come for longer than is asked for."""
ARRIVALS: Final = (TRACE, "poisson", "bursty")
"""How requests come."""
_TYPICAL_INPUT: Final = 1_000
"""Tokens, for a first guess alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to dispatch."""

    name: str
    make: Callable[[], Dispatch]
    policy: Policy = ByLoad()
    stake_every_s: float = STAKED_EVERY_S


class Wishing(Live):
    """Every request carries the objective, as OpenRouter's `preferred_max_latency` and
    `preferred_min_throughput` say it."""

    def wanted(self, home: Node, job: Job) -> Wanted:
        wishes = Steering(longest_wait=((0.0, FIRST_S),), least_rate=((0.0, 1 / TOKEN_S),))
        return replace(super().wanted(home, job), steering=wishes)


def _central(name: str, rule: central.Pick) -> Arm:
    return Arm(name=name, make=lambda: central.Central(rule))


def _ours(name: str, rule: Quoted) -> Arm:
    return Arm(name=f"ours, {name}", make=lambda: Live(rule))


OURS, PAPER, PAPERS_CENTRAL, LEAST = "ours", "paper", "paper-central", "least-requests"
GREEDY: Final = tuple(f"greedy-{toll:g}" for toll in TOLLS)
ARMS: Final[Mapping[str, Arm]] = {
    "single": Arm(name="each at home", make=Alone),
    PAPER: Arm(
        name="the paper's rule",
        make=lambda: Live(stake_weighted),
        policy=FOLLOWING,
        stake_every_s=FOLLOWED_EVERY_S,
    ),
    PAPERS_CENTRAL: _central("the paper's centralised", central.papers),
    LEAST: _central("central: least requests", central.least_requests),
    "lmetric": _central("central: prefill × batch", central.prefill_by_batch),
    **{
        name: _central(f"central: least time, toll {toll:g}", partial(central.greedy, toll=toll))
        for name, toll in zip(GREEDY, TOLLS, strict=True)
    },
    OURS: Arm(name="ours", make=Live),
}
"""By the names that `--only` takes."""
VARIANTS: Final[Mapping[str, Arm]] = {
    "ours-wishing": Arm(name="ours, the objective wished for", make=Wishing),
    "ours-alone": Arm(name="ours, payers tell each other nothing", make=lambda: Live(shares=False)),
    "ours-keenness-3": _ours("keenness 3", Quoted(keenness=3.0)),
    "ours-keenness-12": _ours("keenness 12", Quoted(keenness=12.0)),
    "ours-slots-4": _ours("4 slots", Quoted(slots=4)),
    "ours-slots-64": _ours("64 slots", Quoted(slots=64)),
    "ours-toll-0": _ours("no toll", Quoted(toll=0.0)),
    "ours-toll-1": _ours("all of the toll", Quoted(toll=1.0)),
}
"""The same, for those that ask for them by name."""
KNOWN: Final[Mapping[str, Arm]] = {**ARMS, **VARIANTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where all arms are run."""

    pool: Sequence[Hardware]
    trace: Path | None
    """None: the public chat trace."""
    pool_file: Path | None = None
    """That `pool` was read from; None: the twelve that come along."""
    seconds: float
    """For which requests come."""
    arrivals: str = TRACE
    """Of `ARRIVALS`; the others than the trace are as long as those of the public one, in the mean."""
    detail: Detail = PLAIN

    @property
    def since(self) -> float:
        """From when on requests count: before, all engines stand idle."""
        return self.seconds / 4

    def lasting(self, rate: float) -> "Setting":
        """As long as it takes until enough requests count."""
        counted_s = self.seconds - self.since
        return replace(self, seconds=self.seconds * max(1.0, COUNTED / (rate * counted_s)))

    def workload(self, rate: float, seed: int) -> Iterable[Arrival]:
        homes = range(len(self.pool))
        if self.arrivals != TRACE:
            made = poisson if self.arrivals == "poisson" else bursty
            return made(rate, self.seconds, CHAT, homes=homes, seed=seed)
        if self.trace is None:
            return azure(rate, self.seconds, homes=homes, seed=seed)
        return trace_at(self.trace, rate, self.seconds, homes=homes, seed=seed)


@dataclass(frozen=True, slots=True)
class Run:
    """What is kept of one."""

    attained: float
    """Part of the requests that met the objective."""
    latency_s: float
    """Mean of those that ended."""
    probes: float
    """A request; as bounces."""
    bounces: float


def run(arm: Arm, setting: Setting, rate: float, seed: int, *, liars: bool = False) -> Run:
    """`liars`: every fourth provider says that it stands idle; which of four, the seed decides. Raises
    TraceUnreadable where nobody asks for as long as requests count."""
    setting = setting.lasting(rate)
    nodes = [
        NodeSpec(
            hardware=each,
            policy=arm.policy,
            stake_every_s=arm.stake_every_s,
            lies=liars and index % ONE_LIES_OF == seed % ONE_LIES_OF,
        )
        for index, each in enumerate(setting.pool)
    ]
    world = setting.detail.world(nodes, arm.make(), seed=seed)
    result = world.run(setting.workload(rate, seed), until=setting.seconds + AFTER_S)
    requests = max(1, len(result.outcomes))
    attained = result.share(lambda item: item.met(first_s=FIRST_S, token_s=TOKEN_S), since=setting.since)
    if isnan(attained):
        raise TraceUnreadable(
            f"{setting.trace}: at {rate:.3g} requests a second nobody asks from second {setting.since:.0f} "
            f"to {setting.seconds:.0f} after the place that seed {seed} draws: try longer --seconds"
        )
    ended = [item.latency_s for item in result.served() if item.arrival.at >= setting.since]
    return Run(
        attained=attained,
        latency_s=fmean(ended) if ended else inf,
        probes=result.counts["probes"] / requests,
        bounces=result.counts["bounces"] / requests,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One arm under one seed: it is done in whichever process."""

    arm: str
    seed: int
    setting: Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What came of a trial."""

    runs: Mapping[float, Run]
    """By rate."""
    at_95: float
    """Requests a second, up to which so many in a hundred are served well; zero: not at `LOWEST`."""
    at_99: float
    lied_to: Mapping[float, Run]
    """By part of `at_99`, where a quarter of the providers lie; empty: nobody is believed here, or nothing is
    held."""

    def lost(self, part: float) -> float:
        """Part of the requests that are served worse for it; unknown where nothing is held."""
        if part not in self.lied_to:
            return nan
        return self.runs[part * self.at_99].attained - self.lied_to[part].attained

    def near(self, rate: float) -> Run:
        return self.runs[min(self.runs, key=lambda known: abs(known - rate))]


def arm_of(name: str) -> Arm:
    """Raises NameUnknown."""
    require("dispatch", name, KNOWN)
    return KNOWN[name]


def guess(pool: Sequence[Hardware]) -> float:
    """Requests a second where to look first: what the engines do with a batch that half fills them."""
    rate = 0.0
    for each in pool:
        held = _TYPICAL_INPUT + TYPICAL_ANSWER
        batch = max(1, min(each.slots, (each.speed.capacity or each.slots * held) // (2 * held)))
        step_s = each.speed.step_s(sequences=batch, context=batch * held)
        rate += batch / (TYPICAL_ANSWER * step_s)
    return rate


def measure(trial: Trial) -> Held:
    arm, runs = arm_of(trial.arm), dict[float, Run]()

    def attained(rate: float) -> float:
        runs[rate] = found = run(arm, trial.setting, rate, trial.seed)
        return found.attained

    curve = Curve(attained)
    at_95 = curve.capacity(0.95, guess=guess(trial.setting.pool), low=LOWEST, high=HIGHEST)
    at_99 = curve.capacity(0.99, guess=0.9 * at_95, low=LOWEST, high=HIGHEST)
    for rate in (*(part * at_95 for part in SHOWN), *(part * at_99 for part in LIED_TO)):
        if rate:
            curve.at(rate)
    believes = at_99 > 0 and (trial.arm == OURS or trial.arm in VARIANTS)
    lied_to = {
        part: run(arm, trial.setting, part * at_99, trial.seed, liars=True)
        for part in (LIED_TO if believes else ())
    }
    return Held(at_95=at_95, at_99=at_99, lied_to=lied_to, runs=dict(sorted(runs.items())))
