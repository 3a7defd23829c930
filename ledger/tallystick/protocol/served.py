"""Which channels of payers that rate are on chain, as far as somebody looked: a rating is signed with a
session key, and any key may be named in any payer's place.

Pure: time comes in as milliseconds of a clock that never goes back, and who looks is somebody else.
"""

from collections import OrderedDict
from typing import Final

from tallystick.protocol.status import Rating
from tallystick.protocol.units import Address

KNOWN: Final = 16_384
"""Channels that are remembered, those asked for last."""
AGAIN_MS: Final = 5_000
"""For which a channel that was not on chain is taken not to be: its grant may not be mined yet."""

Place = tuple[Address, Address, Address]
"""Payer, provider, session key: a channel in any of its epochs."""


def place_of(rating: Rating) -> Place:
    return rating.payer, rating.provider, rating.session_key


class Served:
    def __init__(self) -> None:
        self._known: OrderedDict[Place, int | None] = OrderedDict()
        """Until when a channel is taken not to be on chain; None: it is."""

    def knows(self, place: Place, now: int) -> bool | None:
        """Whether it is on chain; None: that has to be looked up."""
        until = self._known.get(place, 0)
        if until is None:
            self._known.move_to_end(place)
            return True
        return False if now < until else None

    def learn(self, place: Place, served: bool, now: int) -> None:
        """What the chain says."""
        self._known[place] = None if served else now + AGAIN_MS
        self._known.move_to_end(place)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)
