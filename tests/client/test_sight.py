"""What a payer sees of providers: as much as was signed, from gateways that may lie."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import orjson
import pytest

from tallystick.client.listing import Listing
from tallystick.client.pools import Pools, TransportPair
from tallystick.client.sight import EVERY_S, SELDOM_S, Sight
from tallystick.ports import MarketTerms, PostedOffer
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.errors import MalformedMessage, WrongSigner
from tallystick.protocol.hearsay import Said, said_status, said_suspicion
from tallystick.protocol.served import AGAIN_MS
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.status import Suspicion
from tallystick.protocol.told import TOLD_LIMIT, said_to_json
from tallystick.protocol.units import Address, Atoms, Milliseconds
from tests.network.wired import DOMAIN, key_of, offer_of, said_by, said_rating, status_of_node

ONE, TWO, THREE, FOUR = (key_of(number) for number in (1, 2, 3, 4))
PAYER = key_of(50)


class Chain:
    """Where the payers in `paid` have channels."""

    def __init__(self) -> None:
        self.paid: set[Address] = set()
        self.asked = 0
        self.named: set[Address] = set()
        """Keys that FOUR named at some time, beside its own."""

    def channel(self, payer: Address, provider: Address, session_key: Address) -> Channel:
        self.asked += 1
        key = ChannelKey(payer=payer, provider=provider, session_key=session_key, epoch=0)
        return Channel(key=key, cap=Atoms(1000 if payer in self.paid and session_key == payer else 0))

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        return key == provider or (provider == FOUR.address and key in self.named)


class Offers:
    named: tuple[Address, ...] = ()
    """FOUR's receipt key, where it is not its own."""

    def terms(self) -> MarketTerms:
        return MarketTerms(minimum_stake=Atoms(1), unit=Atoms(1_000_000))

    def offers(self) -> list[PostedOffer]:
        return [*map(offer_of, (ONE, TWO, THREE)), offer_of(FOUR, named=self.named)]

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        return provider == key


class Scene:
    """A payer's sight, its clock, and what each gateway answers."""

    def __init__(self) -> None:
        self.answers: dict[Address, Callable[[], bytes]] = {}
        self.asked: list[Address] = []
        self.rated: list[bool] = []
        self.chain = Chain()
        self.offers = Offers()
        listing = Listing(self.offers, lambda: Milliseconds(0))
        listing.refresh()
        self.drawn = 0.0
        pools = Pools(
            lambda endpoint: TransportPair(
                lambda: httpx2.MockTransport(self._serve), lambda: httpx2.MockTransport(self._serve)
            )
        )
        self.sight = Sight(
            pools=pools,
            listing=listing,
            chain=self.chain,  # type: ignore[arg-type]  # what it does not ask is not there
            domain=DOMAIN,
            local=True,
            draw=lambda: self.drawn,
        )

    def _serve(self, request: httpx2.Request) -> httpx2.Response:
        provider = Address(bytes.fromhex(request.url.path.split("/")[1]))
        assert request.url.params["model"] == "m"
        self.asked.append(provider)
        self.rated.append("ratings" in request.url.params)
        answer = self.answers.get(provider)
        if answer is None:
            raise httpx2.ConnectError("nobody is there")
        return httpx2.Response(200, content=answer())

    def look(self) -> None:
        self.sight.look("m")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def told(*said: Said, known: int = 4, age_ms: int = 0) -> dict[str, Any]:
    kinds: dict[str, list[Any]] = {"statuses": [], "suspicions": [], "ratings": []}
    names = {"status": "statuses", "suspicion": "suspicions", "rating": "ratings"}
    for item in said:
        kinds[names[item.key[0]]].append({"ageMs": str(age_ms), "said": said_to_json(item)})
    return {"known": str(known), **kinds}


def suspicion(accuser: Key, provider: Key, sequence: int) -> Said:
    message = Suspicion(accuser=accuser.address, provider=provider.address, sequence=sequence)
    return said_suspicion(sign(message, DOMAIN, accuser))


def running(scene: Scene, key: Key) -> int | None:
    status = scene.sight.sighted.seen(offer_of(key)).status
    return None if status is None else status.running


def test_what_a_gateway_tells_is_seen(scene: Scene) -> None:
    scene.answers[ONE.address] = lambda: orjson.dumps(told(said_by(TWO, running=5), age_ms=700))
    scene.look()

    seen = scene.sight.sighted.seen(offer_of(TWO))
    assert running(scene, TWO) == 5
    assert 700 <= seen.age_ms < 5_000
    assert (seen.suspected, seen.ratio) == (False, 1.0)
    assert running(scene, THREE) is None


def test_the_newest_of_what_several_tell_holds(scene: Scene) -> None:
    for sequence in (2, 3, 1):
        scene.sight.hear(told(said_by(TWO, running=sequence, sequence=sequence)))

    assert running(scene, TWO) == 3


def test_a_forged_status_is_not_seen_and_its_teller_not_asked_again(scene: Scene) -> None:
    forged = said_by(TWO, running=0, sequence=9, signer=ONE)
    scene.answers[ONE.address] = lambda: orjson.dumps(told(said_by(THREE, running=3), forged))
    scene.answers[TWO.address] = lambda: orjson.dumps(told(said_by(TWO, running=5)))
    for _ in range(3):
        scene.look()

    assert (running(scene, TWO), running(scene, THREE)) == (5, 3)
    assert scene.asked.count(ONE.address) == 1


@pytest.mark.parametrize("first", [False, True], ids=["payer-is-behind", "gateways-are-behind"])
def test_a_key_that_was_replaced_blinds_nobody(scene: Scene, first: bool) -> None:
    """FOUR named another key a moment ago: what gateways pass on of it is another key's, and no forgery."""
    other = key_of(44)
    scene.chain.named.add(other.address)
    signed = said_by(FOUR, running=1, signer=other)
    if first:
        scene.offers.named = (other.address,)
        scene.sight._listing.refresh()
        signed = said_by(FOUR, running=1)
    for key in (ONE, TWO, THREE):
        scene.answers[key.address] = lambda: orjson.dumps(told(signed, said_by(ONE, running=5)))
    for _ in range(4):
        scene.look()

    assert running(scene, ONE) == 5
    assert running(scene, FOUR) is None
    assert scene.asked == [ONE.address] * 4  # It is not taken for a forger.


@pytest.mark.parametrize("anything", [b"", b"[]", b"{}", b'{"known": "4", "statuses": [7]}'])
def test_a_gateway_that_says_anything_is_not_asked_again(scene: Scene, anything: bytes) -> None:
    scene.answers[ONE.address] = lambda: anything
    for _ in range(3):
        scene.look()

    assert scene.asked.count(ONE.address) == 1


def test_too_much_is_not_read_but_logged_and_what_was_heard_holds(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.answers[ONE.address] = lambda: orjson.dumps(told(said_by(TWO, running=5)))
    scene.look()
    scene.answers[ONE.address] = lambda: b" " * (TOLD_LIMIT + 1)
    scene.look()

    assert running(scene, TWO) == 5
    assert "network.unheard" in caplog.text


def test_ratings_are_asked_for_at_every_tenth_look(scene: Scene) -> None:
    scene.answers[ONE.address] = lambda: orjson.dumps(told())
    for _ in range(21):
        scene.look()

    assert [place for place, rated in enumerate(scene.rated) if rated] == [0, 10, 20]


def test_it_looks_more_seldom_while_no_request_comes(scene: Scene) -> None:
    scene.sight.close()  # Its thread is not for here.
    scene.sight.seen(offer_of(TWO))
    pauses = [scene.sight.pause_s() for _ in range(4)]
    scene.sight.seen(offer_of(TWO))

    assert pauses == [EVERY_S, 2 * EVERY_S, SELDOM_S, SELDOM_S]
    assert scene.sight.pause_s() == EVERY_S


def test_one_accuser_is_not_believed_and_two_are(scene: Scene) -> None:
    scene.sight.hear(told(*(said_by(key) for key in (ONE, TWO, THREE))))
    scene.sight.hear(told(suspicion(ONE, THREE, 1)))
    assert not scene.sight.sighted.seen(offer_of(THREE)).suspected

    scene.sight.hear(told(suspicion(TWO, THREE, 1)))
    assert scene.sight.sighted.seen(offer_of(THREE)).suspected

    scene.sight.hear(told(said_by(THREE, sequence=2)))
    assert not scene.sight.sighted.seen(offer_of(THREE)).suspected


def test_who_accuses_itself_or_names_another_s_offer_says_nothing(scene: Scene) -> None:
    scene.sight.hear(told(*(said_by(key) for key in (ONE, TWO, THREE)), suspicion(ONE, ONE, 1)))
    assert scene.sight.hearsay.suspicions(ONE.address) == []

    stolen = replace(status_of_node(FOUR), offer_hash=offer_of(ONE).offer_hash)
    scene.sight.hear(told(said_status(sign(stolen, DOMAIN, FOUR), "m")))
    assert scene.sight.hearsay.sequence(FOUR.address) == -1


def test_a_gateway_that_calls_a_status_old_makes_nobody_silent(scene: Scene) -> None:
    scene.sight.hear(told(said_by(TWO), age_ms=10**9))

    seen = scene.sight.sighted.seen(offer_of(TWO))
    assert not seen.suspected
    assert seen.age_ms < 10_000


def test_one_gateway_s_word_on_how_many_there_are_changes_nothing(scene: Scene) -> None:
    for known in (4, 4, 4_000_000, 4, 4):
        scene.sight.hear(told(known=known))

    assert scene.sight.hearsay.interval_ms == 1_000


def test_a_rating_counts_where_its_channel_is_on_chain(scene: Scene) -> None:
    payers = [key_of(number) for number in (50, 51, 52)]
    scene.chain.paid.update(payer.address for payer in payers)
    scene.sight.hear(told(*(said_rating(payer, TWO) for payer in payers), said_rating(key_of(60), TWO)))

    assert len(scene.sight.hearsay.rated(TWO.address)) == 3
    assert scene.sight.sighted.seen(offer_of(TWO)).ratio > 1

    scene.sight.hear(told(said_rating(key_of(60), TWO)))
    assert scene.chain.asked == 4  # Nobody has it asked again and again.


def test_a_channel_that_is_mined_later_is_found(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer's rating may be here before its grant is in a block that this payer's node knows."""
    scene.sight.hear(told(said_rating(PAYER, TWO)))
    assert not scene.sight.hearsay.rated(TWO.address)

    scene.chain.paid.add(PAYER.address)
    later = time.monotonic_ns() + AGAIN_MS * 1_000_000
    monkeypatch.setattr(time, "monotonic_ns", lambda: later)
    scene.sight.hear(told(said_rating(PAYER, TWO)))
    assert len(scene.sight.hearsay.rated(TWO.address)) == 1


def test_a_rating_under_a_receipt_of_another_provider_is_forged(scene: Scene) -> None:
    said = said_rating(PAYER, TWO)
    assert said.receipt is not None
    other = sign(said.receipt.message, DOMAIN, THREE)
    said = replace(said, receipt=other)
    with pytest.raises(WrongSigner):
        scene.sight.hear(told(said))


def test_what_no_offer_stands_behind_is_passed_over(scene: Scene) -> None:
    scene.sight.hear(told(said_by(key_of(9)), said_by(TWO, running=2)))

    assert running(scene, TWO) == 2


def test_a_message_that_lacks_something_is_malformed(scene: Scene) -> None:
    data = told(said_by(TWO))
    del data["statuses"][0]["said"]["signature"]
    with pytest.raises(MalformedMessage):
        scene.sight.hear(data)


def test_the_dead_are_not_asked(scene: Scene) -> None:
    scene.sight.hear(told(*(said_by(key) for key in (ONE, TWO, THREE))))
    scene.sight.hear(told(suspicion(TWO, ONE, 1), suspicion(THREE, ONE, 1)))
    scene.look()

    assert scene.asked == [TWO.address]


def test_what_is_said_in_a_payer_s_name_does_not_silence_it(scene: Scene) -> None:
    """A provider can sign a receipt for a channel that nobody opened, and name any payer in it."""
    scene.chain.paid.add(PAYER.address)
    scene.sight.hear(told(said_rating(PAYER, TWO, session=key_of(99))))
    assert not scene.sight.hearsay.rated(TWO.address)

    scene.sight.hear(told(said_rating(PAYER, TWO, sequence=2)))
    assert len(scene.sight.hearsay.rated(TWO.address)) == 1
