"""Quotes: how long a request would take now, and the room that is held for those who asked.

Pure: load, speed and the clock come in; whoever signs and sends is elsewhere. Room is held for one quote an
account, for two seconds, and for all quotes together in a part of the node only: asking costs nothing, and
must not be a way to keep others out.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Final

from tallystick.protocol.errors import QuoteExpired, QuoteMismatch, QuoteUnknown
from tallystick.protocol.expect import Size, microseconds_up
from tallystick.protocol.quote import Quote
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import ZERO_HASH, Address, ChannelId, Hash32, Milliseconds, Tokens, to_hex

HOLD_MS: Final = 2_000
HELD_PART: Final = 4
"""The part of a node's room that quotes can hold: one in so many."""
REMEMBERED_MS: Final = 60_000
"""So long a quote that has expired is told from one that never was."""
UNKEPT: Final = 4_096
"""Accounts of which it is remembered that they redeemed nothing."""
LARGER: Final = 2
SLACK: Final = 64
"""A request redeems a quote for at least half as many input tokens as it seems to have, and so many less."""


def quote(
    *,
    provider: Address,
    channel_id: ChannelId,
    offer_hash: Hash32,
    size: Size,
    pace: Pace,
    request_hash: Hash32 = ZERO_HASH,
    valid_until: Milliseconds = Milliseconds(0),
) -> Quote:
    return Quote(
        provider=provider,
        channel_id=channel_id,
        offer_hash=offer_hash,
        request_hash=request_hash,
        input_tokens=size.input_tokens,
        output_tokens=size.output_tokens,
        first_token_us=microseconds_up(pace.first_s),
        token_us=microseconds_up(pace.token_s),
        valid_until=valid_until,
    )


def plausible(size: Size, estimate: Tokens) -> Size:
    """What a payer says of its request, as far as its body bears it out: who understates it by more than a
    half is quoted for more."""
    return replace(size, input_tokens=Tokens(max(size.input_tokens, estimate // LARGER)))


class _Held:
    """What holds room from one moment to another, if nothing is added or taken away."""

    def __init__(self, now: Milliseconds):
        self.since = now
        self.until = Milliseconds(now + HOLD_MS)
        self.quotes: list[Quote] = []
        self.waiting = 0.0
        self.queued = 0.0
        """As of `Pledges.likely`."""

    def add(self, given: Quote, chance: float, now: Milliseconds) -> None:
        """`chance`: that a request comes of it."""
        self.since = now
        if not _holds(given, now):
            self.until = now  # The clock was set back: nobody knows what holds next.
            return
        self.quotes.append(given)
        self.waiting += chance
        self.queued += chance * given.input_tokens
        if given.valid_until < self.until:
            self.until = given.valid_until


class Pledges:
    """The quotes for which room is held, at most one an account. What it costs to look follows from the room
    alone, however many have asked before."""

    def __init__(self, room: int):
        """`room`: requests that the node takes at a time."""
        self._most = max(1, room // HELD_PART)
        self._by_payer: dict[Address, Quote] = {}
        """In the order in which they were given; none that has expired, once one has looked."""
        self._expired: dict[Address, Quote] = {}
        """In the order in which they expired."""
        self._unredeemed: dict[Address, int] = {}
        """Quotes that an account let go in a row."""
        self._counted: _Held | None = None
        """What was held when one last looked; None: that has changed."""

    def __bool__(self) -> bool:
        """Whether any may be held: for requests that come without."""
        return bool(self._by_payer)

    def held(self, now: Milliseconds) -> Sequence[Quote]:
        """Those that can be redeemed now."""
        return self._held(now).quotes

    def likely(self, now: Milliseconds) -> tuple[int, Tokens]:
        """Requests, and their prompt tokens, that may come of what is held. Whoever lets one quote after the
        other go counts for less and less: asking alone must not make a node look busy."""
        held = self._held(now)
        return round(held.waiting), Tokens(round(held.queued))

    def until(self, payer: Address, now: Milliseconds) -> Milliseconds:
        """Until when room would be held for this account; zero: none can be."""
        others = len(self._held(now).quotes)
        if others >= self._most and payer in self._by_payer:
            others -= _holds(self._by_payer[payer], now)
        return Milliseconds(0 if others >= self._most else now + HOLD_MS)

    def release(self, payer: Address) -> None:
        """What it was promised is void, and was of no use."""
        held, expired = self._by_payer.pop(payer, None), self._expired.pop(payer, None)
        if held is None and expired is None:
            return
        if held is not None:
            self._counted = None
        self._unredeemed[payer] = self._unredeemed.pop(payer, 0) + 1
        if len(self._unredeemed) > UNKEPT:
            del self._unredeemed[next(iter(self._unredeemed))]

    def hold(self, payer: Address, given: Quote, now: Milliseconds) -> None:
        """Instead of what the account held before."""
        self._expire(now)
        for other in list(takewhile(lambda other: self._is_forgotten(other, now), self._expired)):
            self.release(other)
        self.release(payer)
        self._by_payer[payer] = given
        if self._counted is not None:
            self._counted.add(given, self._chance(payer), now)

    def _chance(self, payer: Address) -> float:
        return 1 / (1 + self._unredeemed.get(payer, 0))

    def _held(self, now: Milliseconds) -> "_Held":
        """Counted anew where anything has changed since, or has expired."""
        counted = self._counted
        if counted is None or not counted.since <= now < counted.until:
            self._expire(now)
            counted = self._counted = _Held(now)
            for payer, item in self._by_payer.items():
                counted.add(item, self._chance(payer), now)
        return counted

    def _expire(self, now: Milliseconds) -> None:
        while self._by_payer:
            payer = next(iter(self._by_payer))
            if now < self._by_payer[payer].valid_until:
                return
            self._expired[payer] = self._by_payer.pop(payer)
            self._counted = None

    def _is_forgotten(self, payer: Address, now: Milliseconds) -> bool:
        return now >= self._expired[payer].valid_until + REMEMBERED_MS

    def redeem(
        self,
        payer: Address,
        named: Hash32,
        *,
        channel_id: ChannelId,
        offer_hash: Hash32,
        estimate: Tokens,
        now: Milliseconds,
    ) -> Quote:
        """The quote, whose room is the request's from here on. Raises QuoteUnknown, QuoteExpired or
        QuoteMismatch, and holds what it held."""
        self._expire(now)
        found = self._by_payer.get(payer) or self._expired.get(payer)
        if found is None or found.struct_hash() != named or found.channel_id != channel_id:
            raise QuoteUnknown("No room is held for this channel under this quote.", actual=to_hex(named))
        if payer in self._expired or not _holds(found, now):
            raise QuoteExpired("The quote has expired.", required=found.valid_until, actual=now)
        if found.offer_hash != offer_hash:
            raise QuoteMismatch(
                "The quote is for another offer.",
                required=to_hex(found.offer_hash),
                actual=to_hex(offer_hash),
            )
        if estimate > LARGER * found.input_tokens + SLACK:
            raise QuoteMismatch(
                "The request is much larger than the quote's.",
                required=LARGER * found.input_tokens + SLACK,
                actual=estimate,
            )
        del self._by_payer[payer]
        self._unredeemed.pop(payer, None)
        self._counted = None
        return found


def _holds(given: Quote, now: Milliseconds) -> bool:
    """A clock that was set back holds nothing for longer."""
    return 0 < given.valid_until - now <= HOLD_MS
