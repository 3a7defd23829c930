"""What is asked of the simulator's figures, to the last digit: the runs are invented, the targets are not."""

from collections.abc import Iterable
from io import StringIO
from math import isnan
from types import SimpleNamespace

import pytest
from rich.console import Console

from tallystick_node.sim import (
    findings,
    incentives_findings,
    market_findings,
    responses_findings,
    scale_parts,
)
from tallystick_node.sim.fit import Check
from tallystick_node.sim.fit import figures as of_fit
from tallystick_node.sim.incentives import Earned, Ring
from tallystick_node.sim.market import ARMS, LIED_TO, Held
from tallystick_node.sim.market import Run as Served
from tallystick_node.sim.outcome import Result
from tallystick_node.sim.report import Figure, targets_table
from tallystick_node.sim.scale import Scale
from tallystick_node.sim.settings import THRESHOLDS_S
from tallystick_node.sim.studies import Played

NONE, ALL = float("-inf"), float("inf")
Bounds = dict[str, tuple[float, float]]
SEEDS = range(2)


def asked(figures: Iterable[Figure]) -> Bounds:
    """By name, where a figure is to lie."""
    return {item.name: (item.target.least, item.target.most) for item in figures if item.target is not None}


def run(*latencies: float) -> Played:
    count = len(latencies)
    return Played(
        arrived=range(count),
        latencies=latencies,
        homes=(0,) * count,
        served=(0,) * count,
        probes=0,
        bounces=0,
    )


@pytest.mark.parametrize("study", ["S1", "S2", "S3", "S4"])
def test_the_paper_is_reproduced_within_a_tenth_and_beaten_by_a_tenth(study: str) -> None:
    arms = ("single", "centralised", "paper", "strong", "ours", "moved")
    made = findings.found(study, {arm: [run(250.0, 300.0)] for arm in arms})
    lead = f"{study}: ours: least lead over paper in what is answered within 200 to 400 s"
    assert tuple(THRESHOLDS_S) == tuple(range(200, 401, 10))
    if study in ("S1", "S3"):
        assert asked(made.figures) == {
            **{f"{study}: {arm}: mean over the reported one": (0.9, 1.1) for arm in arms[:3]},
            f"{study}: ours: mean over that of paper": (NONE, 0.9),
            f"{study}: ours: mean over that of strong": (NONE, 1.03),
            lead: (0, ALL),
        }
    else:
        assert asked(made.figures) == {}


@pytest.mark.parametrize(("ours", "paper"), [(2, 0), (0, 2), (79, 79)])
def test_means_of_what_ended_are_not_compared_where_more_was_lost(ours: int, paper: int) -> None:
    """Who loses what takes long would be faster: it neither meets a target nor misses it."""

    def losing(count: int) -> Played:
        return run(*[200.0] * (100 - count), *[ALL] * count)

    def compared(ours: int, paper: int) -> Figure:
        runs = {"ours": [losing(ours)], "paper": [losing(paper)]}
        made = {item.name: item for item in findings.found("S1", runs).figures}
        assert (made["S1: paper: mean over the reported one"].value > 0) is (paper < 2)
        return made["S1: ours: mean over that of paper"]

    assert compared(1, 1).value == 1
    withheld = compared(ours, paper)
    assert withheld.met is False
    assert isnan(withheld.value)
    said = StringIO()
    Console(file=said, width=200).print(targets_table([withheld]))
    assert f"UNKNOWN: {ours:.1f}% and {paper:.1f}% were lost" in said.getvalue()
    assert "lost" in str(withheld.as_json()["note"])


def test_the_lead_is_the_least_over_all_thresholds() -> None:
    """Ours answers two of four by 210 s, the other one; by 300 s it is one against three."""
    ours, paper = run(205.0, 208.0, 395.0, 399.0), run(205.0, 250.0, 290.0, 500.0)
    found = {item.name: item for item in findings.found("S1", {"ours": [ours], "paper": [paper]}).figures}
    least = found["S1: ours: least lead over paper in what is answered within 200 to 400 s"]
    assert least.value == -0.25
    assert least.met is False
    turned = {item.name: item for item in findings.found("S1", {"ours": [paper], "paper": [ours]}).figures}
    assert turned[least.name].value == -0.25


def test_what_the_market_is_to_do_on_mixed_hardware() -> None:
    served = Served(attained=0.99, latency_s=1.0, probes=0.1, bounces=0.0)
    of = Held(
        runs={part * 10.0: served for part in (0.5, 0.8, *LIED_TO, 1.1)},
        at_95=11.0,
        at_99=10.0,
        lied_to=dict.fromkeys(LIED_TO, served),
    )
    assert asked(market_findings.figures({name: [of] for name in ARMS})) == {
        "ours over best central greedy at 95 %": (0.97, ALL),
        "ours over least-requests at 95 %": (1.25, ALL),
        "ours over paper-central at 95 %": (1.5, ALL),
        "ours over paper at 95 %": (1.9, ALL),
        "ours: lost to a quarter of liars, at 90% of what is held at 99 %": (NONE, 1.5),
        "ours: lost to a quarter of liars, at 100% of what is held at 99 %": (NONE, 1.5),
        "ours: probes near it": (NONE, 0.15),
    }


def test_what_a_quarter_of_liars_costs_is_counted_in_points() -> None:
    """Two in a hundred are two points, and too many."""
    honest, lied = (Served(attained=part, latency_s=1.0, probes=0.0, bounces=0.0) for part in (0.99, 0.97))
    of = Held(runs={9.0: honest, 10.0: honest}, at_95=10.0, at_99=10.0, lied_to=dict.fromkeys(LIED_TO, lied))
    for figure in market_findings.figures({"ours": [of]}):
        if "liars" in figure.name:
            assert figure.value == pytest.approx(2.0)
            assert figure.met is False


def test_honesty_is_to_pay_at_every_share_of_cheats(monkeypatch: pytest.MonkeyPatch) -> None:
    def honesty(*_: object, **how: object) -> Earned:
        return Earned(honest=0.0, cheat=-1.0)

    monkeypatch.setattr(incentives_findings, "honesty", honesty)
    made = incentives_findings.of_honesty(SEEDS)
    bounds = asked(made.figures)
    assert (incentives_findings.CHEATS[0], incentives_findings.CHEATS[-1]) == (0.01, 0.5)
    assert list(bounds) == [
        f"{ring.value}: 10 minutes: {share:.0%} cheat: honest earn over cheats and over nothing"
        for ring in Ring
        for share in incentives_findings.CHEATS
    ]
    assert all(0 < least <= 1e-9 and most == ALL for least, most in bounds.values())
    assert not any(figure.met for figure in made.figures)  # To earn nothing is not to be paid.


def test_splitting_is_to_gain_no_hundredth(monkeypatch: pytest.MonkeyPatch) -> None:
    def gained(counts: Iterable[int], **how: object) -> list[float]:
        return [1.011 for _ in counts]

    monkeypatch.setattr(incentives_findings, "gained", gained)
    made = incentives_findings.of_splitting(SEEDS)
    assert asked(made.figures) == {
        f"split into {count}, {what}: gained": (-1.0, 1.0)
        for what in ("one of four alike", "one of twelve, the fastest")
        for count in (2, 5, 20)
    }
    assert all(figure.value == pytest.approx(1.1) and figure.met is False for figure in made.figures)


def test_all_twins_are_to_keep_nineteen_twentieths(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for = []

    def twins(*, duels: int, **how: object) -> list[float]:
        asked_for.append(duels)
        return [0.95, 0.949]

    monkeypatch.setattr(incentives_findings, "twins", twins)
    made = incentives_findings.of_twins(SEEDS)
    assert asked(made.figures) == {
        f"{slots} slots: pairs of which both keep 95 %": (100.0, ALL) for slots in (1, 64)
    }
    assert [figure.value for figure in made.figures] == [50.0, 50.0]
    assert set(asked_for) == {1_000}


def test_the_least_stake_that_deters_is_to_be_no_more_than_is_staked() -> None:
    assert asked(incentives_findings.of_deterrence(SEEDS).figures) == {
        f"{slots} slots, periods of 10 minutes: least stake of each at 1% audited": (NONE, 300)
        for slots in (4, 64)
    }


def test_nothing_is_to_be_gained_by_cheating_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses_findings, "honest_lead", lambda *_: 0.0)
    monkeypatch.setattr(responses_findings, "best_cheat", lambda *_, **__: 0.0)
    made = responses_findings.of_temptation(SEEDS)
    bounds = asked(made.figures)
    assert len(bounds) == len(responses_findings.CHEATS)
    assert all(0 < least <= 1e-9 and most == ALL for least, most in bounds.values())
    monkeypatch.setattr(responses_findings, "least_slot_prices", lambda *_: 299.0)
    stakes = asked(responses_findings.of_terms(SEEDS).figures)
    assert list(stakes.values()) == [(NONE, 300)]
    assert "10 minutes: 1.00% audited" in next(iter(stakes))


def test_those_that_choose_anew_are_to_cheat_on_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = SimpleNamespace(price=1.3, cost=1.0, cheats=0.001, stake=1.0, precision="bf16")
    monkeypatch.setattr(responses_findings, "settled", lambda **_: [[plan], [plan]])
    made = responses_findings.of_responses(SEEDS)
    bounds = asked(made.figures)
    assert len(bounds) == 4
    assert set(bounds.values()) == {(NONE, 0.0)}
    assert not any(figure.met for figure in made.figures)


def test_all_seeds_that_are_named_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = SimpleNamespace(price=1.3, cost=1.0, cheats=0.0, stake=1.0, precision="bf16")
    responded, priced = set[int](), set[int]()

    def settled(*, seed: int, **_: object) -> list[list[SimpleNamespace]]:
        responded.add(seed)
        return [[plan], [plan]]

    def prices(*_: object, seed: int, **__: object) -> list[float]:
        priced.add(seed)
        return [float(seed)]

    monkeypatch.setattr(responses_findings, "settled", settled)
    monkeypatch.setattr(incentives_findings, "prices", prices)
    responses_findings.of_responses(range(3, 6))
    made = incentives_findings.of_prices(range(3, 6))
    assert responded == priced == {3, 4, 5}
    assert {figure.value for figure in made.figures} == {4.0}


@pytest.mark.parametrize(
    ("nodes", "requests", "bounds"),
    [
        (12, 20_000, {"speed: 12 nodes: requests a minute of one core": (300_000, ALL)}),
        (
            10_000,
            1_000_000,
            {"speed: 10,000 nodes: core time": (NONE, 900), "speed: 10,000 nodes: memory": (NONE, 8_192)},
        ),
        (100, 20_000, {}),
    ],
)
def test_how_fast_it_is_to_be(
    monkeypatch: pytest.MonkeyPatch, nodes: int, requests: int, bounds: Bounds
) -> None:
    made = Scale(
        nodes=nodes,
        requests=requests,
        result=Result(outcomes=[]),
        built_s=1.0,
        cpu_s=60.0,
        wall_s=60.0,
        peak_mib=100.0,
        parts={},
    )
    monkeypatch.setattr(scale_parts, "run", lambda *_, **__: made)
    asking = scale_parts.Asked(
        nodes=nodes, requests=requests, seed=1, profiled=False, habits=scale_parts.Habits()
    )
    found = scale_parts.PARTS["speed"](asking)
    assert asked(found.figures) == bounds
    assert found.figures[0].value == requests


def test_an_engine_is_to_be_foretold_within_fifteen_hundredths() -> None:
    check = Check(load="8", answers=10, what="first token, mean", measured_s=1.0, foretold_s=1.2)
    (figure,) = of_fit([check])
    assert asked([figure]) == {"8: first token, mean: off": (-0.15, 0.15)}
    assert figure.value == pytest.approx(0.2)
    assert figure.met is False
