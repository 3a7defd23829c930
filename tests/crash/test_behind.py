"""A payer that dies behind its caller's back, as it duels or audits: what was begun stays within the budget,
which counts it at the most that it may cost, and the next process pays for what came of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.conftest import World
from tests.client.provider import FakeProvider
from tests.client.test_auditing import Auditor, Scoring

HERE = Path(__file__).parent
DUELS = ("pair.begun", "pair.held")
AUDITS = ("audit.begun", "audit.held")
BEHIND = (*DUELS, *AUDITS)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def runs(world: World, providers: list[FakeProvider], *, duels: bool, point: str = "") -> dict[str, int]:
    """One process, until it is done or dies at the point."""
    told = {
        "wallet": world.wallet._key.secret.hex(),
        "home": str(world.home),
        "offers": [one.offer.to_json() for one in providers],
        "duels": duels,
    }
    program = ["-m", "tests.crash.behind"]
    if point:
        program = [str(HERE / "dying.py"), point, "1", "tests.crash.behind"]
    done = subprocess.run(
        [sys.executable, *program, json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=HERE.parents[1],
    )
    assert (done.returncode == -9) == bool(point), done.stderr
    said: dict[str, int] = {} if point else json.loads(done.stdout)
    return said


@pytest.mark.parametrize("point", DUELS)
def test_a_payer_that_dies_as_it_duels(world: World, point: str) -> None:
    providers: list[FakeProvider] = [world.provider(), world.provider()]
    runs(world, providers, duels=True, point=point)
    purse = world.session().purse
    counted = purse.pairs.cost()
    assert counted > 0
    purse.close()
    assert runs(world, providers, duels=True)["pairs"] == (2 if point == "pair.held" else 1)

    purse = world.session().purse
    costs = {held.receipt.message.cost for held in purse.held_receipts()}
    issued = sum(one.issued for one in providers)
    assert purse.spending()[0] == issued
    (cost,) = costs  # All are alike.
    assert counted == cost if point == "pair.held" else counted > 2 * cost  # Nothing was asked yet.
    assert purse.pairs.cost() == issued - 2 * cost  # Two were the callers' own.


@pytest.mark.parametrize("point", AUDITS)
def test_a_payer_that_dies_as_it_audits(world: World, point: str) -> None:
    seller, auditor = world.provider(Scoring), world.provider(Auditor)
    providers: list[FakeProvider] = [seller, auditor]
    runs(world, providers, duels=False, point=point)
    purse = world.session().purse
    counted = purse.findings.cost()
    assert counted > 0
    assert len(purse.findings.all()) == (1 if point == "audit.held" else 0)
    purse.close()
    assert runs(world, providers, duels=False)["findings"] >= 1

    purse = world.session().purse
    assert purse.findings.cost() >= auditor.issued > 0
    assert purse.spending()[0] == seller.issued + auditor.issued
