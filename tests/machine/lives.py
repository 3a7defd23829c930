"""The lives of both ends: a gateway's and a payer's process, each from its start to its end."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tallystick.client.clerk import Settling
from tallystick.client.listing import Listing
from tallystick.client.payer import Payer
from tallystick.client.purse import OpenChannel, Purse
from tallystick.client.rules import cheapest
from tallystick.client.sending import Sender
from tallystick.client.sight import Unsighted
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.units import Address, Atoms
from tallystick_node.gateway.app import make_app
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.cashier import Cashier
from tallystick_node.gateway.gateway import Gateway, Limits
from tallystick_node.gateway.grants import GrantPolicy, Grants
from tallystick_node.gateway.guard import Guard
from tallystick_node.gateway.intake import Intake, IntakePolicy
from tallystick_node.gateway.metrics import Metrics
from tallystick_node.gateway.relay import Relay, RelayPolicy
from tallystick_node.gateway.settling import SettlePolicy
from tallystick_node.gateway.watch import ChainWatch
from tallystick_node.store.records import Store
from tests.machine.loop import HandLoop

if TYPE_CHECKING:
    from tests.machine.world import World

DOMAIN = Domain(chain_id=31337, contract=Address(bytes(range(20))))


class Dead(Exception):
    """The process has ended; nothing is saved any more."""


class Mortal:
    """A store up to its process's end."""

    def __init__(self, store: Store):
        self.store = store
        self.dead = False

    async def save(self, *changes: Any) -> None:
        if self.dead:
            raise Dead
        await self.store.save(*changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class GatewayLife:
    """From one start of the gateway to its end."""

    def __init__(self, world: "World", store: Store):
        clock, chain = world.clock, world.chain
        self.loop = HandLoop(clock)
        self.store = Mortal(store)
        self.metrics = Metrics()
        self.books = Books(
            provider=world.provider.address,
            key=world.provider,
            domain=DOMAIN,
            store=self.store,
            clock=clock,
            on_receipt=self.metrics.receipt,
        )
        grants = Grants(self.books, chain, GrantPolicy(Atoms(0)))
        unsecured = Atoms(world.unsecured)
        self.gateway = Gateway(self.books, grants, Limits(running=20, unsecured=unsecured, head_age_s=120))
        self.watch = ChainWatch(self.gateway, grants, chain.follower())
        policy = SettlePolicy(amount=Atoms(1), interval_s=1, minimum=Atoms(1))
        self.cashier = Cashier(self.gateway, grants, chain, policy, self.metrics)
        self.relay = Relay(
            self.books,
            world.engine,  # type: ignore[arg-type]
            RelayPolicy(pause_s=5, keep_alive_s=1, unsecured_limit=unsecured),
        )
        self.app = make_app(
            self.gateway,
            self.relay,
            metrics=self.metrics,
            guard=Guard(clock, 0),
            intake=Intake(IntakePolicy(body=1 << 20, total=1 << 24, seconds=5)),
            engine_models={},
        )

    def die(self) -> None:
        """Nothing of it acts, or saves, from here on."""
        self.store.dead = True
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(_ended(tasks))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


class ModelClerk:
    """Notes what can wait; the test says when it is done."""

    def __init__(self) -> None:
        self.due: list[OpenChannel] = []
        self.stale = False

    def settle(self, channel: OpenChannel, *, within: float) -> None:
        if channel not in self.due:
            self.due.append(channel)

    def refresh(self) -> None:
        self.stale = True


class PayerLife:
    """From one start of the payer's process to its end."""

    def __init__(self, world: "World", home: Path):
        self.home = home
        now = world.clock.milliseconds
        self.purse = Purse(home, wallet=world.wallet, domain=DOMAIN, budget=world.budget, now=now)
        self.clerk = ModelClerk()
        self.listing = Listing(world.chain, now)
        self.sender = Sender(
            purse=self.purse, wallet=world.wallet, chain=world.chain, now=now, listing=self.listing
        )
        self.payer = Payer(
            purse=self.purse,
            listing=self.listing,
            sender=self.sender,
            clerk=self.clerk,
            rule=cheapest,
            outlook=Unsighted(),
            now=now,
        )
        self.settling = Settling(self.payer)
        for channel in self.purse.adopt_unsettled():
            self.clerk.settle(channel, within=0)
