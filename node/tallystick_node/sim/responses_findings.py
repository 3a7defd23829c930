"""What came of providers that choose everything at once: figures and charts of `responses`."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final

from tallystick_node.sim.accusing import LONGEST_PERIOD_S, Struck
from tallystick_node.sim.fluid import Weights, by_default, by_stake
from tallystick_node.sim.found import Found
from tallystick_node.sim.incentives import AUDITED, SLOT_PRICES, SLOTS
from tallystick_node.sim.plot import Chart, Line
from tallystick_node.sim.report import Figure, Target, over_seeds
from tallystick_node.sim.responses import (
    STAKES,
    Plan,
    Terms,
    best_cheat,
    honest_lead,
    least_slot_prices,
    settled,
)

Market = Sequence[Plan]

CHEATS: Final = (0.01, 0.05, 0.1, 0.25, 0.5)
BUSY: Final = (0.15, 0.3, 0.6)
_NONE_LEAVES: Final = Struck(left_s=0.0)
MARKETS: Final[Mapping[str, Terms]] = {
    "10 minutes": Terms(),
    "1.4 days": Terms(struck=Struck(period_s=LONGEST_PERIOD_S)),
    "1.4 days, half of the payers audit": Terms(struck=Struck(period_s=LONGEST_PERIOD_S, audits=0.5)),
    "10 minutes, none leaves": Terms(struck=_NONE_LEAVES),
    "an hour, none leaves": Terms(struck=replace(_NONE_LEAVES, period_s=3_600.0)),
    "1.4 days, none leaves": Terms(struck=replace(_NONE_LEAVES, period_s=LONGEST_PERIOD_S)),
    "10 minutes, none leaves, 12 hours": Terms(struck=replace(_NONE_LEAVES, window_s=43_200.0)),
}
"""By its periods, by whether payers leave whom their auditors struck, and by how long a strike counts, where
that is not seven days. The first is held to what is asked."""
RATES: Final = (0.0025, 0.005, 0.01, 0.02, 0.05)
PARTS: Final = (1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 0.001, 0.01, 0.1, 0.3, 1.0)
"""Of its requests, that a provider cheats on."""
SMALL: Final = 4
"""Slots of a small provider."""
_SELLERS: Final = 8
_FLOOR: Final = -10.0
"""No lower gain is drawn."""
_SOME: Final = Target(text="> 0", least=1e-9)


def of_responses(seeds: range) -> Found:
    """Price, stake, precision and honesty, until nothing near pays better."""
    made = Found()
    cases: Mapping[str, tuple[float, Weights]] = {
        **{f"ours, {busy:.0%} busy": (busy, by_default()) for busy in BUSY},
        "the paper's rule, 30% busy": (0.3, by_stake),
    }
    panels: dict[str, dict[str, Line]] = {"price over cost": {}, "% of requests cheated on": {}}
    for name, (busy, weights) in cases.items():
        runs = [settled(sellers=_SELLERS, busy=busy, seed=seed, weights=weights) for seed in seeds]
        made.figures += _ending(name, [rounds[-1] for rounds in runs])
        at = range(len(runs[0]))
        panels["price over cost"][name] = Line(at, _over_runs(_over_cost, runs))
        panels["% of requests cheated on"][name] = Line(at, _over_runs(_cheated, runs))
    made.charts.append(
        Chart(
            name="responses",
            title="Providers that choose price, stake, precision and honesty; half begin as cheats",
            x="rounds",
            y="",
            panels=panels,
            one_scale=False,
        )
    )
    return made


def _over_runs(what: Callable[[Market], float], runs: Sequence[Sequence[Market]]) -> list[float]:
    """The mean after each round."""
    return [fmean(map(what, markets)) for markets in zip(*runs, strict=True)]


def _over_cost(market: Market) -> float:
    return fmean(plan.price / plan.cost for plan in market)


def _cheated(market: Market) -> float:
    return 100 * fmean(plan.cheats for plan in market)


def _ending(name: str, markets: Sequence[Market]) -> list[Figure]:
    """One market a seed."""
    ((precision, _),) = Counter(plan.precision for market in markets for plan in market).most_common(1)
    serve = [100 * fmean(plan.precision == precision for plan in market) for market in markets]
    stakes = [fmean(plan.stake for plan in market) for market in markets]
    none = Target(text="0", most=0.0)
    return [
        over_seeds(f"{name}: price over cost", [_over_cost(market) for market in markets], "1"),
        over_seeds(f"{name}: cheated on", [_cheated(market) for market in markets], "%", none),
        over_seeds(f"{name}: stake over the least, of at most {STAKES[-1]:g}", stakes, "1"),
        over_seeds(f"{name}: that serve {precision}", serve, "%"),
    ]


def of_temptation(seeds: range) -> Found:
    """One that may choose all at once, where a part of the others cheat; and what it gains by cheating now
    and then. It follows from no chance."""
    made, panels = Found(), dict[str, dict[str, Line]]()
    for market, terms in MARKETS.items():
        for share in CHEATS:
            lead = 100 * honest_lead(share, terms)
            name = f"{market}: {share:.0%} cheat: best honest plan over the best dishonest one"
            made.figures.append(Figure(name=name, value=lead, unit="%", target=_held(terms, _SOME)))
    for slots in (SMALL, SLOTS):
        for market, terms in MARKETS.items():
            gains = [100 * best_cheat(part, terms, slots=slots) for part in PARTS]
            for part, gain in zip(PARTS, gains, strict=True):
                name = f"{market}: {slots} slots: {100 * part:g}% cheated on: gained"
                made.figures.append(Figure(name=name, value=gain, unit="% of profit"))
            drawn = Line([100 * part for part in PARTS], [max(_FLOOR, min(-_FLOOR, gain)) for gain in gains])
            panels.setdefault(f"{slots} slots, each staked for", {})[market] = drawn
    made.charts.append(
        Chart(
            name="temptation",
            title=f"What cheating now and then gains (beyond ±{-_FLOOR:g}: drawn there)",
            x="% of its requests that a provider cheats on",
            y="% of an honest one's profit",
            panels=panels,
            dots=True,
            log_x=True,
        )
    )
    return made


def _held(terms: Terms, target: Target) -> Target | None:
    """To what is asked, where it is the market that the others differ from."""
    return target if terms == Terms() else None


def of_terms(seeds: range) -> Found:
    """The least stake at which nobody gains by cheating on a hundredth of its requests or more, by how much
    is audited and how a market is made."""
    made, lines = Found(), dict[str, Line]()
    for market, terms in MARKETS.items():
        found = [least_slot_prices(replace(terms, audited=rate)) for rate in RATES]
        for rate, least in zip(RATES, found, strict=True):
            asked = _held(terms, Target(text=f"≤ {SLOT_PRICES}", most=SLOT_PRICES))
            name = f"{market}: {rate:.2%} audited: least stake of each of {SLOTS} slots"
            made.figures.append(
                Figure(name=name, value=least, unit="prices", target=asked if rate == AUDITED else None)
            )
        lines[market] = Line([100 * rate for rate in RATES], found)
    lines["staked"] = Line([100 * rate for rate in RATES], [float(SLOT_PRICES)] * len(RATES))
    made.charts.append(
        Chart(
            name="terms",
            title="What has to be at stake so that cheating on a hundredth or more gains nothing",
            x="% of requests audited",
            y="request prices a slot",
            panels={"": lines},
            dots=True,
            log_x=True,
            log_y=True,
        )
    )
    return made
