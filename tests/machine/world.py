"""One gateway, one payer, the chain and the wire between them: real protocol code on both sides, in one
thread.

Both ends can die at any moment; what they saved is what they start again with.
"""

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import orjson

from tallystick.client.attempts import Call
from tallystick.client.budget import Budget
from tallystick.client.flow import Flow, Sleep
from tallystick.client.purse import OpenChannel
from tallystick.client.refusals import Refusal
from tallystick.client.sending import endpoint_of
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.errors import MarketError
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Key, Signed, verify
from tallystick.protocol.units import ZERO_HASH, Atoms, AtomsPerMTok, ChannelId, Hash32, Timestamp, Tokens
from tallystick.protocol.voucher import Close
from tallystick.protocol.wire import CLOSE_PATH, signed_from_json
from tallystick_node.store.memory import MemoryStore
from tallystick_node.store.records import Store
from tallystick_node.store.sqlite import SqliteStore
from tests.machine.chain import ModelChain
from tests.machine.engine import ModelEngine
from tests.machine.lives import DOMAIN, GatewayLife, PayerLife
from tests.machine.loop import HandClock
from tests.machine.wire import Process, Wire
from tests.machine.witness import Witness

MODEL = "echo"
ENDPOINT = "http://127.0.0.1:1"
CHAT = "/v1/chat/completions"


class World:
    """Everything. Prices are in atoms a token; `sqlite`: the gateway's store is on disk."""

    def __init__(self, folder: Path, *, sqlite: bool, credit: int, unsecured: int, budget: int, deposit: int):
        self.folder = folder
        self.clock = HandClock()
        self.provider, self.wallet = _key(), _key()
        self.credit, self.unsecured = credit, unsecured
        self.budget = Budget(total=budget, per_request=min(budget, 3_000))
        self.chain = ModelChain(self.clock, DOMAIN, self.provider.address)
        self.engine = ModelEngine()
        self.witness = Witness()
        self.wire = Wire(self.witness.request, self.witness.left, self.witness.got)
        self.offers: dict[Hash32, Offer] = {}
        self.processes: list[Process] = []
        self.lost: list[Call] = []
        self.closes: list[tuple[ChannelKey, Signed[Close]]] = []
        self.withdrawn = 1
        """Offers under this sequence are, unless the chain took it back."""
        self.forgotten: set[ChannelId] = set()
        """Of which the gateway has lost what it held."""
        self._sqlite = sqlite
        self._gateways = self._payers = self._calls = 0
        self.chain.deposit(self.wallet.address, deposit)
        self.post_offer(1, 10)
        self.node = GatewayLife(self, self._store(None))
        self.me = PayerLife(self, folder / "payer-0")
        self.poll()
        self.clock.advance(60)  # A new database is dated by a later block: until then nothing is sold.
        self.poll()
        self.poll()

    # ---- lives

    def _store(self, before: Store | None, *, copied: bool = False) -> Store:
        if not self._sqlite:
            return before or MemoryStore()
        path = self.folder / f"node-{self._gateways}" / "node.db"
        if copied:
            _copied(self.folder / f"node-{self._gateways - 1}", path.parent)
        return SqliteStore(path)

    def crash_gateway(self, *, forgets: bool = False) -> None:
        """It starts again from what the moment left on disk; `forgets`: from nothing."""
        self._gateways += 1
        if forgets:
            self.forgotten |= self.node.books.tabs.keys()
        store = self._store(None if forgets else self.node.store.store, copied=not forgets)
        self.node.die()
        if self._sqlite:
            self.node.store.close()
        self.engine.open.clear()
        for line in list(self.wire.lines):
            if line.arrived:
                self.wire.break_(line, httpx2.ReadError("The gateway died."), noticed=False)
        self.node = GatewayLife(self, store)
        self.poll()

    def crash_payer(self, *, noticed: bool) -> None:
        """Its process ends between two effects; its files are as they lie."""
        old, self._payers = self.me, self._payers + 1
        home = self.folder / f"payer-{self._payers}"
        _copied(old.home, home)
        for line in self.wire.lines:
            line.process = None
            if noticed and line.arrived:
                self.wire.hang_up(line)
        self.lost.clear()
        dead, self.processes = self.processes, []
        for process in dead:
            process.flow.close()
        old.purse.close()
        self.me = PayerLife(self, home)

    def close(self) -> None:
        self.node.die()
        if self._sqlite:
            self.node.store.close()
        for process in self.processes:
            process.flow.close()
        self.me.purse.close()

    # ---- the payer

    def start(self, flow: Flow[Any], name: str) -> Process:
        process = Process(self.wire, flow, name, self.clock.milliseconds)
        self.processes.append(process)
        return process

    def ask(self, *, streamed: bool, words: int, tokens: int) -> None:
        self._calls += 1
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": f"{self._calls} ".ljust(words, "x")}],
            "max_tokens": tokens,
            "stream": streamed,
        }
        self.call(Call(path=CHAT, body=orjson.dumps(body)))

    def call(self, call: Call) -> None:
        process = self.start(self.me.payer.call(call), "call")
        process.call = call

    def settle(self, channel: OpenChannel) -> None:
        """What the clerk does of one channel."""
        if channel in self.me.clerk.due:
            self.me.clerk.due.remove(channel)
        if not any(process.channel is channel for process in self.processes):
            self.start(self.me.settling.settle(channel), "settle").channel = channel

    def acknowledge(self, channel: OpenChannel) -> None:
        """A bare voucher, wanted or not."""
        flow = self.me.sender.acknowledge(channel, endpoint_of(next(iter(self.offers.values()))))
        self.start(flow, "acknowledge")

    def ask_close(self, channel: OpenChannel) -> None:
        """The provider's signature to the end of a channel."""
        self.start(self._closed(channel), "close")

    def raise_grant(self, channel: OpenChannel, at_least: int) -> None:
        """A larger cap than anything needs yet."""
        posted = next(iter(self.chain.offers()), None)
        if posted is not None:
            self.start(self.me.sender.grant(channel, posted, Atoms(0), at_least=Atoms(at_least)), "grant")

    def _closed(self, channel: OpenChannel) -> Flow[None]:
        endpoint = endpoint_of(next(iter(self.offers.values())))
        yield from self.me.settling.settle(channel)
        answer = yield from self.me.sender.ask(channel, endpoint, CLOSE_PATH, b"{}")
        if isinstance(answer, Refusal):
            return
        signed = signed_from_json(Close, orjson.loads(answer))
        verify(signed, DOMAIN, signer=self.provider.address)
        if signed.message.cumulative_amount == channel.tally.amount:
            self.me.purse.retire(channel, "closed")
            self.closes.append((channel.key, signed))

    def reap(self) -> None:
        """What has ended, and how."""
        for process in [process for process in self.processes if process.done]:
            self.processes.remove(process)
            error = process.error
            if process.name == "settle" and (error is not None or process.result is False):
                self.me.clerk.settle(process.channel, within=1)
            if error is None:
                continue
            if not isinstance(error, MarketError | httpx2.TransportError):
                raise AssertionError(f"a {process.name} ended by {error!r}") from error
            if process.name == "call" and isinstance(error, httpx2.TransportError):
                assert process.call is not None
                self.lost.append(replace(process.call, retry=True))

    # ---- the provider

    def post_offer(self, input_price: int, output_price: int) -> None:
        """Atoms a token; halves cost half of that when cached."""
        offer = Offer(
            provider=self.provider.address,
            sequence=len(self.offers) + 1,
            endpoint=ENDPOINT,
            endpoint_key=ZERO_HASH,
            model=MODEL,
            model_hash=ZERO_HASH,
            input_price=AtomsPerMTok(input_price * 1_000_000),
            cached_input_price=AtomsPerMTok(input_price * 500_000),
            output_price=AtomsPerMTok(output_price * 1_000_000),
            context_length=Tokens(4096),
            credit=Atoms(self.credit),
            valid_until=Timestamp(self.clock.now // 1000 + 10_000_000),
        )
        self.offers[offer.struct_hash()] = offer
        self.chain.post_offer(offer)

    def upkeep(self) -> None:
        """What a node does every second."""
        self.poll()
        self.submit()
        self.poll()
        self.present()
        self._tried(self.node.cashier.close_lost)

    def poll(self) -> None:
        self._tried(self.node.watch.poll)

    def submit(self) -> None:
        self._tried(self.node.cashier.submit_grants)

    def present(self) -> None:
        self._tried(self.node.cashier.settle)

    def _tried(self, step: Callable[[], Any]) -> None:
        try:
            self.node.loop.until(step())
        except MarketError:
            assert self.chain.down

    def reorganise(self, depth: int, *, mined_again: bool) -> None:
        """All but the deposit and the first offer can be taken back."""
        depth = min(depth, self.chain.height - 2)
        if depth > 0:
            self.chain.reorganise(depth, mined_again=mined_again)

    def come_to_rest(self) -> None:
        """Everybody does what is to be done, with nothing in the way, until there is nothing left to do."""
        self.chain.down = self.engine.down = False
        for _ in range(40):
            self.upkeep()
            self.engine.say(1_000)
            self.rush()
            for channel in self.me.purse.leased.values():
                self.settle(channel)
            self.rush()
            busy = self.processes or self.wire.lines or self.node.gateway.running
            if not busy and not self.me.clerk.due:
                return
            self.pass_time(10)
        raise AssertionError(f"no rest: {self.processes}, {self.wire.lines}, {self.me.clerk.due}")

    # ---- time

    def pass_time(self, seconds: float) -> None:
        """Each of the payer's flows that sleeps is woken when it wanted to be, as often as it wants to be."""
        until = self.clock.now + int(seconds * 1000)
        while (wakes_at := self._next_waking()) is not None and wakes_at < until:
            self.clock.now = max(self.clock.now, wakes_at)
            self.turn()
        self.clock.now = until
        self.turn()

    def _next_waking(self) -> int | None:
        asleep = [process.until for process in self.processes if isinstance(process.waiting, Sleep)]
        return min(asleep, default=None)

    def turn(self) -> None:
        """All that can go on does, short of messages."""
        self.node.loop.turn()
        for process in list(self.processes):
            process.wake_at(self.clock.now)
        for line in list(self.wire.lines):
            if line.process is not None and line.ended and not line.pieces and line.exchange is not None:
                line.process.wake(line)
        self.wire.forget_over()
        self.reap()

    def rush(self) -> None:
        """Every message arrives, until nothing is under way that does not wait for the engine or for
        time."""
        moved = True
        while moved:
            moved = False
            for line in list(self.wire.lines):
                if not line.arrived:
                    self.wire.arrive(line, self.node.app, self.node.loop)
                    moved = True
                while self.wire.deliver(line) and line in self.wire.lines:
                    moved = True
                    if not line.pieces and line.ended:
                        break
            self.turn()


@contextmanager
def steady_chance() -> Iterator[None]:
    """The SDK's and the keys' chance is the same every time."""
    random = Random(11)
    was = secrets.randbits, Key.generate
    secrets.randbits = random.getrandbits
    Key.generate = classmethod(lambda cls: cls(random.randbytes(32)))  # type: ignore[method-assign]
    try:
        yield
    finally:
        secrets.randbits = was[0]
        Key.generate = was[1]  # type: ignore[method-assign]


def _key() -> Key:
    return Key.generate()


def _copied(source: Path, target: Path) -> None:
    """What is in the operating system's hands at this moment."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*-shm"))
