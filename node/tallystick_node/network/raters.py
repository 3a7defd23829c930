"""The ratings that wait until it is known whether the channels that they are of are on chain.

Pure: time comes in as milliseconds of a clock that never goes back; what is known is `Served`, and who asks
the chain `Confirming`.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.hearsay import Said
from tallystick.protocol.served import AGAIN_MS, Place, Served, place_of
from tallystick.protocol.status import Rating

AT_ONCE: Final = 64
"""Channels that are looked up at once: a half of them of what peers say, a half of what payers say, and
either's for the other where they are not used."""
WAITING: Final = 256
"""Ratings that wait, of all peers together, and as many of all payers."""
FROM_ONE: Final = 64
"""Of these of one sender."""
LOOKS: Final = 4
"""At a channel, `AGAIN_MS` apart, before its rating waits no more: its grant may not be mined yet."""


@dataclass(slots=True, kw_only=True)
class Waiting:
    rating: Rating
    said: Said
    """The same, with its proof."""
    sender: Hashable
    due: int
    """When to look."""
    looks: int = 0

    @property
    def place(self) -> Place:
        return place_of(self.rating)


class _Line:
    """Those who wait, a sender's turn after another's: whoever sends much waits behind itself."""

    def __init__(self) -> None:
        self._of: OrderedDict[Hashable, OrderedDict[Place, Waiting]] = OrderedDict()
        self.size = 0

    def may_join(self, sender: Hashable, place: Place) -> bool:
        own = self._of.get(sender, ())
        return self.size < WAITING and len(own) < FROM_ONE and place not in own

    def join(self, waiting: Waiting) -> None:
        self._of.setdefault(waiting.sender, OrderedDict())[waiting.place] = waiting
        self.size += 1

    def next(self, now: int) -> Waiting | None:
        """The first that is due, of the sender whose turn it is."""
        for sender, own in self._of.items():
            waiting = next((waiting for waiting in own.values() if waiting.due <= now), None)
            if waiting is not None:
                self.size -= 1
                del own[waiting.place]
                self._of.move_to_end(sender)
                if not own:
                    del self._of[sender]
                return waiting
        return None


class Raters:
    def __init__(self) -> None:
        self._served = Served()
        self._peers, self._payers = _Line(), _Line()

    def is_served(self, rating: Rating, now: int) -> bool:
        """Known to be."""
        return self._served.knows(place_of(rating), now) is True

    def may_wait(self, rating: Rating, sender: Hashable, now: int) -> bool:
        """Whether there is room for it, and it is not known to be nobody's: asked before its signatures are
        checked. `sender`: an `Address` is a peer's, anything else is where a payer's came from."""
        place = place_of(rating)
        return self._served.knows(place, now) is not False and self._line(sender).may_join(sender, place)

    def wait(self, said: Said, rating: Rating, sender: Hashable, now: int) -> None:
        """There is room for it. `rating`: what is said."""
        self._line(sender).join(Waiting(rating=rating, said=said, sender=sender, due=now))

    def next(self, now: int) -> list[Waiting]:
        """Whose channels to look up now."""
        found: list[Waiting] = []
        while len(found) < AT_ONCE:
            both = [line.next(now) for line in (self._peers, self._payers)]
            if both == [None, None]:
                break
            found += [waiting for waiting in both if waiting is not None]
        return found

    def learn(self, waiting: Waiting, served: bool, now: int) -> None:
        """What the chain says. One that it does not know may wait some more, in its sender's place."""
        waiting.looks += 1
        waiting.due = now + AGAIN_MS
        line = self._line(waiting.sender)
        if not served and waiting.looks < LOOKS and line.may_join(waiting.sender, waiting.place):
            line.join(waiting)
            return
        self._served.learn(waiting.place, served, now)

    @property
    def waiting(self) -> int:
        return self._peers.size + self._payers.size

    def _line(self, sender: Hashable) -> _Line:
        return self._peers if isinstance(sender, bytes) else self._payers
