"""Whom a payer goes elsewhere from: those whose receipts bear dates that cannot be, and those whom an auditor
struck; and when that is over."""

import time
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from tallystick.client import delivering
from tallystick.client.avoidance import FORGIVEN_AFTER, Avoided, Reason
from tallystick.client.flow import Flow, read_all
from tallystick.client.rules import cheapest
from tallystick.client.session import Session
from tallystick.client.transport import Transport
from tallystick.protocol.finding import Verdict
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Address, Milliseconds
from tests.client.conftest import World, chat_body
from tests.client.provider import FakeProvider
from tests.client.test_auditing import Auditor, Market

URL = "https://market/v1/chat/completions"


class Clock:
    """True, and as far on as a test says."""

    def __init__(self) -> None:
        self.on_ms = 0

    def __call__(self) -> Milliseconds:
        return Milliseconds(time.time_ns() // 1_000_000 + self.on_ms)


class Payer:
    def __init__(self, world: World, **options: Any):
        self.clock = Clock()
        self.session: Session = world.session(rule=cheapest, now=self.clock, **options)
        self.client = httpx2.Client(transport=Transport(self.session))

    def buys(self, **more: Any) -> Address:
        """Of whom."""
        reply = self.client.post(URL, json=chat_body(**more))
        assert reply.status_code == 200, reply.text
        return Address(bytes.fromhex(reply.headers["tallystick-provider"][2:]))

    @property
    def avoided(self) -> tuple[Avoided, ...]:
        return self.session.purse.evidence.avoidance.all()


@pytest.fixture
def payer(world: World) -> Payer:
    return Payer(world)


@pytest.fixture
def sellers(world: World) -> tuple[FakeProvider, FakeProvider]:
    """Of whom the first is cheaper."""
    return world.provider(price=1_000_000), world.provider(price=2_000_000)


@pytest.mark.parametrize("ahead_ms", [-16_000, 16_000, 3_600_000, -3_600_000])
@pytest.mark.parametrize("stream", [False, True])
def test_whoever_dates_its_receipts_off_is_asked_after_all_others(
    payer: Payer, sellers: tuple[FakeProvider, FakeProvider], ahead_ms: int, stream: bool
) -> None:
    cheap, dear = (one.key.address for one in sellers)
    sellers[0].ahead_ms = ahead_ms
    assert [payer.buys(stream=stream) for _ in range(3)] == [cheap, dear, dear]
    (avoided,) = payer.avoided
    assert (avoided.provider, avoided.reason, avoided.is_last) == (cheap, Reason.MISDATED, True)


@pytest.mark.parametrize("ahead_ms", [-14_000, 0, 14_000])
def test_clocks_may_differ_a_little(
    payer: Payer, sellers: tuple[FakeProvider, FakeProvider], ahead_ms: int
) -> None:
    sellers[0].ahead_ms = ahead_ms
    assert [payer.buys() for _ in range(2)] == [sellers[0].key.address] * 2
    assert payer.avoided == ()


def test_where_nobody_else_sells_it_is_asked_all_the_same(world: World, payer: Payer) -> None:
    """It may be one's own clock that is off."""
    only = world.provider()
    only.ahead_ms = -60_000
    assert [payer.buys() for _ in range(3)] == [only.key.address] * 3


def test_whoever_is_asked_last_serves_where_the_others_cannot(
    payer: Payer, sellers: tuple[FakeProvider, FakeProvider]
) -> None:
    sellers[0].ahead_ms = -60_000
    payer.buys()
    sellers[1].close()
    assert payer.buys() == sellers[0].key.address


def test_a_caller_that_reads_slowly_is_no_reason(
    world: World, sellers: tuple[FakeProvider, FakeProvider]
) -> None:
    """What waits in its buffers is old by the time it is read, and was dated well."""
    payer = Payer(world)
    with payer.client.stream("POST", URL, json=chat_body("a b c d e f g h", stream=True)) as reply:
        blocks = reply.iter_raw()
        next(blocks)
        payer.clock.on_ms += 60_000
        for _ in blocks:
            pass
    assert payer.avoided == ()


def test_a_slow_way_is_no_reason(
    world: World, sellers: tuple[FakeProvider, FakeProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt of an answer in one piece is signed before its head leaves."""
    payer = Payer(world)

    def slow(*arguments: Any) -> Flow[bytes]:
        payer.clock.on_ms += 60_000
        return (yield from read_all(*arguments))

    monkeypatch.setattr(delivering, "read_all", slow)
    assert payer.buys() == sellers[0].key.address
    assert payer.avoided == ()


def test_it_is_forgiven_after_a_day(payer: Payer, sellers: tuple[FakeProvider, FakeProvider]) -> None:
    sellers[0].ahead_ms = -60_000
    payer.buys()
    (avoided,) = payer.avoided
    assert avoided.until - avoided.since == FORGIVEN_AFTER[Reason.MISDATED] == 86_400_000
    sellers[0].ahead_ms = 0
    payer.clock.on_ms += 86_400_000 - 60_000
    assert payer.session.purse.evidence.avoidance.last == {sellers[0].key.address}
    payer.clock.on_ms += 120_000
    assert payer.avoided == ()


def test_another_process_of_the_purse_knows_it_too(
    world: World, payer: Payer, sellers: tuple[FakeProvider, FakeProvider]
) -> None:
    sellers[0].ahead_ms = -60_000
    payer.buys()
    assert Payer(world).buys() == sellers[1].key.address


# -------------------------------------------------------------------------------------------------- strikes


class Struck(Market):
    """The provider was struck by each auditor that says so."""

    def __init__(self, world: World, *verdicts: Verdict):
        super().__init__(world)
        for auditor, verdict in zip(self.auditors, verdicts, strict=True):
            auditor.verdict = verdict
        self.buys()
        self.draws(0, 1, 4)

    @property
    def reasons(self) -> list[Reason]:
        return [one.reason for one in self.session.purse.evidence.avoidance.all()]


def test_whom_an_auditor_struck_gets_no_request(world: World) -> None:
    made = Struck(world, Verdict.STRIKE, Verdict.STRIKE)
    made.findings(2)
    made.world.until(lambda: made.reasons == [Reason.STRUCK])
    seller = made.seller.key.address
    assert made.session.purse.evidence.avoidance.out == {seller}
    reply = made.client.post(URL, json=chat_body(provider={"only": [f"0x{seller.hex()}"]}))
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "no-eligible-offer")
    assert made.client.post(URL, json=chat_body()).status_code == 200


def test_whom_the_next_auditor_clears_is_bought_from(world: World) -> None:
    """One auditor's word keeps nobody out where another one looked and says otherwise."""
    made = Market(world)
    asked: list[Auditor] = []
    for auditor in made.auditors:

        def verdict(
            dossier: Any, hashes: Any, auditor: Auditor = auditor, honest: Any = auditor.found
        ) -> Any:
            asked.append(auditor)
            said = Verdict.STRIKE if len(asked) == 1 else Verdict.CLEAR
            return replace(honest(dossier, hashes), verdict=int(said))

        auditor.found = verdict  # type: ignore[method-assign]
    made.buys()
    made.draws(0, 1, 4)
    found = made.findings(2)
    assert [one.verdict for one in found] == [Verdict.STRIKE, Verdict.CLEAR]
    # What was kept between the two is known for a second.
    world.until(lambda: made.session.purse.evidence.avoidance.out == frozenset())
    made.buys(1)


def test_an_alarm_neither_keeps_anybody_out_nor_clears(world: World) -> None:
    made = Struck(world, Verdict.ALARM, Verdict.ALARM)
    made.findings(1)
    time.sleep(0.1)
    assert made.reasons == []


def test_a_strike_is_forgiven_after_a_week(world: World) -> None:
    made = Struck(world, Verdict.STRIKE, Verdict.STRIKE)
    made.findings(2)
    made.session.close()
    clock = Clock()
    again = world.session(now=clock).purse.evidence.avoidance
    (avoided,) = again.all()
    assert avoided.until - avoided.since == 7 * 86_400_000
    clock.on_ms = 7 * 86_400_000 + 60_000
    assert again.all() == ()


def test_dates_are_looked_at_in_every_receipt(world: World, payer: Payer) -> None:
    """Those in the middle of a long answer too: one that is dated far ahead keeps the others from being
    drawn."""

    class DatesPartsAhead(FakeProvider):
        def told(self, receipt: Receipt) -> list[Signed[Receipt]]:
            ahead_ms = 60_000 if not receipt.finish else 0
            return [self.signed(replace(receipt, finished_at=Milliseconds(receipt.finished_at + ahead_ms)))]

    seller = world.provider(DatesPartsAhead, price=50_000_000)
    seller.interim_at = 200
    payer.buys(text="a b c d e f g h i j k l m n o p", stream=True)
    assert len(payer.session.purse.held_receipts()) > 1
    assert [one.provider for one in payer.avoided] == [seller.key.address]
