"""What a provider says that one of the two has forgotten cannot make a payer wait, ask for ever, or take back
what nobody signed."""

import shutil
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tallystick.client import mending
from tallystick.client.avoidance import UNPAID
from tallystick.client.recovering import recover
from tallystick.client.transport import Transport
from tallystick.protocol.channel import Channel
from tallystick.protocol.errors import ChannelNotOpen
from tallystick.protocol.units import Atoms
from tallystick.protocol.wire import RESYNC_PATH
from tests.cheats.amnesiacs import (
    ClaimsToHaveForgotten,
    ClosesAtAnotherAmount,
    ClosesNothing,
    ClosesWithoutASignature,
    EndsEveryChannel,
    IsAlwaysAnEpochAhead,
    RemembersAnotherHistory,
    RepeatsAReceiptForEver,
    ShowsItInCrumbs,
    ShowsUnsignedReceipts,
)
from tests.cheats.gains import Gain, Gains
from tests.cheats.providers import Cheat
from tests.client.conftest import World, chat_body
from tests.client.serving import Handler
from tests.client.side import Refused

URL = "https://market/v1/chat/completions"


def post(transport: Transport) -> httpx2.Response:
    return transport.handle_request(httpx2.Request("POST", URL, json=chat_body()))


def put_back(market: World, cheat: Cheat) -> None:
    """The purse as it was before four requests to the cheat; it had made one."""
    purse, copy = Path(market.home) / "purse", Path(market.home) / "copy"
    transport = market.transport()
    assert post(transport).status_code == 200
    market.until(lambda: cheat.paid == cheat.issued)
    shutil.copytree(purse, copy)
    for _ in range(4):
        assert post(transport).status_code == 200
    transport.close()
    assert cheat.paid == cheat.issued
    shutil.rmtree(purse)
    copy.rename(purse)


@pytest.mark.parametrize(
    ("kind", "asked"), [(RepeatsAReceiptForEver, 3), (ShowsItInCrumbs, 1), (ShowsUnsignedReceipts, 1)]
)
def test_a_payer_that_forgot_believes_only_what_adds_up(
    market: World, gains: Gains, kind: type[Cheat], asked: int
) -> None:
    cheat = market.provider(kind)
    put_back(market, cheat)
    honest = market.provider(price=2_000_000)
    (side,) = cheat.sides.values()
    transport = market.transport()
    assert post(transport).status_code == 200
    transport.close()
    assert 1 <= cheat.seen[RESYNC_PATH] <= asked
    assert len(side.receipts) == 5, "the channel got another request"
    purse = market.session().purse
    assert len(purse.held_receipts()) == 2, "something was taken back"
    assert purse.evidence.refused() == []
    gains.require(Gain(kind, 0, cheat.gain()))
    assert honest.paid == honest.issued


def test_a_lost_purse_takes_back_nothing_that_nobody_signed(market: World, gains: Gains) -> None:
    cheat = market.provider(ShowsUnsignedReceipts)
    transport = market.transport()
    post(transport)
    transport.close()
    (side,) = cheat.sides.values()
    shutil.rmtree(Path(market.home) / "purse")
    place = side.key.payer, side.key.provider, side.key.session_key
    market.chain.channels[place] = Channel(key=side.key, cap=Atoms(side.cap))
    session = market.session(opened=lambda: [side.key])
    (recovered,) = recover(session)
    assert (recovered.state, recovered.paid) == ("retired", 0)
    assert session.purse.held_receipts() == []
    gains.require(Gain(ShowsUnsignedReceipts, 0, cheat.gain()))


@pytest.mark.parametrize(
    ("kind", "first", "later"),
    [
        (ClaimsToHaveForgotten, 3, 1),
        (ClosesWithoutASignature, 0, 0),
        (ClosesNothing, 0, 0),
        (ClosesAtAnotherAmount, 0, 0),
    ],
)
def test_a_payer_waits_once_for_an_end_that_the_provider_signed_and_never_for_another(
    market: World, gains: Gains, monkeypatch: pytest.MonkeyPatch, kind: type[Cheat], first: int, later: int
) -> None:
    monkeypatch.setattr(mending, "_LOOKS", 3)
    monkeypatch.setattr(mending, "_LOOK_S", 0.01)
    cheat = market.provider(kind)
    honest = market.provider(price=2_000_000)
    transport = market.transport()
    looks = count_looks(transport)
    assert post(transport).status_code == 200
    assert looks == [None] * first
    looks.clear()
    assert post(transport).status_code == 200
    assert looks == [None] * later
    assert len(cheat.sides) == 1, "a second channel, with a second grant"
    transport.close()
    gains.require(Gain(kind, 0, cheat.gain()))
    assert honest.paid == honest.issued > 0


@pytest.mark.parametrize("kind", [EndsEveryChannel, IsAlwaysAnEpochAhead, RemembersAnotherHistory])
def test_a_provider_that_ends_one_channel_after_another_gets_three_grants(
    market: World, gains: Gains, kind: type[Cheat]
) -> None:
    """And no more from another process of the wallet."""
    cheat = market.provider(kind)
    honest = market.provider(price=2_000_000)
    for _ in range(2):
        transport = market.transport()
        for _ in range(3):
            assert post(transport).status_code == 200
        transport.close()
    assert len(cheat.sides) == UNPAID
    assert honest.worked == 6
    gains.require(Gain(kind, 0, cheat.gain()))
    assert honest.paid == honest.issued > 0


class Forgetful(Cheat):
    """Ends its channel now and then, and is paid in between."""

    ends = 0

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        if self.ends:
            self.ends -= 1
            raise Refused(409, ChannelNotOpen("It is over."))
        return False


def test_a_provider_that_is_paid_in_between_is_not_avoided(market: World) -> None:
    provider = market.provider(Forgetful)
    transport = market.transport()
    for _ in range(2 * UNPAID):
        provider.ends = UNPAID - 1
        assert post(transport).status_code == 200
        market.until(lambda: provider.paid == provider.issued)
    transport.close()
    assert len(provider.sides) > UNPAID
    assert provider.paid == provider.issued


def count_looks(transport: Transport) -> list[None]:
    """At the chain, for the end of an epoch."""
    sender, looks = transport.session.payer.sender, []
    on_chain = sender.on_chain

    def looked(channel: Any) -> Any:
        looks.append(None)
        return on_chain(channel)

    sender.on_chain = looked  # type: ignore[method-assign]
    return looks
