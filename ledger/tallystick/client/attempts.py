"""Requests whose answer was lost on the way, for the caller's retry to pick up under the same nonce.

The openai package repeats a request by itself when the connection breaks. A repetition (it says so in a
header) with the same body takes the lost attempt up again, and the provider answers with what it has stored:
nothing is paid twice. Two calls that merely look alike are two requests.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Final

from tallystick.client.ask import Ask
from tallystick.client.flow import Exchange
from tallystick.client.haggling import held_to
from tallystick.client.purse import Pending
from tallystick.protocol.expect import Expected, Redeemed
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.quote import Quote
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Hash32, Milliseconds, Tokens

_KEPT: Final = 1_000
KEPT_BYTES: Final = 1 << 22
"""Of one answer, for judges: a provider says how long its lines are, and many answers come at once."""
ON_ITS_WAY: Final = 64
"""Output tokens, and a quarter of what came: an honest provider that is cut off has sent no more than that
which its payer did not get, since it stops as its connection does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as the caller's HTTP client hands it over."""

    path: str
    """Without the base URL: `/v1/…`."""
    body: bytes
    timeout: Mapping[str, float | None] = field(default_factory=dict)
    """Seconds to `connect`, `read`, `write` and wait in the `pool`."""
    retry: bool = False
    """The caller says that it sent this before."""
    idempotency_key: str = ""
    """Two calls with one key and one body are one request."""
    seed: int | None = None
    """Of the choice among providers, 64 bits, where somebody foresaw it; None: it is drawn."""

    @property
    def name(self) -> bytes:
        return sha256(f"{self.path}\n{self.idempotency_key}\n".encode() + self.body).digest()


@dataclass(slots=True, eq=False)
class Attempt:
    """One request on its way to one provider."""

    pending: Pending
    ask: Ask
    sent: bool = False
    """Something of it may have reached the provider."""
    shown: int = 0
    """Payloads that the caller has already got."""
    shown_hash: Hash32 = ZERO_HASH
    """Over those."""
    resent: bool = False
    """It was sent again since: what came may have been ready long before it was waited for."""
    fetch: bool = False
    """Nobody waits for it any more: only what was begun is asked for, never new work."""
    goes_on: bool = False
    """It says the rest of an answer that somebody else began."""
    alone: bool = False
    """No other provider could serve instead."""
    connect_s: float | None = None
    """Seconds to connect in, where others wait to serve; None: as long as the caller says."""
    leave_s: float | None = None
    """To say anything at all in, where others wait to serve; None: as long as the caller says."""
    left: bool = False
    """It did not, and somebody else is asked."""
    expect: Expected | Redeemed | None = None
    """What its provider is told of the time that it may take; None: nothing, and it promises nothing."""
    quote: Quote | None = None
    """Its provider's word: under which it took it, or before, where nothing was expected of it any more."""
    exchange: Exchange | None = None
    """Its answer, from its head on."""
    concluded: bool = False
    """The answer is here to its end."""
    hung_up: bool = False
    """Its provider ended the connection in the middle of it."""
    limited: Atoms | None = None
    """What it may cost at most since then; None: what was reserved for it."""
    kept: list[bytes] | None = None
    """The answer's payloads, where somebody may judge it and they are no more than `KEPT_BYTES`."""
    kept_bytes: int = 0
    on_first: Callable[["Attempt"], None] | None = None
    """Told as soon as there is an output token."""
    waited_ms: int = 0
    """For the provider alone, since the request was sent: a caller that reads slowly is not its fault."""
    asked_at: Milliseconds | None = None
    """Since when it is being waited for; None: nobody waits now."""
    first_ms: int | None = None
    """Of those, until there was an output token."""
    last_ms: int = 0
    """Until there was the last one."""
    input_tokens: int = 0
    """As its engine counted them, once it said so."""
    output_tokens: int = 0
    """Received."""

    @property
    def provider(self) -> Address:
        return self.pending.posted.offer.provider

    def keep(self, payload: bytes) -> None:
        """For judges, if any: of an answer that is too long nothing is kept, and it becomes no duel."""
        if self.kept is None:
            return
        self.kept_bytes += len(payload)
        self.kept.append(payload)
        if self.kept_bytes > KEPT_BYTES:
            self.kept = None

    def begin_anew(self) -> None:
        """The answer comes again, from its beginning."""
        if self.kept is not None:
            self.kept.clear()
            self.kept_bytes = 0

    def wait(self, milliseconds: int, output_tokens: int) -> None:
        """So long was waited, and so many tokens are here since."""
        self.waited_ms, self.asked_at = self.waited_ms + milliseconds, None
        if output_tokens <= self.output_tokens:
            return
        self.last_ms, self.output_tokens = self.waited_ms, output_tokens
        if self.first_ms is None:
            self.first_ms = self.waited_ms
            if self.on_first is not None:
                self.on_first(self)

    def earliest(self, waited_ms: int) -> Milliseconds:
        """Before which its provider cannot have been done, `waited_ms` having been waited for it by then."""
        return Milliseconds(self.pending.sent_at + (0 if self.resent else waited_ms))

    @property
    def may_cost(self) -> Atoms:
        """What came of it, once it has ended; else all that it was sent with, or was limited to: whoever
        breaks off may have made the whole answer, and bill it when it is asked what came of it."""
        most = self.pending.worst if self.limited is None else self.limited
        return min(most, self._cost(self.output_tokens)) if self.concluded else most

    @property
    def most_due(self) -> Atoms:
        """For what came, and what may have been on its way as its provider hung up."""
        return min(self.pending.worst, self._cost(self.output_tokens + self.output_tokens // 4 + ON_ITS_WAY))

    def _cost(self, output_tokens: int) -> Atoms:
        size = Tokens(self.input_tokens or self.ask.input_bound)
        offer, output = self.pending.posted.offer, Tokens(output_tokens)
        return cost_up(offer, input_tokens=size, cached_input_tokens=Tokens(0), output_tokens=output)

    @property
    def observed(self) -> Pace | None:
        """How fast it was; None: nothing came. A whole answer has all its time before its first token."""
        if self.first_ms is None:
            return None
        between = (self.last_ms - self.first_ms) / max(1, self.output_tokens - 1)
        return Pace(self.first_ms / 1000, between / 1000)

    @property
    def promised(self) -> Pace | None:
        """What its provider is held to."""
        return held_to(self.expect, None if self.quote is None else self.quote.pace)


class LostAttempts:
    """By call; the oldest are forgotten first (the purse still settles them)."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, list[Attempt]] = OrderedDict()
        self._lock = Lock()

    def keep(self, call: Call, attempt: Attempt) -> None:
        with self._lock:
            self._kept.setdefault(call.name, []).append(attempt)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)

    def take(self, call: Call) -> Attempt | None:
        """Each is taken once, so that of two calls alike each resumes its own."""
        if not call.retry and not call.idempotency_key:
            return None
        with self._lock:
            attempts = self._kept.get(call.name)
            if not attempts:
                return None
            attempt = attempts.pop(0)
            if not attempts:
                del self._kept[call.name]
            return attempt
