"""A small fleet under load: own users are served, some of them by others, and every atom is accounted for.
The whole comparison is `scripts/demo network`."""

from pathlib import Path

import pytest

from tallystick_node.local.network import arm
from tallystick_node.local.network.fleet import Fleet, Node, running
from tallystick_node.local.network.scenarios import OURS
from tallystick_node.local.network.score import score
from tallystick_node.local.network.traffic import Arrival, Size


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
