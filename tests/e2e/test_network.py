"""Fleets under load: own users are served, some of them by others, and every atom is accounted for. How well
is what `scripts/demo network` measures on a machine that does nothing else."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tallystick.protocol.status import Status
from tallystick.protocol.told import read_told
from tallystick.protocol.wire import NETWORK_PATH
from tallystick_node.local.engines import vllm_is_installed
from tallystick_node.local.network import arm
from tallystick_node.local.network.breaking import TOGETHER_AFTER
from tallystick_node.local.network.comparing import OURS
from tallystick_node.local.network.fleet import VLLM, Fleet, Node, complete_views, running
from tallystick_node.local.network.score import score
from tallystick_node.local.network.traffic import Arrival, Size
from tallystick_node.local.network.users import Users

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.e2e
def test_a_network_that_falls_apart_loses_nobody_s_request_and_heals(tmp_path: Path) -> None:
    told = demo(tmp_path, "d", seconds=12)
    served = told["arms"]["partition"]
    assert (served["failed"], served["errors"]) == (0, [])
    assert served["elsewhere"] > 0
    assert [check for check in served["money"] if not check["holds"]] == []
    missed = [target for target in told["targets"] if not target["met"]]
    assert [target for target in missed if target["name"] != TOGETHER_AFTER] == []


@pytest.mark.e2e
def test_who_pins_the_old_price_is_served_at_it_after_it_changed(tmp_path: Path) -> None:
    told = demo(tmp_path, "e", seconds=16)
    served = told["arms"]["prices"]
    assert (served["failed"], served["errors"]) == (0, [])
    assert [check for check in served["money"] if not check["holds"]] == []
    (pinned,) = [target for target in told["targets"] if "pin the old offer" in target["name"]]
    assert pinned["met"], pinned


def demo(folder: Path, key: str, *, seconds: int) -> Any:
    """What `scripts/demo network` came to."""
    found, picture = folder / "network.json", folder / "network.png"
    command = [REPOSITORY / "scripts" / "demo", "network", "--only", key]
    options = ["--seconds", str(seconds), "--rate", "2", "--json", found, "--plot", picture]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=900)
    assert found.exists(), ended.stdout[-3000:] + ended.stderr[-3000:]
    assert picture.read_bytes().startswith(b"\x89PNG")
    return json.loads(found.read_text())["scenarios"][key]


@pytest.mark.e2e
async def test_a_slow_node_buys_for_its_users_and_every_atom_is_accounted_for(tmp_path: Path) -> None:
    nodes = [Node(card=card, policy=OURS) for card in ("A100", "L4")]
    fleet = Fleet(folder=tmp_path, nodes=nodes)
    size = Size(input=400, output=40)
    load = [Arrival(number=number, at_s=number / 4, home=1, size=size) for number in range(12)]
    async with running(fleet):
        await until(lambda: all_are_known(fleet))
        result = await arm.run("small", fleet, load)

    found = score(result.served)
    assert found.failed == 0, result.to_json()["errors"]
    assert found.elsewhere > 0.5, "An L4 knows that an A100 is six times as fast."
    assert {result.names[item.provider] for item in result.served if item.provider} == {"0·A100"}
    assert result.adds_up, result.checks


@pytest.mark.e2e
@pytest.mark.vllm
@pytest.mark.skipif(not vllm_is_installed(), reason="needs scripts/install vllm")
async def test_others_buy_from_a_real_engine_once_its_own_users_showed_how_fast_it_is(tmp_path: Path) -> None:
    """Nobody says how fast vLLM is here: its node finds out, advertises it, and quotes by it. It must be the
    faster one however busy this machine is, hence a card that takes 350 ms a token."""
    slow = Node(card="L4", policy=OURS, slower=5)
    fleet = Fleet(folder=tmp_path, nodes=[slow, Node(card=VLLM, policy=OURS)])
    size = Size(input=60, output=24)
    at_home = [Arrival(number=number, at_s=number, home=1, size=size) for number in range(5)]
    later = [Arrival(number=5 + number, at_s=number / 2, home=0, size=size) for number in range(12)]
    async with running(fleet):
        model = fleet.market.engine.model_name
        served = await Users(homes=fleet.homes, model=model, lengths_are_asked_for=True).run(at_home)
        await until(lambda: is_told_how_fast(fleet, 1, by=0))
        result = await arm.run("vllm", fleet, later, lengths_are_asked_for=True)

    assert score([*served, *result.served]).failed == 0, result.to_json()["errors"]
    assert all(not item.provider for item in served), "they were served where they asked"
    bought = {result.names[item.provider] for item in result.served if item.provider}
    assert bought == {"1·vLLM"}, [str(item) for item in result.served]
    assert result.adds_up, result.checks


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(180):
        while not await happened():  # noqa: ASYNC110 (in other processes)
            await asyncio.sleep(0.2)


async def all_are_known(fleet: Fleet) -> bool:
    return await complete_views(fleet) == len(fleet.nodes)


async def is_told_how_fast(fleet: Fleet, number: int, *, by: int) -> bool:
    """Whether one node knows it of another."""
    async with aiohttp.ClientSession() as web, web.get(fleet.provider(by).url + NETWORK_PATH) as answer:
        _, frames = read_told(await answer.json())
    statuses = [frame.message for frame, _ in frames if isinstance(frame.message, Status)]
    return any(one.speed.is_known for one in statuses if one.provider == fleet.address(number))
