"""The gateway's decisions, held to their promises by a machine that plays payers, engines and the clock."""

from dataclasses import dataclass, field
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import MINIMUM_INTERIM_COST
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, sign, verify
from tallystick.protocol.units import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Atoms,
    AtomsPerMTok,
    ChannelId,
    Hash32,
    Milliseconds,
    Timestamp,
    Tokens,
)
from tallystick.protocol.voucher import Tally
from tallystick_node.gateway.admission import Bounds, Demand, Serve, admit
from tallystick_node.gateway.metering import Meter, Step, next_step, reserve_again
from tallystick_node.gateway.settling import Position, SettlePolicy, due
from tallystick_node.gateway.tab import Account, Reservation, Tab

DOMAIN = Domain(chain_id=1, contract=ZERO_ADDRESS)
SESSION = Key(b"\5" * 32)
NO_LIMIT = Atoms(0)
MTOK = 1_000_000


def offer_of(credit: int, input_price: int, cached: int, output_price: int) -> Offer:
    return Offer(
        provider=ZERO_ADDRESS,
        sequence=1,
        endpoint="https://here",
        endpoint_key=ZERO_HASH,
        model="m",
        model_hash=ZERO_HASH,
        input_price=AtomsPerMTok(input_price),
        cached_input_price=AtomsPerMTok(cached),
        output_price=AtomsPerMTok(output_price),
        context_length=Tokens(100_000),
        credit=Atoms(credit),
        valid_until=Timestamp(1),
    )


@dataclass
class Running:
    tab: Tab
    nonce: int
    meter: Meter
    reservation: Reservation
    streamed: bool
    input_tokens: int
    left: int
    """Output tokens that the engine still has to say."""
    said: int = 0
    pending: dict[str, object] | None = None
    """Said, and not sent for want of room."""
    receipts: list[Receipt] = field(default_factory=list)


class Drive:
    """One account, two channels, any number of requests, in a random order. Tokens cost at most 50 atoms."""

    def __init__(self, seed: int):
        self.random = Random(seed)
        draw = self.random.randint
        credit = self.random.choice((200, 500, 2_000, 20_000))
        prices = draw(0, 2 * MTOK), draw(0, 2 * MTOK), draw(0, 50 * MTOK)
        self.offer = offer_of(credit, *prices)
        self.account = Account(payer=ZERO_ADDRESS)
        for epoch, cap in enumerate((draw(1, 60_000), 10**9)):
            key = ChannelKey(
                payer=ZERO_ADDRESS, provider=ZERO_ADDRESS, session_key=SESSION.address, epoch=epoch
            )
            self.account.tabs[key.id] = Tab(channel=Channel(key=key, cap=Atoms(cap)))
        self.tabs = list(self.account.tabs.values())
        self.running: list[Running] = []
        self.tallies = {tab.id: [Tally()] for tab in self.tabs}
        self.nonce = 0
        self.waits = 0

    def step(self) -> None:
        draw = self.random.randint
        running = self.random.choice(self.running) if self.running else None
        match self.random.choices(("ask", "say", "acknowledge", "cut"), (3, 10, 2, 0.2))[0]:
            case "ask":
                self.ask(
                    self.random.choice(self.tabs),
                    streamed=self.random.random() < 0.8,
                    input_tokens=draw(1, 100),
                    slack=draw(0, 100),
                    output=self.random.choice((3, 30, 300)),
                    shorter=draw(0, 20),
                )
            case "say" if running:
                self.say(running, pieces=draw(1, 60), tokens=draw(1, 2))
            case "acknowledge":
                self.acknowledge(self.random.choice(self.tabs), self.random.random())
            case "cut" if running:
                self.end(running, Finish.CANCELLED)
        self.check()

    # ---- what payers do

    def ask(
        self, tab: Tab, *, streamed: bool, input_tokens: int, slack: int, output: int, shorter: int
    ) -> None:
        within = Bounds(Tokens(input_tokens + slack), Tokens(output))
        decision = admit(self.account, tab, self.offer, within, streamed=streamed, unsecured_limit=NO_LIMIT)
        if isinstance(decision, Demand):
            assert tab.acknowledged.amount <= decision.terms.required <= tab.issued.amount
        if not isinstance(decision, Serve):
            return
        self.nonce += 1
        meter = Meter(
            offer=self.offer,
            offer_hash=ZERO_HASH,
            request_hash=Hash32(self.nonce.to_bytes(32, "big")),
            bounds=within,
            received_at=Milliseconds(1),
        )
        tab.running[self.nonce] = decision.reservation
        self.running.append(
            Running(
                tab=tab,
                nonce=self.nonce,
                meter=meter,
                reservation=decision.reservation,
                streamed=streamed,
                input_tokens=input_tokens,
                left=max(1, output - shorter),
            )
        )

    def acknowledge(self, tab: Tab, share: float) -> None:
        before = tab.acknowledged
        count = round(share * tab.issued.count)
        tally = self.tallies[tab.id][count]
        voucher = sign(tally.voucher(tab.id), DOMAIN, SESSION)
        assert tab.acknowledge(voucher) == (count > before.count)
        assert tab.acknowledged.count == max(count, before.count)

    # ---- what engines do

    def say(self, item: Running, *, pieces: int, tokens: int) -> None:
        if not item.streamed:
            self.end_whole(item)
            return
        for _ in range(pieces):
            if not self.say_one(item, tokens) or item not in self.running:
                return

    def say_one(self, item: Running, tokens: int) -> bool:
        """Whether it went out."""
        if item.pending is None:
            tokens = min(tokens, item.left)
            item.left -= tokens
            ids = list(range(item.said, item.said + tokens))
            item.said += tokens
            usage = {"prompt_tokens": item.input_tokens, "completion_tokens": item.said}
            item.pending = {"choices": [{"token_ids": ids}], "usage": usage}
            item.meter.see(item.pending)
        sent = self.push(item)
        if sent and item.left == 0:
            self.end(item, Finish.STOP)
        return sent

    def push(self, item: Running) -> bool:
        """As a relay does it: whether the pending piece went out."""
        account, tab, reservation, meter = self.account, item.tab, item.reservation, item.meter
        while (step := next_step(account, tab, reservation, meter, unsecured_limit=NO_LIMIT)) is Step.RECEIPT:
            self.interim(item)
        reservation.waiting = step is Step.WAIT
        if step is Step.WAIT:
            self.waits += 1
            return False
        if item.pending is None:
            return True
        meter.send(b"payload", Milliseconds(2))
        item.pending = None
        if meter.interim_due(reservation.held):
            self.interim(item)
        return True

    def interim(self, item: Running) -> None:
        self.issue(item, Finish.INTERIM)
        assert item.receipts[-1].cost >= MINIMUM_INTERIM_COST
        reserve_again(self.account, item.tab, item.reservation, item.meter, unsecured_limit=NO_LIMIT)

    def issue(self, item: Running, finish: Finish) -> None:
        receipt = item.meter.receipt(item.tab, item.reservation, finish, Milliseconds(3))
        item.tab.issue(receipt)
        self.tallies[item.tab.id].append(item.tab.issued)
        item.receipts.append(receipt)

    def end_whole(self, item: Running) -> None:
        usage = {"prompt_tokens": item.input_tokens, "completion_tokens": item.left}
        body = {"choices": [], "usage": usage}
        item.meter.see(body)
        item.meter.send(b"body", Milliseconds(2))
        self.end(item, Finish.STOP)

    def end(self, item: Running, finish: Finish) -> None:
        if item.meter.delivered:
            self.issue(item, finish)
        del item.tab.running[item.nonce]
        self.running.remove(item)
        billed = sum(receipt.output_tokens for receipt in item.receipts)
        unsent = len(item.pending["choices"][0]["token_ids"]) if item.pending else 0  # type: ignore[index]
        if item.streamed and item.receipts:
            assert billed == item.said - unsent, "every token sent is billed, and once"
            assert [bool(receipt.input_tokens) for receipt in item.receipts[1:]] == [False] * (
                len(item.receipts) - 1
            )

    # ---- what holds throughout

    def check(self) -> None:
        assert self.account.exposure <= self.offer.credit
        for tab in self.tabs:
            assert tab.issued.amount + tab.reserved <= tab.channel.cap
            assert tab.acknowledged.amount <= tab.issued.amount
        for item in self.running:
            assert item.meter.charge().cost <= item.reservation.held

    def drain(self) -> None:
        """Nobody waits for ever: when all is acknowledged, whoever waits goes on, unless its cap is spent."""
        for item in [item for item in self.running if item.pending is not None]:
            for _ in range(2):  # The first may issue a receipt, which the second acknowledges.
                for tab in self.tabs:
                    self.acknowledge(tab, 1)
                missing = item.meter.ahead() - item.reservation.held
                cap_is_spent = item.tab.channel.cap - item.tab.drawn < missing
                sent = self.push(item)
                self.check()
            assert sent or cap_is_spent


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 32))
def test_no_order_of_events_breaks_a_promise(seed: int) -> None:
    """Exposure within credit, channels within caps, every token sent billed once, nobody stuck."""
    drive = Drive(seed)
    for _ in range(150):
        drive.step()
        if drive.random.random() < 0.05:
            drive.drain()


def test_small_windows_never_leave_everybody_stuck() -> None:
    """Many streams on little credit, all acknowledged at once: without a floor each would starve the
    others."""
    for seed in range(20):
        drive = Drive(seed)
        drive.offer = offer_of(1000, 0, 0, 10 * MTOK)
        tab = drive.tabs[1]
        for _ in range(300):
            if drive.random.random() < 0.3:
                drive.ask(tab, streamed=True, input_tokens=1, slack=0, output=2000, shorter=0)
            elif drive.running:
                drive.say(drive.random.choice(drive.running), pieces=drive.random.randint(1, 9), tokens=2)
            drive.acknowledge(tab, 1)
            drive.check()
        drive.drain()


def test_the_drive_gets_to_the_pause() -> None:
    drives = [Drive(seed) for seed in range(30)]
    for drive in drives:
        for _ in range(150):
            drive.step()
        drive.drain()
    assert sum(drive.waits for drive in drives) > 30


# ------------------------------------------------------------------------------------------------- tabs


def test_a_bare_tally_is_bound_to_its_receipts() -> None:
    key = ChannelKey(payer=ZERO_ADDRESS, provider=ZERO_ADDRESS, session_key=SESSION.address)
    tab = Tab(channel=Channel(key=key, cap=Atoms(10)))
    signed = sign(Tally().voucher(key.id), DOMAIN, SESSION)
    assert tab.acknowledge(verify(signed.signed, DOMAIN, signer=SESSION.address)) is False


# ------------------------------------------------------------------------------------------------- settling

POLICY = SettlePolicy(amount=Atoms(1000), interval_s=60, minimum=Atoms(10))


def position(acknowledged: int, settled: int = 0, since: int = 0, closing: bool = False) -> Position:
    return Position(
        channel_id=ChannelId(bytes(32)),
        acknowledged=Atoms(acknowledged),
        settled=Atoms(settled),
        since=Timestamp(since),
        closing=closing,
    )


@pytest.mark.parametrize(
    ("item", "now", "leaving", "is_due"),
    [
        (position(999), 59, False, False),
        (position(1000), 0, False, True),
        (position(1500, settled=501), 59, False, False),
        (position(10), 60, False, True),
        (position(9), 60, False, False),
        (position(10, closing=True), 0, False, True),
        (position(9, closing=True), 0, False, True),
        (position(0, closing=True), 0, False, False),
        (position(9), 0, True, True),
        (position(10), 0, True, True),
        (position(0), 0, True, False),
        (position(5, settled=5), 10_000, True, False),
        (position(5, settled=50), 10_000, True, False),
    ],
)
def test_when_to_settle(item: Position, now: int, leaving: bool, is_due: bool) -> None:
    assert bool(due([item], POLICY, now=Timestamp(now), leaving=leaving)) is is_due


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**4))
def test_nothing_is_settled_twice(acknowledged: int, settled: int, now: int) -> None:
    item = position(acknowledged, settled, closing=True)
    if due([item], POLICY, now=Timestamp(now)):
        assert item.acknowledged > item.settled
