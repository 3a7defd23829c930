"""Fleets under load: own users are served, some of them by others, and every atom is accounted for. How well
is what `scripts/demo network` measures on a machine that does nothing else."""

import json
import subprocess
from pathlib import Path

import pytest

from tallystick_node.local.network import arm
from tallystick_node.local.network.fleet import Fleet, Node, running
from tallystick_node.local.network.scenarios import OURS
from tallystick_node.local.network.score import score
from tallystick_node.local.network.traffic import Arrival, Size

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.e2e
def test_a_network_that_falls_apart_loses_nobody_s_request_and_heals(tmp_path: Path) -> None:
    found, picture = tmp_path / "network.json", tmp_path / "network.png"
    command = [REPOSITORY / "scripts" / "demo", "network", "--only", "d", "--seconds", "12", "--rate", "2"]
    ended = subprocess.run(
        [*command, "--json", found, "--plot", picture], capture_output=True, text=True, timeout=300
    )
    assert found.exists(), ended.stdout[-3000:] + ended.stderr[-3000:]
    told = json.loads(found.read_text())["scenarios"]["d"]
    served = told["arms"]["partition"]
    assert (served["failed"], served["errors"]) == (0, [])
    assert served["elsewhere"] > 0
    assert [check for check in served["money"] if not check["holds"]] == []
    assert [target for target in told["targets"] if not target["met"]] == []
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.e2e
async def test_a_slow_node_buys_for_its_users_and_every_atom_is_accounted_for(tmp_path: Path) -> None:
    nodes = [Node(card=card, policy=OURS) for card in ("A100", "L4")]
    fleet = Fleet(folder=tmp_path, nodes=nodes)
    size = Size(input=400, output=40)
    load = [Arrival(number=number, at_s=6 + number / 4, home=1, size=size) for number in range(12)]
    async with running(fleet):
        result = await arm.run("small", fleet, load)

    found = score(result.served)
    assert found.failed == 0, result.to_json()["errors"]
    assert found.elsewhere > 0.5, "An L4 knows by now that an A100 is six times as fast."
    assert {result.names[item.provider] for item in result.served if item.provider} == {"0·A100"}
    assert result.adds_up, result.checks
