"""What a payer found of a provider's promises goes to another provider, signed and with a receipt."""

import itertools
from collections.abc import Callable
from typing import Any

import httpx2

from tallystick.protocol.gossip import Frame
from tallystick.protocol.hearsay import key_of
from tallystick.protocol.packed import pack
from tallystick.protocol.proving import proven
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.status import Rating
from tallystick.protocol.wire import signed_from_json
from tests.client.fake_chain import DOMAIN
from tests.client.promising import Adverts, Promising

URL = "https://market/v1/chat/completions"


def asked(world: Any, ask: Callable[..., Any], times: int, clock: list[int], *, more: int = 0) -> Any:
    """Two providers; all requests go to the first. Each takes `more` milliseconds of the payer's clock."""
    adverts = Adverts()
    rated = world.provider(Promising)
    adverts.steps_s[rated.key.address] = 0.001
    other = world.provider(Promising, price=1_000_000_000)
    with httpx2.Client(transport=world.transport(outlook=adverts, now=lambda: clock[0])) as client:
        for number in range(times):
            client.post(URL, json=ask(f"this is {number}"))
            world.until(lambda: rated.acknowledged == rated.issued > 0)
            clock[0] += more
    return rated, other


def test_a_rating_proves_itself(world: Any, ask: Callable[..., Any]) -> None:
    clock = [1_700_000_000_000]
    rated, other = asked(world, ask, 1, clock)
    world.until(lambda: other.ratings)
    assert rated.ratings == []
    (data,) = other.ratings
    signed, receipt = signed_from_json(Rating, data), signed_from_json(Receipt, data["evidence"])
    rating = signed.message
    assert (rating.payer, rating.provider, rating.count) == (world.wallet.address, rated.key.address, 1)
    frame = Frame(rating, pack(rating), signed.signature, receipt)
    proven(frame, key_of(rating), lambda provider: rated.key.address, DOMAIN)


def test_one_in_twelve_seconds_at_most(world: Any, ask: Callable[..., Any]) -> None:
    _, other = asked(world, ask, 6, [1_700_000_000_000], more=1_500)
    assert len(other.ratings) == 1


def test_only_what_is_news(world: Any, ask: Callable[..., Any]) -> None:
    """How many answers a rating is about when it goes out is the clerk's to choose."""
    _, other = asked(world, ask, 6, [1_700_000_000_000], more=12_001)
    said = [(int(data["rating"]["sequence"]), int(data["rating"]["count"])) for data in other.ratings]
    assert 1 <= len(said) <= 4, "of one, two, four, and half a minute later"
    for (earlier, fewer), (later, more) in itertools.pairwise(said):
        assert later - earlier >= 12_000
        assert more >= 2 * fewer or later - earlier >= 30_000
