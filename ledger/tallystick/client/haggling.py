"""What a payer says of a request's time, and what it makes of the answers.

Pure: it sends nothing, and what it is told is proven.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tallystick.ports import PostedOffer
from tallystick.protocol.expect import Expected, Redeemed, Size
from tallystick.protocol.quote import Quote
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Hash32, Tokens


@dataclass(slots=True)
class Haggling:
    """What was said of one request's time.

    expecting ──bounce──▶ asking (that quote counts) ──▶ redeeming ──▶ sending plainly

    Each arrow is taken once, so it ends whatever providers say: a request that expects nothing is taken or
    refused, and bounced by nobody.
    """

    size: Size
    words: dict[Hash32, Quote] = field(default_factory=dict)
    """By offer: its provider's own word, in a bounce or when it was asked. It is held to that, with room or
    without."""
    held: dict[Hash32, Quote] = field(default_factory=dict)
    """By offer: the quote under which room is held."""
    was_bounced: bool = False
    asked: bool = False

    def says(self, posted: PostedOffer, expected: Pace | None) -> Expected | Redeemed | None:
        """What goes along with the request; None: nothing is expected of it."""
        if (quote := self.held.get(posted.offer_hash)) is not None:
            return Redeemed(quote.struct_hash())
        if self.was_bounced or expected is None:
            return None
        return Expected(size=self.size, pace=expected)

    def bounced(self, posted: PostedOffer, quote: Quote, *, most: Tokens) -> None:
        """A gateway that knows the model better is believed how long the input is, up to `most`, half the
        body's bytes, which no honest one exceeds: a quote for a shorter one would not be redeemed."""
        size = max(self.size.input_tokens, min(quote.input_tokens, most))
        self.size = replace(self.size, input_tokens=Tokens(size))
        self.was_bounced = True
        self.words[posted.offer_hash] = quote

    @property
    def quoted(self) -> Mapping[Hash32, Pace]:
        """By offer."""
        return {offer_hash: quote.pace for offer_hash, quote in self.words.items()}

    @property
    def asks(self) -> bool:
        """Whether quotes are asked for now."""
        return self.was_bounced and not self.asked

    def answered(self, quotes: Mapping[Hash32, Quote]) -> None:
        """Those that were asked for, by offer."""
        self.asked = True
        for offer_hash, quote in quotes.items():
            self.words[offer_hash] = quote
            if quote.valid_until:
                self.held[offer_hash] = quote

    def spent(self, posted: PostedOffer) -> None:
        """It was refused: no room is held there."""
        self.held.pop(posted.offer_hash, None)


def promises_enough(quote: Quote, expect: Expected | Redeemed | None) -> bool:
    """By its own word it had no reason to bounce what expected so."""
    return not isinstance(expect, Expected) or expect.tolerates(quote.pace)


def held_to(expect: Expected | Redeemed | None, quoted: Pace | None) -> Pace | None:
    """What a provider that took a request is held to: its quote, or what its advert let one expect where that
    is better. Who advertises an empty queue gains nothing by quoting a long one then, nor by quoting nothing.
    None: it promised nothing."""
    if not isinstance(expect, Expected):
        return quoted
    if quoted is None:
        return expect.pace
    output = expect.size.output_tokens
    return expect.pace if expect.pace.total_s(output) <= quoted.total_s(output) else quoted
