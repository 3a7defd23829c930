"""A payer that has forgotten: an older copy of its purse, or no purse at all."""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tallystick.client.client import Client
from tallystick.client.recovering import recover
from tallystick.client.sealing import Seal
from tallystick.client.transport import Transport
from tallystick.protocol.channel import Channel
from tallystick.protocol.errors import ChannelUnknown, CreditExceeded, MarketError, WrongEpoch
from tallystick.protocol.receipt import Finish
from tallystick.protocol.signed import Key, Signed
from tallystick.protocol.transcript import Transcript
from tallystick.protocol.units import Atoms
from tallystick.protocol.voucher import Voucher, request_hash
from tallystick.protocol.wire import Credential
from tests.client.conftest import DOMAIN
from tests.client.provider import FakeProvider
from tests.client.serving import Handler
from tests.client.side import Record, Refused, Side

URL = "https://market/v1/chat/completions"


def buy(world: Any, ask: Callable[..., Any], count: int) -> Any:
    """A process that buys and ends; its transport, closed."""
    transport = world.transport()
    with httpx2.Client(transport=transport) as client:
        for _ in range(count):
            assert client.post(URL, json=ask("one two three")).status_code == 200
    return transport


def purse(world: Any) -> Path:
    return Path(world.home) / "purse"


def keep_copy(world: Any) -> Callable[[], None]:
    copy = Path(world.home) / "copy"
    shutil.copytree(purse(world), copy)

    def put_back() -> None:
        shutil.rmtree(purse(world))
        copy.rename(purse(world))

    return put_back


def spending(world: Any) -> tuple[int, int]:
    session = world.session()
    spent, reserved = session.purse.spending()
    session.close()
    return int(spent), int(reserved)


def test_an_older_copy_is_noticed_before_anything_is_asked_for(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    buy(world, ask, 2)
    put_back = keep_copy(world)
    buy(world, ask, 3)
    put_back()
    buy(world, ask, 2)
    assert len(provider.sides) == 1
    assert (provider.worked, provider.seen["acknowledgement-mismatch"]) == (7, 0)
    assert provider.issued == provider.paid
    assert spending(world) == (provider.paid, 0)


def test_receipts_of_forgotten_requests_are_neither_paid_nor_held_against_anybody(
    world: Any, ask: Callable[..., Any]
) -> None:
    provider = world.provider()
    buy(world, ask, 2)
    put_back = keep_copy(world)
    (side,) = provider.sides.values()
    acknowledged, voucher = side.acknowledged, side.voucher
    buy(world, ask, 1)
    side.acknowledged, side.voucher = acknowledged, voucher  # The last voucher never came.
    put_back()
    transport = buy(world, ask, 2)
    assert len(provider.sides) == 2
    assert side.voucher is voucher
    session = world.session()
    assert session.purse.evidence.refused() == []
    assert session.purse.evidence.avoidance.out == frozenset()
    session.close()
    assert spending(world) == (provider.paid, 0)
    assert transport is not None


class NotNow(FakeProvider):
    """Honest, and does not say at first what it holds of a channel."""

    refusals: list[tuple[int, MarketError]]

    def resynced(self, side: Side, start: int) -> dict[str, Any]:
        if self.refusals:
            raise Refused(*self.refusals[0])
        return super().resynced(side, start)


class ForgetsGrants(FakeProvider):
    """They were not mined before they expired: all that was drawn on them is over the cap now."""

    def acknowledge(self, side: Side, signed: Signed[Voucher], *, bare: bool) -> None:
        if bare and self.seen["voucher-exceeds-cap"] == 0:
            side.cap = 0
        super().acknowledge(side, signed, bare=bare)


def test_a_voucher_over_a_forgotten_grant_is_sent_with_it(world: Any, ask: Callable[..., Any]) -> None:
    """Though nothing is bought any more."""
    provider = world.provider(ForgetsGrants)
    buy(world, ask, 1)
    assert provider.seen["voucher-exceeds-cap"] == 1
    session = world.session()
    session.purse.adopt_unsettled()
    session.close()
    assert provider.paid == provider.issued
    session = world.session()
    assert session.purse.adopt_unsettled() == []
    session.close()


class Ended(FakeProvider):
    """Its channels were closed on chain, by whomever, before the last voucher came."""

    def credential(self, header: str, body: bytes, *, bare: bool = False) -> tuple[Side, Voucher, Credential]:
        if bare:
            raise WrongEpoch("This epoch of the channel was closed.")
        return super().credential(header, body, bare=bare)


def test_what_can_never_be_acknowledged_is_not_tried_for_ever(world: Any, ask: Callable[..., Any]) -> None:
    """Once the chain says so too: the provider's word alone ends nothing that it may be owed on."""
    provider = world.provider(Ended)
    buy(world, ask, 1)
    (side,) = provider.sides.values()
    for over in (False, True):
        if over:
            place = side.key.payer, side.key.provider, side.key.session_key
            world.chain.channels[place] = Channel(key=replace(side.key, epoch=1))
        session = world.session()
        assert [channel.id for channel in session.purse.adopt_unsettled()] == [side.key.id]
        session.close()
    session = world.session()
    assert session.purse.adopt_unsettled() == []
    session.close()
    assert provider.seen["wrong-epoch"]


@pytest.mark.parametrize(
    "refusal",
    [
        (429, CreditExceeded("Too many.")),
        (503, MarketError("It is about to stop.")),
        (404, ChannelUnknown("It has not looked at the chain yet.")),
    ],
)
def test_a_provider_that_does_not_say_now_what_it_holds_is_asked_again_later(
    world: Any, ask: Callable[..., Any], refusal: tuple[int, MarketError]
) -> None:
    """The purse is an older copy. Until it is compared with the provider's half others serve, and nobody is
    accused of what the purse has forgotten."""
    provider = world.provider(NotNow)
    provider.refusals = []
    buy(world, ask, 2)
    put_back = keep_copy(world)
    (side,) = provider.sides.values()
    place = side.key.payer, side.key.provider, side.key.session_key
    world.chain.channels[place] = Channel(key=side.key, cap=Atoms(side.cap))
    acknowledged, voucher = side.acknowledged, side.voucher
    buy(world, ask, 1)
    side.acknowledged, side.voucher = acknowledged, voucher  # The last voucher never came.
    put_back()
    provider.refusals = [refusal]
    clock = [time.time_ns() // 1_000_000]
    transport = world.transport(now=lambda: clock[0])
    with httpx2.Client(transport=transport) as client:
        alone = client.post(URL, json=ask("one two three"))
        assert (alone.status_code, alone.json()["error"]["code"]) == (503, "provider-unreachable")
        dear = world.provider(price=2_000_000)
        transport.session.payer.listing.refresh()
        assert client.post(URL, json=ask("one two three")).status_code == 200
        assert (dear.worked, provider.worked) == (1, 3)
        provider.refusals = []
        clock[0] += 60_000  # Whoever failed is asked last for a while.
        assert client.post(URL, json=ask("one two three")).status_code == 200
    assert provider.worked == 4
    assert len(provider.sides) == 2
    session = world.session()
    assert session.purse.evidence.refused() == []
    session.close()


def test_a_channel_that_neither_chain_nor_provider_knows_is_used(world: Any, ask: Callable[..., Any]) -> None:
    """Its process ended before the grant reached anybody."""
    provider = world.provider()
    session = world.session()
    channel = session.purse.open_channel(provider.key.address)
    session.close()
    buy(world, ask, 1)
    assert list(provider.sides) == [channel.id]


class ServesNobody(FakeProvider):
    """Refuses a request, and works on it later all the same, when its own proxy repeats it."""

    refused: tuple[Side, bytes] | None = None
    refuses = False

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        if not self.refuses:
            return False
        (side,) = self.sides.values()
        self.refused = side, raw
        handler.send(502, b'{"error": {"message": "no", "type": "server_error", "code": 502}}', {})
        return True

    def work_all_the_same(self) -> None:
        assert self.refused is not None
        side, raw = self.refused
        asked = request_hash(self.offer_hash, raw)
        transcript = Transcript(asked)
        transcript.output_tokens = 3  # type: ignore[assignment]  # whatever it said
        with self.lock:
            self.issue(side, transcript, Record(asked, False, 1), [0, 0], Finish.STOP)


def test_work_on_a_request_that_was_refused_is_neither_paid_nor_held_against_its_provider(
    world: Any, ask: Callable[..., Any]
) -> None:
    provider = world.provider(ServesNobody)
    transport = world.transport()
    with httpx2.Client(transport=transport) as client:
        assert client.post(URL, json=ask("one")).status_code == 200
        world.until(lambda: provider.paid == provider.issued)
        paid = provider.paid
        provider.refuses = True
        assert client.post(URL, json=ask("two")).status_code == 502
        provider.refuses = False
        provider.work_all_the_same()
        assert client.post(URL, json=ask("three")).status_code == 200
        (channel,) = transport.session.purse.leased.values()
        world.until(lambda: not channel.usable)
        assert (channel.state, provider.paid) == ("retired", paid)
        assert client.post(URL, json=ask("four")).status_code == 200
    assert len(provider.sides) == 2
    assert provider.paid > paid
    session = world.session()
    assert session.purse.evidence.refused() == []
    assert session.purse.evidence.avoidance.out == frozenset()
    session.close()


def test_an_answer_that_is_no_longer_kept_holds_nothing_of_the_budget(
    world: Any, ask: Callable[..., Any]
) -> None:
    """A copy of the purse was made while a request ran; it was answered and acknowledged since."""
    provider = world.provider()
    buy(world, ask, 1)
    provider.hold.clear()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(buy, world, ask, 1)
        world.until(lambda: provider.worked == 2)
        put_back = keep_copy(world)
        provider.hold.set()
        running.result()
    provider.mishap = "forgets-answers"
    put_back()
    buy(world, ask, 1)
    assert provider.seen["answer-dropped"]
    assert spending(world) == (provider.paid, 0)
    assert provider.issued == provider.paid


def test_a_lost_purse_comes_back_from_the_wallet_the_chain_and_the_provider(
    world: Any, ask: Callable[..., Any]
) -> None:
    provider = world.provider()
    buy(world, ask, 3)
    before = spending(world)
    (side,) = provider.sides.values()
    shutil.rmtree(purse(world))
    place = side.key.payer, side.key.provider, side.key.session_key
    world.chain.channels[place] = Channel(key=side.key, cap=Atoms(side.cap))
    foreign = replace(side.key, session_key=Key.generate().address)
    session = world.session(opened=lambda: [side.key])
    (recovered,) = recover(session)
    assert (recovered.key, recovered.paid, recovered.state) == (side.key, provider.paid, "open")
    assert session.purse.spending() == before
    assert recover(session) == []
    assert session.purse.take_back([replace(foreign, payer=foreign.provider)]) == []
    with httpx2.Client(transport=Transport(session)) as client:
        assert client.post(URL, json=ask("again")).status_code == 200
    assert len(provider.sides) == 1
    assert provider.issued == provider.paid


def test_session_keys_follow_from_the_wallet_alone() -> None:
    wallet = Key.generate()
    keys = [Seal(wallet, DOMAIN).session_key(slot) for slot in (0, 1, 70_000)]
    again = Seal(wallet, DOMAIN)
    assert [again.session_key(slot).address for slot in (0, 1, 70_000)] == [key.address for key in keys]
    assert len({key.address for key in keys}) == 3
    assert Seal(Key.generate(), DOMAIN).session_key(0).address != keys[0].address


def test_a_channel_on_which_requests_run_is_closed_once_they_have_ended(
    world: Any, ask: Callable[..., Any]
) -> None:
    provider = world.provider(mishap="slow-close")
    with Client.of(world.session()) as client:
        client.chat("echo", "one two three", max_tokens=8)
        (closed,) = client.close_channels()
    assert closed.close is not None
    assert closed.close.message.cumulative_amount == provider.paid
    assert provider.seen["close"] == 3
