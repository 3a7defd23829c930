"""What a payer tells others of providers: how long answers took, over what was promised.

It goes to some gateway, which passes it on; never to the one that it is about, which might keep it.
"""

import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

import httpx2
import orjson

from tallystick.client.flow import BRIEFLY, Endpoint, Flow, Send, read_all, send
from tallystick.client.holdings import OpenChannel
from tallystick.client.listing import Listing
from tallystick.client.purse import Purse
from tallystick.client.record import Record, is_news
from tallystick.protocol.errors import MarketError
from tallystick.protocol.signed import Signed, sign
from tallystick.protocol.status import Rating
from tallystick.protocol.told import rating_to_json
from tallystick.protocol.units import Address, ChannelId, Milliseconds
from tallystick.protocol.wire import RATINGS_PATH
from tallystick.reach import reachable_safely

_ANSWER_LIMIT: Final = 1 << 12
_LOG: Final = logging.getLogger("tallystick.client")


class Ratings:
    """Of one payer."""

    def __init__(
        self,
        *,
        purse: Purse,
        record: Record,
        listing: Listing,
        now: Callable[[], Milliseconds],
        local: bool,
        pick: Callable[[Sequence[Endpoint]], Endpoint] = random.choice,
    ):
        """`local`: as of `reachable_safely`."""
        self._purse = purse
        self._record = record
        self._listing = listing
        self._now = now
        self._local = local
        self._pick = pick
        self._said: dict[ChannelId, tuple[int, int, Milliseconds]] = {}
        """By channel, the last one: ratio, answers, and when."""

    def publish(self, channel: OpenChannel) -> Flow[None]:
        """Says what there is to say now. Where it cannot, it says so the next time."""
        provider = channel.key.provider
        ratio, count = self._record.rating(provider)
        if not count or not is_news(self._said.get(channel.id), ratio, count, now=self._now()):
            return
        others = self._others(provider)
        paid = self._purse.acknowledged(channel, max(0, channel.tally.count - 1), 1)
        if not others or not paid:
            return
        rating = Rating(
            payer=self._purse.payer,
            provider=provider,
            session_key=channel.key.session_key,
            epoch=channel.key.epoch,
            sequence=self._now(),
            ratio=ratio,
            count=count,
            receipt_hash=paid[0].message.struct_hash(),
        )
        signed: Signed[Rating] = sign(rating, self._purse.domain, channel.session).signed
        body = orjson.dumps(rating_to_json(signed, paid[0]))
        self._said[channel.id] = ratio, count, self._now()
        try:
            exchange = yield from send(
                Send(
                    endpoint=self._pick(others),
                    path=RATINGS_PATH,
                    body=body,
                    headers={"content-type": "application/json", "user-agent": "tallystick"},
                    timeout=BRIEFLY,
                )
            )
            yield from read_all(exchange, _ANSWER_LIMIT, self._now)
        except (httpx2.TransportError, MarketError) as error:
            _LOG.info("rating.unsaid error=%s", type(error).__name__)

    def _others(self, provider: Address) -> list[Endpoint]:
        """Gateways of everybody else."""
        return [
            Endpoint(posted.offer.endpoint, posted.offer.endpoint_key)
            for posted in self._listing.known
            if posted.offer.provider != provider and reachable_safely(posted.offer, local=self._local)
        ]
