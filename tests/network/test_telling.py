"""What a node tells payers: what matters most of it, in a body that every payer reads."""

import time
from collections.abc import Iterable
from dataclasses import replace

import orjson
import pytest

from tallystick.protocol.hearsay import RATINGS, Hearsay, Said, key_of
from tallystick.protocol.packed import pack
from tallystick.protocol.signed import Verified
from tallystick.protocol.status import Rating
from tallystick.protocol.told import TOLD_LIMIT
from tallystick.protocol.units import to_hex
from tallystick_node.network.roster import PROVIDERS as MOST
from tallystick_node.network.roster import Peer, Roster
from tallystick_node.network.telling import Telling
from tallystick_node.sim.gossip import offer_hash, provider, roster, status_said
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


def seconds(telling: Telling, models: Iterable[str]) -> float:
    """Of the quickest of these questions: others may have the machine in between."""
    times: list[float] = []
    for model in models:
        began = time.perf_counter()
        telling.answer(model)
        times.append(time.perf_counter() - began)
    return min(times)


def test_names_of_nothing_cost_nothing_however_many_sell() -> None:
    everybody = roster(MOST)
    hearsay = Hearsay()
    for number in range(1, MOST + 1, 16):
        hearsay.take(status_said(number, 1), 0)
    telling = Telling(hearsay, lambda: everybody, lambda: 0)

    asked = seconds(telling, (f"unknown {number}" for number in range(50)))
    assert asked < seconds(telling, ["m"]) / 20, "that is what everybody sells"


def test_a_model_s_statuses_are_those_of_who_sells_it() -> None:
    hearsay, sold = Hearsay(), {1: "m", 2: "other", 3: "m"}
    for number, model in sold.items():
        hearsay.take(replace(status_said(number, 1), key=("status", provider(number), model.encode())), 0)
    peers = {
        provider(number): Peer(provider(number), "", provider(number), {offer_hash(number): model})
        for number, model in sold.items()
    }
    telling = Telling(hearsay, lambda: Roster(peers, tuple(peers)), lambda: 0)

    def told(model: str | None) -> set[str]:
        statuses = orjson.loads(telling.answer(model))["statuses"]
        return {item["said"]["status"]["provider"] for item in statuses}

    assert told("m") == {to_hex(provider(number)) for number in (1, 3)}
    assert told("other") == {to_hex(provider(2))}
    assert told(None) == {to_hex(provider(number)) for number in sold}
    assert told("nothing") == set()
