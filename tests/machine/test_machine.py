"""The whole wire protocol as a state machine: whatever is dropped, doubled, late, taken back or killed,
no atom is lost, stolen or paid twice, and in the end both halves of the stick fit.

Real code on both sides (`Gateway` behind its ASGI app, `Payer`, `Purse`, `Settling`); the wire, the engine,
the chain and the clock are the test's.
"""

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import httpx2
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.client.purse import OpenChannel
from tallystick.protocol.channel import Channel
from tests.machine.chain import CLOSE_NOTICE
from tests.machine.wire import Line
from tests.machine.world import World, steady_chance

T = TypeVar("T")
which = st.integers(0, 1 << 16)
"""One of however many there are."""
ERRORS = (
    httpx2.ReadError("The connection broke."),
    httpx2.RemoteProtocolError("The connection broke."),
    httpx2.ReadTimeout("It took too long."),
)


def picked(items: Sequence[T], index: int) -> T:
    return items[index % len(items)]


class Market(RuleBasedStateMachine):
    world: World
    mended_in = 0
    """Steps until the chain answers again."""

    @initialize(
        sqlite=st.booleans(),
        credit=st.sampled_from([800, 2_000, 8_000]),
        unsecured=st.sampled_from([500, 5_000, 0]),
        budget=st.sampled_from([2_500, 30_000]),
        deposit=st.sampled_from([5_000, 100_000]),
        gives_ids=st.booleans(),
    )
    def begin(
        self, sqlite: bool, credit: int, unsecured: int, budget: int, deposit: int, gives_ids: bool
    ) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(steady_chance())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self.world = World(
                folder, sqlite=sqlite, credit=credit, unsecured=unsecured, budget=budget, deposit=deposit
            )
            stack.callback(lambda: self.world.close())
            self.world.engine.gives_ids = gives_ids
            self.stack = stack.pop_all()

    @property
    def lines(self) -> list[Line]:
        return self.world.wire.lines

    @property
    def channels(self) -> list[OpenChannel]:
        return list(self.world.me.purse.leased.values())

    @property
    def closing(self) -> list[Channel]:
        return [channel for channel in self.world.chain.channels.values() if channel.closes_at]

    @property
    def waiting(self) -> list[Line]:
        return [line for line in self.lines if not line.arrived]

    @property
    def unsent(self) -> list[Line]:
        """Of which nobody has a copy."""
        return [line for line in self.waiting if not line.copied]

    @property
    def busy(self) -> bool:
        return bool(self.lines or self.world.node.gateway.running)

    # ---- the payer

    @rule(
        streamed=st.booleans(),
        words=st.integers(3, 60),
        tokens=st.sampled_from([1, 5, 30, 90]),
        said=st.none() | st.sampled_from([0, 4, 25, 1_000]),
    )
    def ask(self, streamed: bool, words: int, tokens: int, said: int | None) -> None:
        """`said`: it gets through at once, and the engine says so many tokens of the answer."""
        world = self.world
        world.ask(streamed=streamed, words=words, tokens=tokens)
        if said is not None:
            world.rush()
            world.upkeep()
            world.engine.say(said)
            world.rush()

    @precondition(lambda self: self.world.lost)
    @rule(index=which)
    def ask_again_for_what_was_lost(self, index: int) -> None:
        self.world.call(self.world.lost.pop(index % len(self.world.lost)))

    @precondition(lambda self: self.world.me.clerk.due)
    @rule(index=which)
    def let_the_clerk_work(self, index: int) -> None:
        self.world.settle(picked(self.world.me.clerk.due, index))

    @precondition(lambda self: self.channels)
    @rule(index=which)
    def acknowledge(self, index: int) -> None:
        self.world.acknowledge(picked(self.channels, index))

    @precondition(lambda self: self.channels and not self.world.chain.down)
    @rule(index=which, at_least=st.integers(1, 20_000))
    def raise_a_grant(self, index: int, at_least: int) -> None:
        self.world.raise_grant(picked(self.channels, index), at_least)

    @precondition(lambda self: self.world.processes)
    @rule(index=which)
    def give_up(self, index: int) -> None:
        process = picked(self.world.processes, index)
        process.abandon()
        self.world.processes.remove(process)

    @precondition(lambda self: self.channels)
    @rule(index=which)
    def ask_for_a_signed_close(self, index: int) -> None:
        self.world.ask_close(picked(self.channels, index))

    @precondition(lambda self: self.channels and not self.world.chain.down)
    @rule(index=which)
    def request_a_close(self, index: int) -> None:
        self.world.chain.request_close(picked(self.channels, index).key)

    # ---- the wire

    @precondition(lambda self: self.waiting)
    @rule(index=which)
    def deliver_a_request(self, index: int) -> None:
        node = self.world.node
        self.world.wire.arrive(picked(self.waiting, index), node.app, node.loop)

    @precondition(lambda self: self.lines)
    @rule(index=which, cut=st.none() | st.integers(1, 400))
    def deliver_a_piece(self, index: int, cut: int | None) -> None:
        self.world.wire.deliver(picked(self.lines, index), cut)

    @precondition(lambda self: self.lines)
    @rule()
    def deliver_all(self) -> None:
        self.world.rush()

    @precondition(lambda self: self.unsent)
    @rule(index=which)
    def lose_a_request(self, index: int) -> None:
        """Before a byte of it left."""
        line = picked(self.unsent, index)
        self.world.wire.forget_unsent(line)
        self.world.wire.break_(line, httpx2.ConnectError("Nobody listens."), noticed=False)

    @precondition(lambda self: self.lines)
    @rule(index=which, noticed=st.booleans(), error=st.sampled_from(ERRORS))
    def break_a_connection(self, index: int, noticed: bool, error: Exception) -> None:
        self.world.wire.break_(picked(self.lines, index), error, noticed=noticed)

    @precondition(lambda self: self.world.wire.seen)
    @rule(index=which)
    def send_a_request_again(self, index: int) -> None:
        """Whoever saw it may."""
        wire = self.world.wire
        line = picked(wire.seen, index)
        line.copied = True
        wire.arrive(wire.send(line.request, None), self.world.node.app, self.world.node.loop)

    # ---- the gateway

    @precondition(lambda self: self.world.engine.open)
    @rule(tokens=st.sampled_from([1, 7, 40, 1_000]))
    def let_the_engine_speak(self, tokens: int) -> None:
        self.world.engine.say(tokens)

    @precondition(lambda self: self.world.engine.open)
    @rule(index=which)
    def break_the_engine(self, index: int) -> None:
        picked(self.world.engine.open, index).die()

    @rule()
    def submit_grants(self) -> None:
        self.world.submit()

    @rule()
    def settle(self) -> None:
        self.world.present()

    @rule()
    def look_at_the_chain(self) -> None:
        self.world.poll()

    @precondition(lambda self: not self.world.chain.down and len(self.world.offers) < 4)
    @rule(input_price=st.sampled_from([1, 2]), output_price=st.sampled_from([3, 10, 14]))
    def change_the_offer(self, input_price: int, output_price: int) -> None:
        self.world.post_offer(input_price, output_price)

    @precondition(lambda self: not self.world.chain.down and self.world.withdrawn < len(self.world.offers))
    @rule()
    def withdraw_all_but_the_newest_offer(self) -> None:
        world = self.world
        world.withdrawn = len(world.offers)
        world.chain.withdraw_offers(world.provider.address, world.withdrawn)

    # ---- trouble

    @precondition(lambda self: self.busy)
    @rule()
    def kill_the_gateway(self) -> None:
        self.world.crash_gateway()

    @precondition(lambda self: self.channels and not self.world.forgotten)
    @rule()
    def lose_the_gateway_s_database(self) -> None:
        self.world.crash_gateway(forgets=True)

    @precondition(lambda self: self.busy)
    @rule(noticed=st.booleans())
    def kill_the_payer(self, noticed: bool) -> None:
        self.world.crash_payer(noticed=noticed)

    @precondition(lambda self: not self.world.chain.down)
    @rule(depth=st.integers(1, 6), mined_again=st.booleans())
    def reorganise(self, depth: int, mined_again: bool) -> None:
        self.world.reorganise(depth, mined_again=mined_again)

    @precondition(lambda self: self.world.closes and not self.world.chain.down)
    @rule(index=which)
    def submit_a_close(self, index: int) -> None:
        self.world.chain.close(*picked(self.world.closes, index))

    @precondition(lambda self: self.closing and not self.world.chain.down)
    @rule()
    def finalise_closes(self) -> None:
        self.world.pass_time(CLOSE_NOTICE)
        for channel in self.closing:
            self.world.chain.finalize_close(channel.key)

    @rule(steps=st.integers(1, 8))
    def cut_the_chain(self, steps: int) -> None:
        self.world.chain.down, self.mended_in = True, steps

    @rule(seconds=st.sampled_from([0.06, 0.5, 2, 20, 130]))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)
        if seconds > 1:
            self.world.upkeep()

    # ---- what holds

    @invariant()
    def holds(self) -> None:
        world = self.world
        self.mended_in -= 1
        if self.mended_in <= 0:
            world.chain.down = False
        world.turn()
        world.witness.check(world.node.gateway, world.chain, world.offers, world.credit)
        spent, reserved = world.me.purse.spending()
        assert spent + reserved <= world.budget.total, "the budget is exceeded"
        assert world.witness.paid() <= world.budget.total, "more is signed than the budget"
        assert not world.me.purse.evidence.refused(), "an honest provider is accused"

    def teardown(self) -> None:
        if not hasattr(self, "stack"):
            return
        with self.stack:
            if sys.exception() is None:  # What a step failed by is told, not what comes of it.
                self.world.come_to_rest()
                self.holds()
                self.agree()

    def agree(self) -> None:
        """Nothing runs, and each half says what the other does."""
        world = self.world
        assert not world.node.gateway.running
        purse = world.me.purse
        for channel in purse.leased.values():
            tab = world.node.books.tabs.get(channel.id)
            assert not channel.running, "a request is open for ever"
            if channel.id in world.forgotten:
                continue
            if tab is None:
                assert channel.tally.count == 0
            elif (
                channel.state == "open" and not tab.closed and not tab.refusing and not tab.channel.closes_at
            ):
                counts = channel.tally.count, tab.acknowledged.count, tab.issued.count
                assert channel.tally == tab.acknowledged == tab.issued, f"the halves differ ({counts})"
                assert channel.delivered == channel.tally.count, "a voucher is sent for ever"
                assert tab.reserved == 0
        _, reserved = purse.spending()
        running = [(channel.state, channel.running) for channel in purse.leased.values()]
        assert reserved == 0, f"{reserved} atoms are held for requests that have ended ({running})"


LONG = settings.get_current_profile_name() == "long"
"""Ten thousand steps and more; else a few hundred."""
TestMarket = Market.TestCase
TestMarket.settings = settings(
    stateful_step_count=100 if LONG else 30,
    max_examples=150 if LONG else 15,
    suppress_health_check=list(HealthCheck),
)
