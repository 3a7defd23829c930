"""Offers, folded from the events that posted and withdrew them. It knows no node and no clock."""

from collections.abc import Iterable

from tallystick.chain.events import ChainEvent, OfferPosted, OffersWithdrawn
from tallystick.protocol.units import Address, Timestamp


class Book:
    """The newest offer of each provider and model, as far as the events went."""

    def __init__(self) -> None:
        self._events: list[ChainEvent] = []
        self._posted: dict[tuple[Address, str], OfferPosted] = {}
        self._minimum: dict[Address, int] = {}

    def apply(self, events: Iterable[ChainEvent]) -> None:
        """In the chain's order."""
        for event in events:
            self._events.append(event)
            match event:
                case OfferPosted():
                    self._posted[event.provider, event.offer.model] = event
                case OffersWithdrawn():
                    self._minimum[event.provider] = event.minimum_sequence
                case _:
                    pass

    def rewind(self, block: int) -> None:
        """The chain took back what came after that block."""
        events = [event for event in self._events if event.block <= block]
        self._events, self._posted, self._minimum = [], {}, {}
        self.apply(events)

    def holding(self, now: Timestamp) -> list[OfferPosted]:
        """Neither withdrawn nor expired at `now`; oldest first."""
        return [
            posted
            for posted in self._posted.values()
            if posted.sequence >= self._minimum.get(posted.provider, 0) and posted.offer.valid_until > now
        ]
