"""What is heard of providers: each says how it is, at most once a second, and the others hear it a while
later. How gossip carries it is imagined; how often one speaks is `protocol.hearsay`'s rule.
"""

from collections import deque
from dataclasses import dataclass
from math import inf
from operator import attrgetter
from typing import Final

from tallystick.protocol.hearsay import QUIET, interval_ms
from tallystick.protocol.rating import agreed
from tallystick.protocol.status import Rating, Status
from tallystick_node.sim.links import pair_chance

_WHAT_CHANGES: Final = attrgetter("room", "running", "waiting", "context", "queued", "offer_hash", "speed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """How long it takes until one node hears what another said, by pair."""

    soonest_s: float = 0.3
    latest_s: float = 2.0
    silent_s: float = 4.0
    """After which one that is dead is suspected."""


@dataclass(slots=True)
class Told:
    at: float
    status: Status


class News:
    """Of a fixed list of nodes, by index."""

    def __init__(self, count: int, speakers: int, hearing: Hearing, seed: int):
        self.interval_s = interval_ms(speakers) / 1000
        self.ratio = [1.0] * count
        """Observed over quoted time, as payers have told each other."""
        self.next_sequence = [0] * count
        self._told: list[deque[Told]] = [
            deque(maxlen=1 + int(hearing.latest_s / self.interval_s) + 1) for _ in range(count)
        ]
        self._ratings: list[dict[int, Rating]] = [{} for _ in range(count)]
        self._suspected_at = [inf] * count
        self._hearing = hearing
        self._seed = seed

    def tell(self, index: int, status: Status, now: float) -> bool:
        """Whether it was worth a message: what has not changed is said now and then. Its sequence is to be
        `next_sequence`."""
        told = self._told[index]
        if told:
            last = told[-1]
            recent = now - last.at < QUIET * self.interval_s * 0.99
            if recent and _WHAT_CHANGES(status) == _WHAT_CHANGES(last.status):
                return False
        self.next_sequence[index] += 1
        told.append(Told(now, status))
        return True

    def silence(self, index: int) -> None:
        """It was never heard of."""
        self._told[index].clear()

    def heard(self, by: int, index: int, now: float) -> Told | None:
        """The newest that this node has heard of that one."""
        hearing = self._hearing
        known = now
        if by != index:
            spread = hearing.latest_s - hearing.soonest_s
            known -= hearing.soonest_s + spread * pair_chance(self._seed, by, index)
        for told in reversed(self._told[index]):
            if told.at <= known:
                return told
        return None

    def is_suspected(self, index: int, now: float) -> bool:
        """It is said not to answer."""
        return now >= self._suspected_at[index]

    def died(self, index: int, now: float) -> None:
        """Its peers get no answer, and say so after a while."""
        self._suspected_at[index] = now + self._hearing.silent_s

    def rate(self, index: int, by: int, rating: Rating) -> None:
        self._ratings[index][by] = rating
        self.ratio[index] = agreed(self._ratings[index].values())
