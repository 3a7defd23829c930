"""What a run showed, on a page: from what `--json` wrote, and misses are said so."""

import json

from tallystick.protocol.units import Atoms
from tallystick_node.local.network.comparing import Target
from tallystick_node.local.quality import callers
from tallystick_node.local.quality.challenger import Costs
from tallystick_node.local.quality.latency import SHARES, Wait, Waited
from tallystick_node.local.quality.parts import Part, Table, as_markdown


def test_a_page_is_made_of_what_was_written() -> None:
    part = Part(
        key="x",
        title="what is shown",
        tables=[Table(head=("", "count"), rows=[["one", "1"]], title="Counted")],
        targets=[
            Target(name="rate", wanted="≥ 1", found="1", met=True),
            Target(name="loss", wanted="0", found="2", met=False),
        ],
        notes=["under load"],
    )
    report = {
        "duels": 10,
        "seed": 7,
        "vllm": True,
        "seconds": 61.2,
        "cores": 2,
        "load": (1.0, 2.5),
        "parts": {"x": part.to_json()},
    }
    lines = as_markdown(json.loads(json.dumps(report))).splitlines()
    assert "--duels 10 --seed 7 --vllm` printed, in 61 s" in lines[0]
    assert lines[2:] == [
        "**(x) What is shown**",
        "",
        "Counted:",
        "",
        "| | count |",
        "|---|--:|",
        "| one | 1 |",
        "",
        "- under load",
        "- rate: 1 (wanted: ≥ 1)",
        "- **Missed**: loss: 2 (wanted: 0)",
    ]


# ------------------------------------------------------------------------------------------- how callers wait


def waited(seconds: dict[float, list[float]], *, duels: int = 3, failed: int = 0) -> Waited:
    """`seconds`: each caller's, by share; as one round and, reversed, another."""
    costs = Costs(
        requests=20,
        duels=duels,
        first=Atoms(1_000),
        second=Atoms(100),
        judged=Atoms(10),
        fees=Atoms(90),
        seats=3,
        posted=Atoms(30),
    )
    rounds = {
        share: [[Wait(first_s=one / 10, total_s=one) for one in some]] * 2 for share, some in seconds.items()
    }
    return Waited(
        rate=2,
        seconds=5,
        sellers=4,
        judges=5,
        rounds=rounds,
        failed=dict.fromkeys(seconds, failed),
        costs=dict.fromkeys(seconds, costs),
    )


def met(part: Part) -> list[bool]:
    return [target.met for target in part.targets]


def test_who_waits_longer_by_more_than_a_twentieth_is_a_miss() -> None:
    plain = [1.0] * 20
    arms = {SHARES[0]: plain, SHARES[1]: [1.04] * 20, SHARES[2]: [1.06] * 20}
    assert met(callers.waiting(waited(arms))) == [True, False, True]


def test_a_lost_request_or_an_arm_in_which_nothing_duelled_is_a_miss() -> None:
    arms = {SHARES[0]: [1.0] * 20, SHARES[1]: [1.0] * 20}
    assert met(callers.waiting(waited(arms))) == [True, True]
    assert met(callers.waiting(waited(arms, failed=1))) == [True, False]
    assert met(callers.waiting(waited(arms, duels=0))) == [True, False]


def test_duels_that_cost_more_than_was_foretold_are_a_miss() -> None:
    dear = Costs(
        requests=10,
        duels=10,
        first=Atoms(1_000),
        second=Atoms(3_000),
        judged=Atoms(300),
        fees=Atoms(300),
        seats=3,
        posted=Atoms(30),
    )
    assert met(callers.costing(None, [dear])) == [False]
    as_foretold = Costs(
        requests=10,
        duels=10,
        first=Atoms(1_000),
        second=Atoms(1_000),
        judged=Atoms(300),
        fees=Atoms(300),
        seats=3,
        posted=Atoms(30),
    )
    assert met(callers.costing(None, [as_foretold])) == [True]
