"""No payer has more for nothing than the credit of the offer, once an account, whatever it does.

The gateway is the node's own app with its own store, served over TLS to a pinned key; the chain and the
engine obey the test. What reached the payer is compared with what the provider can settle, and both with the
engine's own account of its work.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tallystick.protocol.units import Atoms
from tallystick_node.gateway.relay import RelayPolicy
from tests.cheats import forgers, payers
from tests.cheats.deadbeat import Deadbeat
from tests.cheats.gains import Gain, Gains
from tests.gateway.conftest import World, until

DEADBEATS = [
    item
    for module in (payers, forgers)
    for item in vars(module).values()
    if isinstance(item, type) and issubclass(item, Deadbeat) and item is not Deadbeat
]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def gateway(folder: Path, stack: AsyncExitStack, kind: type[Deadbeat]) -> World:
    world = World(folder)
    world.tls = True
    world.credit = kind.credit
    world.engine.tokens = kind.tokens
    world.relay_policy = RelayPolicy(pause_s=0.5, keep_alive_s=0.1, unsecured_limit=Atoms(2_000))
    await stack.enter_async_context(world.engine)
    await world.start()
    stack.push_async_callback(world.stop)
    return world


@pytest.mark.parametrize("kind", DEADBEATS, ids=lambda kind: kind.__name__)
async def test_it_has_no_more_than_its_credit(
    tmp_path: Path, stack: AsyncExitStack, gains: Gains, kind: type[Deadbeat]
) -> None:
    world = await gateway(tmp_path, stack, kind)
    deadbeat = kind(world)
    await deadbeat.play()
    await until(lambda: not world.gateway.running)
    gains.require(Gain(kind, deadbeat.bound(), deadbeat.gain()))
    assert deadbeat.received() <= world.engine.heard + 10 * world.engine.spoken
    for account in world.books.accounts.values():
        assert account.exposure <= kind.credit
        assert account.reserved == 0
