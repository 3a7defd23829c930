"""Two providers asked for one answer, the second only once the first is late: whoever speaks first goes on.

What each would tell the caller is held back until one has said a token. The other is closed where it stands;
it is paid for what it sent by then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tallystick.client.delivering import Shown
from tallystick.client.flow import (
    Drop,
    Emit,
    End,
    Failed,
    Flow,
    Inward,
    Outward,
    Respond,
    Returned,
    Sleep,
    Together,
    driven,
)

_LOOK_S: Final = 0.01


@dataclass(slots=True, eq=False)
class Contender:
    """One of the two. Its flow has its own `shown`."""

    flow: Flow[None]
    shown: Shown
    begun: bool = False
    _ended: bool = False
    _told: list[Outward] = field(default_factory=list)
    """Held back."""
    _next: Inward | None = None
    """What the flow waits for."""

    def until_heard(self) -> Flow[None]:
        """Up to its first output token, or to its end; the flow stays where it is then."""
        self.begun = True
        result: object = None
        error: BaseException | None = None
        while True:
            try:
                effect = self.flow.send(result) if error is None else self.flow.throw(error)
            except StopIteration:
                self._ended = True
                return
            result, error = None, None
            if isinstance(effect, Respond | Emit):
                self._told.append(effect)
                continue
            attempt = self.shown.attempt
            if attempt is not None and attempt.first_ms is not None:
                self._next = effect
                return
            try:
                result = yield effect
            except GeneratorExit:
                self.flow.close()
                raise
            except BaseException as raised:  # noqa: BLE001  # the flow decides
                error = raised

    @property
    def sent(self) -> bool:
        """Its provider has the request, as far as can be told."""
        attempt = self.shown.attempt
        return attempt is not None and attempt.sent

    def rest(self) -> Flow[None]:
        """What was held back, and all that follows."""
        yield from self._told
        if not self._ended:
            yield from driven(self.flow, self._next)

    def leave(self) -> Flow[None]:
        """It was heard too, and is not wanted."""
        attempt = self.shown.attempt
        self.flow.close()
        if attempt is not None and attempt.exchange is not None:
            yield Drop(attempt.exchange)


def race(first: Contender, second: Contender, after_s: float) -> Flow[Contender]:
    """Whoever of them is heard first, once it is; `second` begins so many seconds after `first` was sent, and
    not at all where that has failed by then. Raises what `first` failed with, where nobody was heard."""

    def later() -> Flow[None]:
        while not first.sent:
            yield Sleep(_LOOK_S)
        yield Sleep(after_s)
        yield from second.until_heard()

    ends = yield Together([first.until_heard(), later()], _decided(second))
    assert isinstance(ends, list)
    heard = [one for one, end in zip((first, second), ends, strict=True) if isinstance(end, Returned)]
    for unwanted in heard[1:]:
        yield from unwanted.leave()
    if heard:
        return heard[0]
    assert isinstance(ends[0], Failed)
    raise ends[0].error


def _decided(second: Contender) -> Callable[[Sequence[End[Any]]], bool]:
    def enough(ends: Sequence[End[Any]]) -> bool:
        heard = any(isinstance(end, Returned) for end in ends)
        return heard or None not in ends or (ends[0] is not None and not second.begun)

    return enough
