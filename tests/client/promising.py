"""Test providers that are asked how long a request will take, and what payers hear of them."""

import json
import time
from typing import Any

from tallystick.ports import UNSEEN, PostedOffer, Seen
from tallystick.protocol.expect import Expected, Inquiry, Redeemed, Size, microseconds_up, read_expect
from tallystick.protocol.quote import Quote
from tallystick.protocol.signed import Signed, sign
from tallystick.protocol.speed import Pace, Speed
from tallystick.protocol.status import Status
from tallystick.protocol.units import ZERO_HASH, Address, ChannelId, Hash32, Milliseconds, Tokens
from tallystick.protocol.voucher import request_hash
from tallystick.protocol.wire import EXPECT, QUOTES_PATH, quote_text, read_authorization, signed_to_json
from tests.client.fake_chain import DOMAIN
from tests.client.provider import FakeProvider
from tests.client.serving import Handler

QUICK, SLOW = Pace(0.05, 0.001), Pace(20.0, 0.5)


class Promising(FakeProvider):
    """Knows its pace, and takes, bounces and quotes by it."""

    def __init__(self, *arguments: Any, pace: Pace = QUICK, **options: Any):
        super().__init__(*arguments, **options)
        self.pace = pace
        self.expected: list[Expected | Redeemed | None] = []

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        credential = read_authorization(handler.headers["Authorization"])
        channel_id = credential.voucher.message.channel_id
        if path == QUOTES_PATH:
            self.seen["asked"] += 1
            size = Inquiry.from_json(json.loads(raw)).size
            self.tell(handler, self.quoted(channel_id, size, ZERO_HASH, holds=True))
            return True
        text = handler.headers.get(EXPECT)
        said = None if text is None else read_expect(text)
        self.expected.append(said)
        if isinstance(said, Expected) and self.bounces(said):
            hashed = request_hash(credential.offer_hash, raw)
            self.bounce(handler, self.quoted(channel_id, said.size, hashed, holds=False))
            return True
        if isinstance(said, Expected):
            hashed = request_hash(credential.offer_hash, raw)
            handler.quote = self.quoted(channel_id, said.size, hashed, holds=False)  # type: ignore[attr-defined]
        return False

    def bounces(self, said: Expected) -> bool:
        return not said.tolerates(self.pace)

    def promise(self, handler: Handler) -> str | None:
        quote = handler.__dict__.pop("quote", None)
        return None if quote is None else quote_text(quote)

    def quoted(self, channel_id: ChannelId, size: Size, hashed: Hash32, *, holds: bool) -> Signed[Quote]:
        quote = Quote(
            provider=self.key.address,
            channel_id=channel_id,
            offer_hash=self.offer_hash,
            request_hash=hashed,
            input_tokens=size.input_tokens,
            output_tokens=size.output_tokens,
            first_token_us=microseconds_up(self.pace.first_s),
            token_us=microseconds_up(self.pace.token_s),
            valid_until=Milliseconds(time.time_ns() // 1_000_000 + 60_000 if holds else 0),
        )
        return sign(quote, DOMAIN, self.signing_key).signed

    def tell(self, handler: Handler, quote: Signed[Quote]) -> None:
        handler.send(200, json.dumps(signed_to_json(quote)).encode(), {})

    def bounce(self, handler: Handler, quote: Signed[Quote]) -> None:
        self.seen["bounced"] += 1
        error = {"message": "It would take longer.", "type": "tallystick_error", "code": "bounced"}
        handler.send(503, json.dumps({"error": {**error, "quote": signed_to_json(quote)}}).encode(), {})


class Adverts:
    """What is heard: by provider, how long it says that a step takes."""

    def __init__(self) -> None:
        self.steps_s: dict[Address, float] = {}

    def seen(self, posted: PostedOffer) -> Seen:
        step = self.steps_s.get(posted.offer.provider)
        if step is None:
            return UNSEEN
        each = {"sequence": 0, "weights": 0, "token": 0, "context": 0}
        speed = Speed(fixed=round(step * 1e12), capacity=Tokens(0), chunk=Tokens(0), **each)
        status = Status(
            provider=posted.offer.provider,
            offer_hash=posted.offer_hash,
            sequence=1,
            room=100,
            running=0,
            waiting=0,
            context=Tokens(0),
            queued=Tokens(0),
            parameters=0,
            quantization="",
            speed=speed,
        )
        return Seen(status=status, age_ms=0, suspected=False, ratio=1.0)
