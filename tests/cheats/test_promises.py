"""What a provider gains by lying about its time: the next requests go elsewhere. Nobody waits for it."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tallystick.client import quotes
from tallystick.client.outcome import Outcome
from tallystick.client.rules import fastest
from tallystick.protocol.expect import Expected, Redeemed
from tests.cheats.promisers import (
    BouncesForEver,
    ForgesItsQuotes,
    HoldsProbesOpen,
    NeverKeepsRoom,
    PromisesNothing,
    QuotesLongAfterAShortAdvert,
    QuotesNothingAndTakesLong,
    QuotesQuickWithoutRoom,
    ReplaysItsQuotes,
    TakesAndSaysNothing,
    TricklesItsQuotes,
)
from tests.client.conftest import World, chat_body
from tests.client.promising import SLOW, Adverts, Promising

URL = "https://market/v1/chat/completions"


def name(kind: type[Promising]) -> str:
    return kind.__name__


class Shop:
    """A market where providers advertise their pace, and one payer."""

    def __init__(self, world: World):
        self.world = world
        self.adverts = Adverts()
        self.outcomes: list[Outcome] = []

    def add(self, kind: type[Promising], *, step: float, **options: Any) -> Promising:
        provider = self.world.provider(kind, **options)
        self.adverts.steps_s[provider.key.address] = step
        return provider

    def ask(self, times: int, **options: Any) -> float:
        """Seconds of the slowest."""
        slowest = 0.0
        transport = self.world.transport(outlook=self.adverts, on_outcome=self.outcomes.append, **options)
        with httpx2.Client(transport=transport) as client:
            for number in range(times):
                began = time.monotonic()
                assert client.post(URL, json=chat_body(f"this is {number}")).status_code == 200
                slowest = max(slowest, time.monotonic() - began)
        return slowest


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    world = World(tmp_path)
    yield Shop(world)
    world.close()


@pytest.mark.parametrize("kind", [BouncesForEver, NeverKeepsRoom], ids=name)
def test_who_bounces_for_ever_gets_nothing(shop: Shop, kind: type[Promising]) -> None:
    cheats = [shop.add(kind, step=0.0001) for _ in range(2)]
    honest = shop.add(Promising, step=0.01)
    assert shop.ask(3) < 15
    assert honest.worked == 3
    assert all(cheat.issued == 0 for cheat in cheats)


def test_who_bounces_without_a_reason_is_asked_once(shop: Shop) -> None:
    cheat = shop.add(BouncesForEver, step=0.001)
    with pytest.raises(AssertionError):
        shop.ask(1)
    assert cheat.seen["bounced"] == 1


def test_who_never_keeps_room_cannot_keep_a_request_running(shop: Shop) -> None:
    """Where it is alone, it is asked without an expectation in the end, and has no reason left."""
    cheat = shop.add(NeverKeepsRoom, step=0.001)
    assert shop.ask(1) < 15
    kinds = [type(said) for said in cheat.expected]
    assert kinds == [Expected, Redeemed, type(None)]
    assert cheat.worked == 1


SLOW_ONES = [
    QuotesNothingAndTakesLong,
    QuotesLongAfterAShortAdvert,
    QuotesQuickWithoutRoom,
    PromisesNothing,
]


@pytest.mark.parametrize("kind", SLOW_ONES, ids=name)
def test_who_takes_longer_than_it_said_loses_its_place(shop: Shop, kind: type[Promising]) -> None:
    cheat = shop.add(kind, step=0.0005)
    honest = shop.add(Promising, step=0.0008)
    shop.ask(8, rule=fastest)
    assert 1 <= cheat.worked <= 3
    assert honest.worked == 8 - cheat.worked


async def test_who_takes_requests_and_says_nothing_loses_its_place(shop: Shop) -> None:
    """Its callers go before there is any answer that could be compared with its quote."""
    cheat = shop.add(TakesAndSaysNothing, step=0.0005)
    honest = shop.add(Promising, step=0.0008)
    transport = shop.world.transport(outlook=shop.adverts, rule=fastest)
    async with httpx2.AsyncClient(transport=transport) as client:
        for number in range(4):
            taken = cheat.taken
            asked = asyncio.ensure_future(client.post(URL, json=chat_body(f"this is {number}", stream=True)))
            await asyncio.to_thread(
                shop.world.until, lambda asked=asked, taken=taken: asked.done() or cheat.taken > taken
            )
            if not asked.done():  # The caller's patience.
                await asyncio.wait({asked}, timeout=0.8)
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
    assert 1 <= cheat.taken <= 2
    assert honest.worked == 4 - cheat.taken


@pytest.mark.parametrize("kind", [HoldsProbesOpen, TricklesItsQuotes], ids=name)
def test_nobody_waits_for_who_holds_a_probe_open(
    shop: Shop, kind: type[Promising], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotes, "ASKING_S", 2.0)
    cheats = [shop.add(kind, step=0.0001) for _ in range(2)]
    honest = shop.add(Promising, step=0.01, pace=SLOW)
    assert shop.ask(1) < 15
    assert sum(cheat.seen["asked"] for cheat in cheats) == 2
    assert honest.worked == 1


@pytest.mark.parametrize("kind", [ReplaysItsQuotes, ForgesItsQuotes], ids=name)
def test_a_quote_for_something_else_is_none(shop: Shop, kind: type[Promising]) -> None:
    cheat = shop.add(kind, step=0.01)
    shop.ask(3)
    believed = [outcome.quote for outcome in shop.outcomes]
    assert believed[1:] == [None, None]
    assert (believed[0] is None) == (kind is ForgesItsQuotes)
    assert cheat.worked == 3


def test_a_forged_bounce_is_no_quote(shop: Shop) -> None:
    """It bounces, and its word that it is quick is nobody's."""
    cheat = shop.add(type("Both", (ForgesItsQuotes, BouncesForEver), {}), step=0.0001)
    honest = shop.add(Promising, step=0.01)
    shop.ask(1)
    assert (cheat.worked, cheat.seen["bounced"], honest.worked) == (0, 1, 1)
