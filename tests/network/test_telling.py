"""What a node tells payers: what matters most of it, in a body that every payer reads."""

import orjson
import pytest

from tallystick.protocol.hearsay import RATINGS, Hearsay, Said, key_of
from tallystick.protocol.packed import pack
from tallystick.protocol.signed import Verified
from tallystick.protocol.status import Rating
from tallystick.protocol.told import TOLD_LIMIT
from tallystick_node.local.bench.gossip_sim import provider, roster, status_said
from tallystick_node.network.telling import Telling
from tests.network.wired import key_of as signer
from tests.network.wired import said_rating

PROVIDERS = 100


@pytest.fixture(scope="module")
def telling() -> Telling:
    """Of a hundred providers, each of which sixteen payers rate."""
    hearsay, everybody = Hearsay(), roster(PROVIDERS)
    form = said_rating(signer(1), signer(2))
    for number in range(1, PROVIDERS + 1):
        hearsay.take(status_said(number, 1), 0)
        for payer in range(RATINGS):
            hearsay.take(rating(form, number, payer), payer)
    return Telling(hearsay, lambda: everybody, lambda: RATINGS)


def rating(form: Said, number: int, payer: int) -> Said:
    message = Rating(
        payer=provider(1_000 + payer),
        provider=provider(number),
        session_key=provider(1_000 + payer),
        epoch=0,
        sequence=1,
        ratio=1_000_000,
        count=20,
        receipt_hash=bytes(32),  # type: ignore[arg-type]
    )
    proof = Verified(message, bytes(65), message.session_key)
    return Said(key_of(message), 1, proof, pack(message), form.receipt)


def test_ratings_are_told_where_they_are_asked_for(telling: Telling) -> None:
    told = orjson.loads(telling.answer("m"))

    assert (len(told["statuses"]), told["ratings"]) == (PROVIDERS, [])


def test_what_is_told_fits_and_the_newest_of_each_come_first(telling: Telling) -> None:
    text = telling.answer("m", ratings=True)
    told = orjson.loads(text)

    assert TOLD_LIMIT - 4_096 < len(text) <= TOLD_LIMIT
    assert len(told["statuses"]) == PROVIDERS
    about = [item["said"]["rating"]["provider"] for item in told["ratings"]]
    assert len(set(about[:PROVIDERS])) == PROVIDERS
    ages = [int(item["ageMs"]) for item in told["ratings"]]
    assert ages == sorted(ages)
