"""Providers that cheat with their time: with what they advertise, promise and hold."""

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tallystick.protocol.errors import QuoteUnknown
from tallystick.protocol.expect import Expected, Redeemed
from tallystick.protocol.quote import Quote
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Milliseconds
from tallystick.protocol.wire import read_authorization
from tests.client.fake_chain import DOMAIN
from tests.client.promising import Promising
from tests.client.serving import Handler
from tests.client.side import Refused

LATE_S = 1.0


class BouncesForEver(Promising):
    """Advertises a short queue, bounces every request, and quotes a short queue again."""

    def bounces(self, said: Expected) -> bool:
        return True


class NeverKeepsRoom(Promising):
    """Bounces with a quote that is long enough for it, offers room when it is asked, and then has none."""

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        if super().handled(handler, path, raw):
            return True
        if isinstance(self.expected[-1], Redeemed):
            raise Refused(409, QuoteUnknown("No room is held under it."))
        return False

    def bounces(self, said: Expected) -> bool:
        self.pace = Pace(2 * said.pace.first_s + 1, 2 * said.pace.token_s)
        return True


class QuotesNothingAndTakesLong(Promising):
    """An empty queue, at once, it says each time; and each time it takes long."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, pace=Pace(0, 0), latency=lambda: time.sleep(LATE_S), **options)


class QuotesLongAfterAShortAdvert(Promising):
    """Advertises an empty queue, takes what comes, and quotes so long that it always keeps its word."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, pace=Pace(60, 1), latency=lambda: time.sleep(LATE_S), **options)

    def bounces(self, said: Expected) -> bool:
        return False


class PromisesNothing(QuotesLongAfterAShortAdvert):
    """The same without a quote: what is not said cannot be held against it."""

    def promise(self, handler: Handler) -> str | None:
        return None


class QuotesQuickWithoutRoom(Promising):
    """Bounces, says that it is quick when it is asked, holds no room for that, and takes long."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, pace=Pace(60, 1), latency=lambda: time.sleep(LATE_S), **options)

    def tell(self, handler: Handler, quote: Signed[Quote]) -> None:
        said = replace(quote.message, first_token_us=1_000, token_us=1, valid_until=Milliseconds(0))
        super().tell(handler, sign(said, DOMAIN, self.signing_key).signed)


class TakesAndSaysNothing(Promising):
    """Takes each request with a short quote, and says nothing but comments until its caller goes."""

    taken = 0

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        if not super().handled(handler, path, raw):
            self.taken += not read_authorization(handler.headers["Authorization"]).fetch
            handler.head("text/event-stream")
            with suppress(OSError):
                while not self.closing:
                    handler.chunk(b": wait\n\n")
                    time.sleep(0.05)
            handler.hang_up()
        return True


class HoldsProbesOpen(NeverKeepsRoom):
    """Bounces, and when it is asked for a quote it never answers."""

    def tell(self, handler: Handler, quote: Signed[Quote]) -> None:
        handler.connection.recv(1)  # until the payer goes
        handler.hang_up()


class TricklesItsQuotes(NeverKeepsRoom):
    """The same, a byte now and then, so that no read is late."""

    def tell(self, handler: Handler, quote: Signed[Quote]) -> None:
        handler.head("application/json")
        try:
            while not self.closing:
                handler.chunk(b" ")
                time.sleep(0.05)
        except OSError:
            handler.hang_up()


class ReplaysItsQuotes(Promising):
    """Tells the first quote that it ever signed, whoever asks, and for whatever."""

    first: Signed[Quote] | None = None

    def quoted(self, *arguments: Any, **options: Any) -> Signed[Quote]:
        self.first = self.first or super().quoted(*arguments, **options)
        return self.first


class ForgesItsQuotes(Promising):
    """Signs them with a key that the chain never saw, so that nothing can be held against anybody."""

    def quoted(self, *arguments: Any, **options: Any) -> Signed[Quote]:
        return sign(super().quoted(*arguments, **options).message, DOMAIN, Key.generate()).signed
