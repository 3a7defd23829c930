"""What is heard of providers: each says how it is, at most once a second, and the others hear it a while
later. How gossip carries it is imagined; how often one speaks is `protocol.hearsay`'s rule.
"""

from collections import deque
from dataclasses import dataclass
from math import inf
from operator import attrgetter
from typing import Final

from tallystick.protocol.hearsay import QUIET, RATED, RATINGS, interval_ms
from tallystick.protocol.rating import agreed
from tallystick.protocol.status import Rating, Status
from tallystick_node.sim.links import pair_chance

_FEW: Final = 64
"""Nodes of which the lags of all pairs are kept."""
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
        self._ratio = [1.0] * count
        self.next_sequence = [0] * count
        self._told: list[deque[Told]] = [
            deque(maxlen=1 + int(hearing.latest_s / self.interval_s) + 1) for _ in range(count)
        ]
        self._ratings: list[dict[int, tuple[float, Rating]]] = [{} for _ in range(count)]
        self._suspected_at = [inf] * count
        self._spread_s = hearing.latest_s - hearing.soonest_s
        self._hearing = hearing
        self._seed = seed
        few = range(count if count <= _FEW else 0)
        self._lags = {by: [self._lag_s(by, index) for index in few] for by in few}

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
        lags = self._lags.get(by)
        known = now - (self._lag_s(by, index) if lags is None else lags[index])
        for told in reversed(self._told[index]):
            if told.at <= known:
                return told
        return None

    def _lag_s(self, by: int, index: int) -> float:
        """How old news of one is when another hears it."""
        hearing = self._hearing
        if by == index:
            return 0.0
        return hearing.soonest_s + self._spread_s * pair_chance(self._seed, by, index)

    def ratio(self, _by: int, index: int) -> float:
        """Observed over quoted time, as payers have told each other."""
        return self._ratio[index]

    def is_suspected(self, _by: int, index: int, now: float) -> bool:
        """It is said not to answer."""
        return now >= self._suspected_at[index]

    def died(self, index: int, now: float) -> None:
        """Its peers get no answer, and say so after a while."""
        self._suspected_at[index] = now + self._hearing.silent_s

    def rate(self, index: int, by: int, rating: Rating, now: float) -> None:
        """What a payer says of one of them; of more payers than are remembered those heard last count."""
        ratings = self._ratings[index]
        held = ratings.pop(by, None)
        if held is not None and now - held[0] < RATED * self.interval_s:
            ratings[by] = held  # Too soon to be listened to, and so in its old place.
            return
        ratings[by] = now, rating
        if len(ratings) > RATINGS:
            del ratings[next(iter(ratings))]
        self._ratio[index] = agreed(rating for _, rating in ratings.values())
