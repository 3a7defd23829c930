"""What a payer sees of providers beside the chain: what they say of themselves and of one another, and what
other payers say of them. Gateways pass it on; the signatures are believed, and no gateway."""

import logging
import random
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from statistics import median_low
from threading import Event, Lock, Thread
from typing import Final

import httpx2
import orjson

from tallystick.chain.errors import ChainError
from tallystick.client.flow import BRIEFLY, Endpoint
from tallystick.client.listing import Listing
from tallystick.client.pools import Pools
from tallystick.ports import UNSEEN, ChainReader, PostedOffer, Seen
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import MalformedMessage, MarketError, WrongSigner
from tallystick.protocol.gossip import Frame
from tallystick.protocol.hearsay import QUIET, Hearsay
from tallystick.protocol.proving import is_served, known_key, named_by, proven
from tallystick.protocol.rating import agreed
from tallystick.protocol.served import Served, place_of
from tallystick.protocol.status import Rating, Status
from tallystick.protocol.told import TOLD_LIMIT, read_told
from tallystick.protocol.units import Address, Hash32
from tallystick.protocol.wire import NETWORK_PATH
from tallystick.reach import reachable_safely

_LOG = logging.getLogger("tallystick.sight")

EVERY_S: Final = 1.0
"""Between two questions, each to another gateway, while requests are made."""
SELDOM_S: Final = 4.0
"""Between them at most: each time that no request came since the last one, it is twice as long."""
IDLE_S: Final = 20.0
"""Without a request, after which nobody is asked any more."""
RATED: Final = 10
"""Looks of which one asks for ratings as well: they change seldom, and are most of what is told."""
MODELS: Final = 8
"""That are looked at: those asked for last."""
_TOLD: Final = 5
"""Answers of which the middle one is believed on how many statuses there are."""
_AVOIDED_S: Final = 60.0
"""For which a gateway that told something forged is not asked."""
_CHECKED: Final = 8
"""Channels of raters, and keys that were replaced, that are looked up on chain in one round."""


class Unsighted:
    """Knows nothing of anybody."""

    def seen(self, posted: PostedOffer) -> Seen:
        return UNSEEN


class Sighted:
    """What hearsay says of an offer: a node's own, or a payer's."""

    def __init__(self, hearsay: Hearsay, now: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000):
        self._hearsay = hearsay
        self._now = now

    def seen(self, posted: PostedOffer) -> Seen:
        hearsay, now, provider = self._hearsay, self._now(), posted.offer.provider
        heard = hearsay.status(provider, posted.offer.model, posted.offer_hash)
        status = None if heard is None else heard.said.proof.message
        ratings = [heard.said.proof.message for heard in hearsay.rated(provider)]
        return Seen(
            status=status if isinstance(status, Status) else None,
            age_ms=0 if heard is None else now - heard.at,
            suspected=hearsay.suspected_at(provider, now) is not None,
            ratio=agreed(rating for rating in ratings if isinstance(rating, Rating)),
        )


class Sight:
    """Asks gateways in turn, in a thread of its own, while requests are made. No request waits for it."""

    def __init__(
        self,
        *,
        pools: Pools,
        listing: Listing,
        chain: ChainReader,
        domain: Domain,
        local: bool,
        draw: Callable[[], float] = random.random,
    ):
        """`local`: as of `reachable_safely`."""
        self._pools = pools
        self._listing = listing
        self._chain = chain
        self._domain = domain
        self._local = local
        self._draw = draw
        self.hearsay = Hearsay()
        self.sighted = Sighted(self.hearsay, self._now)
        self._lock = Lock()
        self._models: dict[str, None] = {}
        self._asked_at = 0
        self._asked = True
        """Since the last look."""
        self._pause_s = EVERY_S
        self._woken = Event()
        self._looks = 0
        self._told: deque[int] = deque(maxlen=_TOLD)
        self._avoided: dict[Address, int] = {}
        self._served = Served()
        """What is said in a payer's name must not make its own word unheard."""
        self._former: set[tuple[Address, Address]] = set()
        """Providers, and keys that each named, and that are not its key as the chain was last read."""
        self._thread: Thread | None = None
        self._over = Event()

    @staticmethod
    def _now() -> int:
        return time.monotonic_ns() // 1_000_000

    def seen(self, posted: PostedOffer) -> Seen:
        with self._lock:
            self._asked_at, self._asked = self._now(), True
            if self._pause_s > EVERY_S:
                self._woken.set()
            if posted.offer.model not in self._models:
                self._models[posted.offer.model] = None
                if len(self._models) > MODELS:
                    del self._models[next(iter(self._models))]
            if self._thread is None and not self._over.is_set():
                self._thread = Thread(
                    target=_look,
                    args=(weakref.ref(self), self._over, self._woken),
                    name="tallystick-sight",
                    daemon=True,
                )
                self._thread.start()
            return self.sighted.seen(posted)

    def close(self) -> None:
        self._over.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(1.0)

    @property
    def models(self) -> list[str]:
        """That requests were for."""
        with self._lock:
            return list(self._models)

    @property
    def is_idle(self) -> bool:
        """Whether nobody has looked for a while; then the thread ends, and the next look starts another."""
        with self._lock:
            idle = self._now() - self._asked_at > IDLE_S * 1_000
            if idle:
                self._thread = None
            return idle

    def pause_s(self) -> float:
        """How long to wait after the look that comes now, unless a request comes."""
        with self._lock:
            self._pause_s = EVERY_S if self._asked else min(2 * self._pause_s, SELDOM_S)
            self._asked = False
            self._woken.clear()
            return self._pause_s

    def look(self, *models: str) -> None:
        """Asks one gateway for each; slow. Where one tells nothing, or too much, what was heard before
        holds."""
        rated = {"ratings": "1"} if self._looks % RATED == 0 else {}
        self._looks += 1
        for model in models:
            params = {"model": model} | rated
            peer = self._peer()
            if peer is None:
                return
            try:
                self.hear(self._ask(peer.offer.endpoint, peer.offer.endpoint_key, params))
            except (MarketError, ValueError) as error:
                _LOG.warning("network.unheard provider=0x%s error=%s", peer.offer.provider.hex(), error)
                self._avoided[peer.offer.provider] = self._now() + int(_AVOIDED_S * 1_000)
            except httpx2.TransportError as error:
                _LOG.info("network.unasked error=%s", type(error).__name__)

    def _peer(self) -> PostedOffer | None:
        """One at random of all that offer something, whatever it is."""
        now = self._now()
        by_provider = {
            posted.offer.provider: posted
            for posted in self._listing.known
            if self._avoided.get(posted.offer.provider, 0) <= now
            and reachable_safely(posted.offer, local=self._local)
        }
        there = [posted for posted in by_provider.values() if not self.sighted.seen(posted).suspected]
        among = there or list(by_provider.values())
        return among[int(self._draw() * len(among))] if among else None

    def _ask(self, endpoint: str, key: Hash32, params: dict[str, str]) -> object:
        """Raises httpx2.TransportError, MalformedMessage where it is too long, or ValueError where it is no
        JSON."""
        url = httpx2.URL(endpoint.rstrip("/") + NETWORK_PATH, params=params)
        transport = self._pools.of(Endpoint(endpoint, key)).blocking
        request = httpx2.Request("GET", url, extensions={"timeout": BRIEFLY})
        response = transport.handle_request(request)
        until = self._now() + 1_000 * sum(BRIEFLY.values())
        try:
            data = bytearray()
            assert isinstance(response.stream, httpx2.SyncByteStream)
            for piece in response.stream:
                data += piece
                if len(data) > TOLD_LIMIT:
                    raise MalformedMessage("It tells too much.", required=TOLD_LIMIT, actual=len(data))
                if self._now() > until:
                    raise httpx2.RemoteProtocolError("It tells too slowly.")
        finally:
            response.close()
        if response.status_code != httpx2.codes.OK:
            raise httpx2.RemoteProtocolError("It tells nothing.")
        return orjson.loads(bytes(data))

    def hear(self, data: object) -> None:
        """What one gateway tells. Raises MalformedMessage or SignatureError at the first message that is not
        its speaker's; those before it are kept."""
        models: dict[Address, dict[Hash32, str]] = {}
        for posted in self._listing.known:
            models.setdefault(posted.offer.provider, {})[posted.offer_hash] = posted.offer.model
        keys = {posted.offer.provider: posted.stake.receipt_key for posted in self._listing.known}
        self._keep()
        known, frames = read_told(data)
        self._told.append(known)
        self.hearsay.is_part_of(median_low(self._told))
        checked = former = 0
        for frame, age_ms in frames:
            key = known_key(frame.message, models.get)
            at = self._at(frame, age_ms)
            if key is None or not self.hearsay.is_news(key, frame.message.sequence, frame.packed, at):
                continue
            try:
                said = proven(frame, key, keys.__getitem__, self._domain)
            except WrongSigner as error:
                signed_by = named_by(frame.message, error)
                former += signed_by not in self._former
                if former > _CHECKED or not self._was_named(*signed_by):
                    raise
                continue
            if isinstance(frame.message, Rating):
                checked += self._served.knows(place_of(frame.message), self._now()) is None
                if checked > _CHECKED or not self._is_served(frame.message):
                    continue
            with self._lock:
                self.hearsay.take(said, at)

    def _at(self, frame: Frame, age_ms: int) -> int:
        """When it was heard. A gateway that says it is old must not make its provider seem silent."""
        if isinstance(frame.message, Rating):
            return self._now() - age_ms
        return self._now() - min(age_ms, QUIET * self.hearsay.interval_ms)

    def _was_named(self, provider: Address, key: Address) -> bool:
        """Whether the provider named it, before or after the chain was last read here."""
        if (provider, key) not in self._former:
            with suppress(ChainError):
                if not self._chain.is_receipt_key(provider, key):
                    return False
                self._former.add((provider, key))
        return True

    def _is_served(self, rating: Rating) -> bool:
        """As of `is_served`, where the chain answers."""
        place = place_of(rating)
        known = self._served.knows(place, self._now())
        if known is not None:
            return known
        try:
            channel = self._chain.channel(rating.payer, rating.provider, rating.session_key)
        except ChainError:
            return False
        served = is_served(rating, channel)
        self._served.learn(place, served, self._now())
        return served

    def _keep(self) -> None:
        """Of those only that offer something still."""
        models: dict[Address, set[bytes]] = {}
        for posted in self._listing.known:
            models.setdefault(posted.offer.provider, set()).add(posted.offer.model.encode())
        with self._lock:
            self.hearsay.keep(models)
        self._former = {named for named in self._former if named[0] in models}


def _look(held: "weakref.ref[Sight]", over: Event, woken: Event) -> None:
    """The thread: it keeps nobody alive."""
    while not over.is_set():
        sight = held()
        if sight is None or sight.is_idle:
            return
        pause_s = sight.pause_s()
        try:
            sight.look(*sight.models)
        except Exception:  # noqa: BLE001  # what it saw so far still serves
            _LOG.exception("network.failed")
        del sight
        if not over.is_set():
            woken.wait(pause_s)
