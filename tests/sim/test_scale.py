"""What a larger market takes: figures come from the code that runs, and follow what they depend on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tallystick_node.cli import app
from tallystick_node.sim.gossip import Network
from tallystick_node.sim.gossip_traffic import first_spread, rounds_to
from tallystick_node.sim.scale import run
from tallystick_node.sim.settlements import CLOSE_GAS, DAY_S, OPEN_GAS, settled
from tallystick_node.sim.walls import Costs, Habits, walls
from tallystick_node.sim.world import SETTLING

SNAPSHOT = Path(__file__).parents[2] / "contracts/snapshots/transactions.json"


def test_gas_is_the_contract_s() -> None:
    found = json.loads(SNAPSHOT.read_text())
    assert int(found["open 100 channels by grants, each"]) == OPEN_GAS
    assert int(found["close, signed by the provider"]) == CLOSE_GAS


def test_busy_channels_and_patient_providers_settle_seldom() -> None:
    quiet, busy = settled(20.0, channels=20), settled(2_000.0, channels=20)
    patient = settled(20.0, channels=20, policy=replace(SETTLING, interval_s=int(DAY_S)))

    assert busy.gas < quiet.gas / 2
    assert patient.gas < quiet.gas / 2
    assert quiet.rows >= quiet.transactions > 0


def test_a_change_is_soon_known_among_many() -> None:
    assert first_spread(Network(200, seed=2), 0.99) <= 6


def test_a_change_spreads_where_all_know_all_and_a_network_s_size_is_the_caller_s(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    ran = CliRunner().invoke(app, ["sim", "scale", "--only", "gossip", "--nodes", "32", "--json", str(file)])
    assert ran.exit_code == 0, ran.output
    figures = {figure["name"]: figure["value"] for figure in json.loads(file.read_text())["figures"]}
    assert {name.split(":")[1] for name in figures} == {" 32 nodes"}
    what = "gossip: 32 nodes: rounds until 99 % know a change, all knowing all, the slowest of 5"
    assert 1 <= figures[what] <= 4


def test_rounds_are_those_until_enough_knew() -> None:
    assert rounds_to(0.99, [0.5, 0.98, 0.99, 1.0]) == 3
    assert rounds_to(0.99, [0.5, 0.98]) == 12


def test_the_first_wall_moves_with_what_settling_costs() -> None:
    costs = Costs(gas=1.2e10, rows=280_000, row_bytes=1_300)
    found = {wall.name: wall.used for wall in walls(1e6, Habits(), costs)}
    cheaper = {wall.name: wall.used for wall in walls(1e6, Habits(), replace(costs, gas=0, rows=0))}

    assert found["gas of Ethereum itself"] > cheaper["gas of Ethereum itself"] > 0  # Channels open and close.
    assert found["disk of one index, a terabyte a year"] > 1 > cheaper["disk of one index, a terabyte a year"]


def test_a_part_that_there_is_not_is_named() -> None:
    ran = CliRunner().invoke(app, ["sim", "scale", "--only", "moon"])

    assert ran.exit_code == 1
    assert "'moon'" in ran.output


def test_speed_is_written_with_its_target(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    ran = CliRunner().invoke(app, ["sim", "scale", "--requests", "5000", "--json", str(file)])

    assert ran.exit_code == 0, ran.output
    figures = {figure["name"]: figure for figure in json.loads(file.read_text())["figures"]}
    assert figures["speed: 12 nodes: requests a minute of one core"]["target"]["least"] == 300_000


@pytest.mark.parametrize("requests", [1, 60])
def test_a_run_has_as_many_requests_as_are_asked_for_and_a_short_one_no_speed_to_reach(
    requests: int, tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    ran = CliRunner().invoke(app, ["sim", "scale", "--requests", str(requests), "--json", str(file)])
    assert ran.exit_code == 0, ran.output
    figures = {figure["name"]: figure for figure in json.loads(file.read_text())["figures"]}
    assert figures["speed: 12 nodes: requests served"]["value"] == 1
    assert not any("target" in figure for figure in figures.values())
    assert f"{requests:,} requests" in ran.output
    assert "What was asked" not in ran.output


def test_the_profile_s_parts_are_all_of_the_time() -> None:
    assert sum(run(12, 100, profiled=True).parts.values()) == pytest.approx(1.0)
