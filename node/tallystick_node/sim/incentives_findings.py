"""`tally-node sim incentives`: each question of what pays, its figures and its chart."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from statistics import fmean
from typing import Final

from rich.console import Console

from tallystick_node.sim.accusing import (
    LONGEST_PERIOD_S,
    PERIOD_S,
    Struck,
    falsely,
    tried,
    truly,
    truly_and_silent,
)
from tallystick_node.sim.fluid import Weights, by_default, by_stake
from tallystick_node.sim.found import Found
from tallystick_node.sim.hardware import PROFILES
from tallystick_node.sim.incentives import (
    AUDITED,
    POWER,
    RULES,
    SLOT_PRICES,
    SLOTS,
    Ring,
    honesty,
    least_audits,
    least_stake,
    longest_period_s,
    prices,
    sellers_in_effect,
    shares,
    twins,
)
from tallystick_node.sim.names import named
from tallystick_node.sim.outfile import require_writable
from tallystick_node.sim.plot import Chart, Line, draw, prepare
from tallystick_node.sim.report import (
    Figure,
    Target,
    interval,
    over_seeds,
    seeds_json,
    show,
    shown,
    table,
    targets_table,
    write_json,
)
from tallystick_node.sim.rerun import packaged_file
from tallystick_node.sim.responses_findings import of_responses, of_temptation, of_terms
from tallystick_node.sim.splitting import gained
from tallystick_node.sim.spread import followed

CHEATS: Final = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
BUSY: Final = (0.15, 0.3, 0.45, 0.6, 0.8)
RINGS: Final = (0.01, 0.05, 0.1, 0.2, 0.3, 0.33, 0.35, 0.4, 0.5)
"""Shares of all stake in the hands of those that collude."""
SIZES: Final = (4, SLOTS)
"""Slots of a provider."""
MARKETS: Final[Mapping[str, Struck]] = {
    "10 minutes": Struck(),
    "1.4 days, half of the payers audit": Struck(period_s=LONGEST_PERIOD_S, audits=0.5),
    "10 minutes, none leaves": Struck(left_s=0.0),
    "an hour, none leaves": Struck(period_s=3_600.0, left_s=0.0),
}
"""By periods, and whether payers leave whom their auditors struck. The first is held to what is asked."""
PERIODS: Final[Mapping[str, float]] = {
    "periods of 10 minutes": PERIOD_S,
    "periods of an hour": 3_600.0,
    "periods of 1.4 days": LONGEST_PERIOD_S,
}
"""Seconds, where strikes alone deter. The first is held to what is asked."""
_SHARE: Final = 0.1
_RICHER: Final = 8.0
"""Times as much as who strikes it: more gains nobody more."""
_FLOOR: Final = -10.0
"""No less is drawn."""
_ROUNDS: Final = 24
_DRAWS: Final = 4_000


def of_honesty(seeds: range) -> Found:
    """Cheats sell a smaller model's answers. It follows from no chance."""
    made, panels = Found(), dict[str, dict[str, Line]]()
    for ring in Ring:
        for what, how in MARKETS.items():
            found = [honesty(share, ring, how=how) for share in CHEATS]
            for share, earned in zip(CHEATS, found, strict=True):
                target = Target(text="> 0", least=1e-9) if how == Struck() else None
                ahead = earned.honest - max(0.0, earned.cheat)
                name = f"{ring.value}: {what}: {share:.0%} cheat: honest earn over cheats and over nothing"
                made.figures.append(Figure(name=name, value=ahead, unit="costs/s", target=target))
            percent = [100 * share for share in CHEATS]
            lines = panels.setdefault(ring.value, {})
            lines[f"honest, {what}"] = Line(percent, [max(_FLOOR, each.honest) for each in found])
            lines[f"cheat, {what}"] = Line(percent, [max(_FLOOR, each.cheat) for each in found])
    made.charts.append(
        Chart(
            name="honesty",
            title=f"What a provider earns, stakes lost taken off (below {_FLOOR:g}: drawn there)",
            x="% of providers that cheat",
            y="costs of a request, a second",
            panels=panels,
        )
    )
    return made


def of_strikes(seeds: range) -> Found:
    """What three strikes come to, true and false ones, by the share of all stake that colludes with cheats.
    It follows from no chance."""
    made, stake = Found(), float(SLOT_PRICES * SLOTS)
    chances: dict[str, list[float]] = {}
    gains: dict[str, list[float]] = {}
    for share in RINGS:
        benches = {
            "true, the ring clears": truly(share),
            "true, the ring is silent": truly_and_silent(share),
            "false": falsely(share),
        }
        for kind, bench in benches.items():
            done, rich = tried(bench, stake=stake), tried(bench, stake=stake, richer=_RICHER)
            name = f"{share:.0%} of stake colludes: strikes are {kind}: "
            for what, part in (
                ("upheld", done.upheld),
                ("cleared", done.cleared),
                ("the accused gains of its stake", done.provider),
                ("each who struck gains of its own", done.striker),
                (f"the same of one that stakes {_RICHER:g} times as much", rich.striker),
            ):
                made.figures.append(Figure(name=name + what, value=100 * part, unit="%"))
            paid = Figure(name=name + "who answered gains", value=done.answerer, unit="prices")
            made.figures.append(paid)
            chances.setdefault(kind, []).append(100 * done.upheld)
            gains.setdefault(kind, []).append(100 * rich.striker)
    percent = [100 * share for share in RINGS]
    made.charts.append(
        Chart(
            name="strikes",
            title="What becomes of three strikes",
            x="% of all stake that colludes",
            y="%",
            panels={
                "upheld": {kind: Line(percent, found) for kind, found in chances.items()},
                f"gained by who struck one of {_RICHER:g} times its stake": {
                    kind: Line(percent, found) for kind, found in gains.items()
                },
            },
            one_scale=False,
        )
    )
    return made


def of_splitting(seeds: range) -> Found:
    made, line, counts = Found(), dict[str, Line](), (2, 5, 20)
    for others, gpu, what in ((3, "A100", "one of four alike"), (11, "L40S", "one of twelve, the fastest")):
        found = [gained(counts, others=others, gpu=gpu, draws=_DRAWS, seed=seed) for seed in seeds]
        for place, count in enumerate(counts):
            target = Target(text="within ±1", least=-1.0, most=1.0)
            name = f"split into {count}, {what}: gained"
            percent = [100 * (each[place] - 1) for each in found]
            made.figures.append(over_seeds(name, percent, "%", target))
        over = [interval([100 * (each[place] - 1) for each in found]) for place in range(len(counts))]
        line[what] = Line(
            counts, [its.mean for its in over], [its.low for its in over], [its.high for its in over]
        )
    made.charts.append(
        Chart(
            name="splitting",
            title="Requests gained by splitting one stake, and what chance makes of it in 95 of 100 runs",
            x="identities",
            y="% (to be within 1)",
            panels={"": line},
            dots=True,
            log_x=True,
        )
    )
    return made


def of_twins(seeds: range) -> Found:
    made = Found()
    for slots in (1, 64):
        price = 400
        kept = [
            100
            * fmean(
                part >= 0.95
                for part in twins(
                    pairs=20, duels=1_000, stake=SLOT_PRICES * slots * price, price=price, seed=seed
                )
            )
            for seed in seeds
        ]
        target = Target(text="100", least=100.0)
        made.figures.append(over_seeds(f"{slots} slots: pairs of which both keep 95 %", kept, "%", target))
    return made


def of_prices(seeds: range) -> Found:
    """Chance decides nothing but who moves first in a round."""
    rules: Mapping[str, Weights] = {
        "ours": by_default(),
        "ours, price counts twice": by_default(thrift=2.0),
        "ours, keenness 12": by_default(12.0),
        "the paper's rule": by_stake,
    }
    made, lines = Found(), dict[str, Line]()
    for name, weights in rules.items():
        ends: list[float] = []
        for busy in BUSY:
            found = [prices(weights, sellers=12, busy=busy, rounds=_ROUNDS, seed=seed)[-1] for seed in seeds]
            made.figures.append(over_seeds(f"{name}: {busy:.0%} busy: price over cost", found, "1"))
            ends.append(fmean(found))
        lines[name] = Line([100 * busy for busy in BUSY], ends)
    made.charts.append(
        Chart(
            name="prices",
            title="Where the prices of twelve equal providers end (10: payers go elsewhere)",
            x="% busy",
            y="price over marginal cost",
            panels={"": lines},
            dots=True,
        )
    )
    return made


def of_concentration(seeds: range) -> Found:
    """It follows from no chance."""
    made, rounds = Found(), 200
    panels: dict[str, dict[str, Line]] = {}
    cases: Mapping[str, Callable[[str], list[list[float]]]] = {
        "twelve engines": lambda rule: shares(rule, rounds=rounds, busy=0.5),
        "alike, one with four times the stake": lambda rule: shares(
            rule, rounds=rounds, busy=0.5, rich=4.0, alike=True
        ),
    }
    for case, run in cases.items():
        for rule in RULES:
            found = run(rule)
            most = [100 * max(parts) for parts in found]
            panels.setdefault(case, {})[rule] = Line(range(rounds), most)
            for at in (0, rounds - 1):
                name = f"{case}: {rule}: round {at + 1}: "
                made.figures.append(Figure(name=name + "largest share", value=most[at], unit="%"))
                effect = sellers_in_effect(found[at])
                made.figures.append(Figure(name=name + "sellers in effect", value=effect, unit="1"))
    made.charts.append(
        Chart(
            name="concentration",
            title="The largest provider's share, where profits become stakes",
            x="rounds",
            y="% of requests",
            panels=panels,
        )
    )
    return made


def of_deterrence(seeds: range) -> Found:
    """It follows from no chance."""
    rates = [0.0025 * 2 ** (i / 4) for i in range(21)]
    made, lines = Found(), dict[str, Line]()
    for slots in SIZES:
        for what, period_s in PERIODS.items():
            found = [least_stake(rate, POWER, slots=slots, period_s=period_s) for rate in rates]
            lines[f"{slots} slots, {what}"] = Line([100 * rate for rate in rates], found)
            least = least_stake(AUDITED, POWER, slots=slots, period_s=period_s)
            held = Target(text=f"≤ {SLOT_PRICES}", most=SLOT_PRICES) if period_s == PERIOD_S else None
            name = f"{slots} slots, {what}: least stake of each at {AUDITED:.0%} audited"
            made.figures.append(Figure(name=name, value=least, unit="request prices", target=held))
        name = f"{slots} slots: longest period at which what is staked deters"
        made.figures.append(Figure(name=name, value=longest_period_s(slots=slots) / 60, unit="min"))
    for what, how in {
        "10 minutes": Struck(),
        "1.4 days": Struck(period_s=LONGEST_PERIOD_S),
        "10 minutes, none leaves": Struck(left_s=0.0),
    }.items():
        name = f"{what}: of {_SHARE:.0%} that cheat none gains once so many of all payers audit"
        least = 100 * least_audits(_SHARE, how)
        made.figures.append(Figure(name=name, value=least, unit="%"))
    lines["staked"] = Line([100 * rate for rate in rates], [float(SLOT_PRICES)] * len(rates))
    made.charts.append(
        Chart(
            name="deterrence",
            title="What has to be at stake for each slot so that cheating on all loses",
            x="% of requests audited",
            y="request prices",
            panels={"": lines},
            log_x=True,
            log_y=True,
        )
    )
    return made


QUESTIONS: Final[Mapping[str, Callable[[range], Found]]] = {
    "honesty": of_honesty,
    "strikes": of_strikes,
    "temptation": of_temptation,
    "splitting": of_splitting,
    "twins": of_twins,
    "prices": of_prices,
    "concentration": of_concentration,
    "deterrence": of_deterrence,
    "terms": of_terms,
    "responses": of_responses,
}
"""By the names that `--only` takes."""


def incentives(
    *, seeds: range, only: Collection[str], json: Path | None, out: Path | None, console: Console
) -> None:
    """`only`: questions by name; all where empty. Raises NameUnknown, MatplotlibMissing, OSError."""
    names = named("question", only, QUESTIONS)
    require_writable(json)
    if out is not None:
        prepare(out)
    figures: list[Figure] = []
    found_of = {name: QUESTIONS[name](seeds) for name in followed(names, len(names), "questions")}
    for name, found in found_of.items():
        rows = [(figure.name, shown(figure.value), figure.unit) for figure in found.figures]
        console.print(table(name, ("", "found", ""), rows))
        figures += found.figures
        if out is not None:
            for chart in found.charts:
                draw(out, chart)
    show(console, targets_table(figures))
    if json is not None:
        parameters = {**seeds_json(seeds), "only": names}
        files = {"engines": packaged_file(PROFILES)}
        modules = "accusing", "fluid", "incentives", "incentives_findings", "responses", "splitting"
        write_json(json, "tally-node sim incentives", parameters, figures, files=files, modules=modules)
