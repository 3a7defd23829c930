"""A limit on refused credentials from one address, so that guessing and flooding stay cheap to turn away."""

from tallystick.ports import Clock
from tallystick_node.gateway.errors import RateLimited

_ADDRESSES_LIMIT = 10_000
_MINUTE_MS = 60_000


class Guard:
    """Counts a minute at a time; zero a minute switches it off."""

    def __init__(self, clock: Clock, refusals_a_minute: int):
        self._clock = clock
        self._limit = refusals_a_minute
        self._minute = 0
        self._refusals: dict[str, int] = {}

    def require_welcome(self, peer: str) -> None:
        """Raises RateLimited."""
        if not self._refusals:
            return
        self._turn()
        if self._limit and self._refusals.get(peer, 0) >= self._limit:
            raise RateLimited(
                "Too many refused credentials from this address in this minute.",
                required=self._limit,
                actual=self._refusals[peer],
            )

    def note_refusal(self, peer: str) -> None:
        self._turn()
        if len(self._refusals) < _ADDRESSES_LIMIT or peer in self._refusals:
            self._refusals[peer] = self._refusals.get(peer, 0) + 1

    def _turn(self) -> None:
        minute = self._clock.milliseconds() // _MINUTE_MS
        if minute != self._minute:
            self._minute = minute
            self._refusals.clear()
