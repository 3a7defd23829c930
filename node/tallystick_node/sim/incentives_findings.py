"""`tally-node sim incentives`: each question of what pays, its figures and its chart."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from statistics import fmean
from typing import Final

from rich.console import Console

from tallystick_node.sim.fluid import Weights, by_default, by_stake
from tallystick_node.sim.found import Found
from tallystick_node.sim.hardware import PROFILES
from tallystick_node.sim.incentives import (
    AUDITED,
    POWER,
    RULES,
    SLOT_PRICES,
    WINDOW,
    honesty,
    least_stake,
    prices,
    sellers_in_effect,
    shares,
    twins,
)
from tallystick_node.sim.names import named
from tallystick_node.sim.plot import Chart, Line, draw, prepare
from tallystick_node.sim.report import (
    Figure,
    Target,
    interval,
    over_seeds,
    require_writable,
    seeds_json,
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
_ROUNDS: Final = 24
_DRAWS: Final = 4_000


def of_honesty(seeds: range) -> Found:
    """Cheats sell a smaller model's answers. It follows from no chance."""
    kinds: Mapping[str, tuple[bool, int | None]] = {
        "each for itself": (False, WINDOW),
        f"colluding, strikes among {WINDOW}": (True, WINDOW),
        "colluding, strikes among 10": (True, 10),
        "colluding, strikes among 100": (True, 100),
        "colluding, strikes for ever": (True, None),
    }
    made, lines = Found(), dict[str, dict[str, Line]]()
    for kind, (collude, window) in kinds.items():
        found = [honesty(share, collude=collude, window=window) for share in CHEATS]
        for share, earned in zip(CHEATS, found, strict=True):
            target = Target(text="> 0", least=1e-9) if window == WINDOW else None
            ahead = earned.honest - max(0.0, earned.cheat)
            name = f"{kind}: {share:.0%} cheat: honest earn over cheats and over nothing"
            made.figures.append(Figure(name=name, value=ahead, unit="costs/s", target=target))
        percent = [100 * share for share in CHEATS]
        lines[kind] = {
            "honest": Line(percent, [max(-10.0, each.honest) for each in found]),
            "cheat": Line(percent, [max(-10.0, each.cheat) for each in found]),
        }
    made.charts.append(
        Chart(
            name="honesty",
            title="What a provider earns, stakes lost taken off (below -10: drawn there)",
            x="% of providers that cheat",
            y="costs of a request, a second",
            panels=lines,
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
    lines = {
        f"an audit finds it {power:.0%} of the time": Line(
            [100 * rate for rate in rates], [least_stake(rate, power) for rate in rates]
        )
        for power in (0.3, 0.6, POWER)
    }
    lines["staked a slot"] = Line([100 * rate for rate in rates], [float(SLOT_PRICES)] * len(rates))
    name = f"least stake at {AUDITED:.0%} audited"
    target = Target(text=f"≤ {SLOT_PRICES}", most=SLOT_PRICES)
    return Found(
        figures=[
            Figure(name=name, value=least_stake(AUDITED, POWER), unit="request prices", target=target),
            Figure(
                name="least audit rate at the stake of one slot",
                value=100 * AUDITED * least_stake(AUDITED, POWER) / SLOT_PRICES,
                unit="%",
            ),
        ],
        charts=[
            Chart(
                name="deterrence",
                title="What has to be at stake so that cheating loses",
                x="% of requests audited",
                y="request prices",
                panels={"": lines},
            )
        ],
    )


QUESTIONS: Final[Mapping[str, Callable[[range], Found]]] = {
    "honesty": of_honesty,
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
    console.print(targets_table(figures))
    if json is not None:
        parameters = {**seeds_json(seeds), "only": names}
        files = {"engines": packaged_file(PROFILES)}
        modules = "fluid", "incentives", "incentives_findings", "responses", "splitting"
        write_json(json, "tally-node sim incentives", parameters, figures, files=files, modules=modules)
