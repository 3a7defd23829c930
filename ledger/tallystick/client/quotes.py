"""What providers promise of a request's time, and whose word that is.

A provider that is sent an expectation accepts with a signed quote, or bounces with one. Where one has
bounced, the payer asks it and those that come next for quotes that hold room, all at once, and redeems the
best.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import httpx2
import orjson

from tallystick.client.flow import Endpoint, Flow, Returned, Sleep, Together, hurrying
from tallystick.client.listing import Listing
from tallystick.client.purse import OpenChannel, Pending
from tallystick.client.refusals import Refusal
from tallystick.client.sending import Sender, endpoint_of
from tallystick.ports import PostedOffer
from tallystick.protocol.errors import MalformedMessage, MarketError, SignatureError
from tallystick.protocol.expect import Inquiry, Size
from tallystick.protocol.quote import Quote
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import ZERO_HASH, Hash32
from tallystick.protocol.wire import QUOTES_PATH, signed_from_json

PROBED: Final = 3
"""Providers that are asked at once, the one that has bounced among them."""
ASKING_S: Final = 0.5
"""For all of them together: whoever takes longer to say how long it takes has said enough."""

ChannelTo = Callable[[PostedOffer], Flow[OpenChannel]]


class Quotes:
    """Of one payer: asks, and believes what is its provider's own word on this very request."""

    def __init__(self, sender: Sender, listing: Listing):
        self._sender = sender
        self._listing = listing

    def ask(
        self, offers: Sequence[PostedOffer], size: Size, channel_to: ChannelTo
    ) -> Flow[Mapping[Hash32, Quote]]:
        """By offer, what those promise that answer in time. `channel_to` opens one where there is none."""
        asked = [self._ask_one(posted, size, channel_to) for posted in offers]

        def over() -> Flow[None]:
            yield Sleep(ASKING_S)

        ends = yield Together([*asked, over()], lambda ends: ends[-1] is not None or None not in ends[:-1])
        assert isinstance(ends, list)
        return {
            posted.offer_hash: end.value
            for posted, end in zip(offers, ends[:-1], strict=True)
            if isinstance(end, Returned) and end.value is not None
        }

    def _ask_one(self, posted: PostedOffer, size: Size, channel_to: ChannelTo) -> Flow[Quote | None]:
        inquiry = Inquiry(offer_hash=posted.offer_hash, size=size)
        try:
            channel = yield from hurrying(channel_to(posted), ASKING_S)
            endpoint = endpoint_of(posted.offer)
            answer = yield from hurrying(self._asking(channel, endpoint, inquiry), ASKING_S)
            if isinstance(answer, Refusal):
                return None
            signed = _read(answer)
            quote = yield from self.believed(posted, channel, signed, request_hash=ZERO_HASH)
        except (MarketError, httpx2.TransportError):
            return None
        return quote if quote is not None and _size_of(quote) == size else None

    def _asking(self, channel: OpenChannel, endpoint: Endpoint, inquiry: Inquiry) -> Flow[bytes | Refusal]:
        grant = None if channel.grant_delivered else channel.grant
        body = orjson.dumps(inquiry.to_json())
        answer = yield from self._sender.ask(channel, endpoint, QUOTES_PATH, body, grant=grant)
        if not isinstance(answer, Refusal):
            self._sender.purse.mark_delivered(channel, 0, grant=grant)
        return answer

    def own_word(self, pending: Pending, signed: Signed[Quote]) -> Flow[Signed[Quote] | None]:
        """The quote with which it bounced the request, if it is believed."""
        believed = yield from self.believed(
            pending.posted, pending.channel, signed, request_hash=pending.request_hash
        )
        return None if believed is None else signed

    def believed(
        self, posted: PostedOffer, channel: OpenChannel, signed: Signed[Quote], *, request_hash: Hash32
    ) -> Flow[Quote | None]:
        """The quote, if a key that the provider named signed it, for this channel, offer and request.

        Raises
        ------
        ChainUnavailable :
            It is not known whose key it is.
        """
        quote = signed.message
        expected = (posted.offer.provider, channel.id, posted.offer_hash, request_hash)
        if (quote.provider, quote.channel_id, quote.offer_hash, quote.request_hash) != expected:
            return None
        try:
            proven = yield from self._listing.proven(self._sender.purse.domain, posted.offer.provider, signed)
        except SignatureError:
            return None
        return proven.message


def _read(answer: bytes) -> Signed[Quote]:
    """Raises MalformedMessage."""
    try:
        data = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        raise MalformedMessage("The answer is not JSON.") from error
    return signed_from_json(Quote, data)


def _size_of(quote: Quote) -> Size:
    return Size(input_tokens=quote.input_tokens, output_tokens=quote.output_tokens)
