"""What goes on beside requests, and how it ends."""

import asyncio
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tallystick.protocol.units import Address
from tallystick_node.config import Config, EngineConfig, KeysConfig
from tallystick_node.gateway.own_accord import OwnAccord
from tallystick_node.gateway.watch import repeat
from tests.gateway.conftest import World


async def test_a_step_under_way_ends_before_its_task_does() -> None:
    """The chain's news, once read, is applied: a thread that reads cannot be stopped, and reads only once."""
    reading, read, applied = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def read_in_a_thread() -> str:
        loop.call_soon_threadsafe(reading.set)
        assert read.wait(10)
        return "opened"

    async def step() -> None:
        applied.append(await asyncio.to_thread(read_in_a_thread))

    task = asyncio.create_task(repeat("chain.poll", 60, step))
    await reading.wait()
    task.cancel()
    await asyncio.sleep(0)
    read.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert applied == ["opened"]


async def test_news_of_who_sells_what_are_told_at_once(world: World) -> None:
    told: list[str] = []
    world.watch.on_offers = lambda: told.append("told")
    await world.payer()
    assert told == []

    world.chain.withdraw_offers(0, provider=Address(b"\7" * 20))
    await world.watch.poll()
    await world.watch.poll()
    assert told == ["told"]


async def test_the_market_is_looked_at_when_it_changed_and_now_and_then(world: World, tmp_path: Path) -> None:
    """A newcomer is found within a second of its offer, and an idle market costs a look in ten."""
    looks: list[int] = []

    class Market:
        async def look(self) -> None:
            looks.append(world.clock.milliseconds())

    config = Config(
        rpc="http://none",
        deployment=tmp_path,
        keys=KeysConfig(receipt=tmp_path),
        engine=EngineConfig(url="http://none"),
    )
    provider: Any = None  # Asked for what it holds only by who buys, or stakes.
    own_accord = OwnAccord(config, provider, world.gateway, world.upstream, world.clock, world.metrics)
    own_accord.origin = Market()  # type: ignore[assignment]
    (step,) = (step for name, _, step in own_accord.steps(Mock()) if name == "market.look")
    for _ in range(10):
        await step()
        world.clock.advance(1)
    assert len(looks) == 1

    own_accord.see_offers()
    for _ in range(5):
        await step()
        world.clock.advance(1)
    assert len(looks) == 2
    world.clock.advance(5)
    await step()
    assert len(looks) == 3
