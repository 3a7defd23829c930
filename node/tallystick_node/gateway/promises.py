"""What this node promises of time: it counts its load, quotes, holds room, and says so of itself.

What is promised is decided by `quoting`, how fast the engine is by its operator or by `calibrating`. For a
request that asks for no quote nothing of this is done.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from tallystick.protocol.errors import ContextTooLong
from tallystick.protocol.expect import Expected, Inquiry, Redeemed, Size
from tallystick.protocol.length import InputLength, fits
from tallystick.protocol.quote import Quote
from tallystick.protocol.signed import Signed
from tallystick.protocol.speed import Load, Pace, Speed, pace
from tallystick.protocol.status import Status
from tallystick.protocol.units import ChannelId, Hash32, Milliseconds, Tokens
from tallystick.protocol.wire import quote_text
from tallystick_node.gateway.ask import Ask
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.calibrating import Ended, History, fitted
from tallystick_node.gateway.errors import Bounced, Busy, Unready
from tallystick_node.gateway.load import UNKNOWN, Unseen, Work, load_of
from tallystick_node.gateway.quoting import Pledges, plausible, quote
from tallystick_node.gateway.relay import Running
from tallystick_node.gateway.tab import Tab
from tallystick_node.network.policies import Request

Expectation = Expected | Redeemed
"""What a payer says of the time that its request is to take."""


class Beside(Protocol):
    """The other side of a node that does more than sell."""

    @property
    def running(self) -> int:
        """Own users' requests that the engine works at."""

    def works(self) -> Iterable[Work | Unseen]:
        """The same, one by one."""

    def waiting(self) -> int:
        """Own users' requests that wait for it."""

    def require_taken(self, request: Request) -> None:
        """A paid one. Raises Busy or Declined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What the operator says of the engine."""

    speed: Speed | None = None
    """None: it is found out."""
    parameters: int = 0
    quantization: str = ""
    """These two: as in a `Status`."""


class Promises:
    def __init__(
        self, books: Books, running: Mapping[tuple[ChannelId, int], Running], most: int, claims: Claims
    ):
        """`most`: requests at a time."""
        self._books = books
        self._running = running
        self._most = most
        self._claims = claims
        self.beside: Beside | None = None
        """What the engine does beside, and what the node's policy takes; None: it only sells."""
        self._pledges = Pledges(most)
        self.lengths = InputLength()
        """Of requests, by what the engine counted."""
        self._history = History()
        self._found: Speed | None = None
        """Of `_history`; None: to be found anew."""

    # ------------------------------------------------------------------------------------------ what is so

    @property
    def speed(self) -> Speed | None:
        """None: nobody said, and too little was seen."""
        if self._claims.speed is not None:
            return self._claims.speed
        if self._found is None:
            self._found = fitted(list(self._history))
        return self._found

    def held(self) -> Sequence[Quote]:
        """Quotes for which room is held."""
        return self._pledges.held(self._now) if self._pledges else []

    def load(self) -> Load:
        """Of everything that was taken or promised."""
        speed = self.speed or UNKNOWN
        works = chain(self._works(), () if self.beside is None else self.beside.works())
        waiting, queued = self._pledges.likely(self._now)
        return load_of(
            (work if isinstance(work, Work) else work.reckoned(speed) for work in works),
            waiting=waiting,
            queued=queued,
        )

    def most(self) -> int:
        """Requests at a time."""
        return self._most

    def company(self) -> int:
        """Requests that run, whoever's."""
        return len(self._running) + (0 if self.beside is None else self.beside.running)

    def free(self) -> int:
        """Requests for which the engine has room now."""
        return max(0, self._most - self.company() - len(self.held()))

    def room(self) -> int:
        """Requests that would be taken now: none while the node's own users wait."""
        return 0 if self.beside is not None and self.beside.waiting() else self.free()

    def statuses(self, *, ready: bool) -> list[Status]:
        """One for each model that is offered, without a sequence. `ready`: it would take requests at all."""
        load, room = self.load(), self.room() if ready else 0
        return [
            Status(
                provider=self._books.provider,
                offer_hash=offer_hash,
                sequence=0,
                room=room,
                running=load.running,
                waiting=load.waiting,
                context=load.context,
                queued=load.queued,
                parameters=self._claims.parameters,
                quantization=self._claims.quantization,
                speed=self.speed or UNKNOWN,
            )
            for offer_hash, _ in self._books.holding()
        ]

    @property
    def _now(self) -> Milliseconds:
        return self._books.clock.milliseconds()

    def _works(self) -> Iterator[Work | Unseen]:
        now = self._now
        for running in self._running.values():
            ask, meter = running.ask, running.meter
            tokens = meter.input_tokens or self._estimate(ask, meter.bounds.input_tokens)
            if ask.streamed:
                yield Work(
                    sequences=ask.choices,
                    input_tokens=tokens,
                    output_tokens=meter.output_tokens,
                    begun=meter.delivered,
                )
            else:
                yield Unseen(
                    sequences=ask.choices,
                    input_tokens=tokens,
                    most=meter.bounds.output_tokens,
                    elapsed_s=(now - meter.received_at) / 1000,
                )

    # ------------------------------------------------------------------------------------------- promising

    def require_room(self, expectation: Expectation | None) -> None:
        """Raises Busy. Whoever redeems a quote has room already, or will be told that it has not."""
        if isinstance(expectation, Redeemed):
            return
        if not self.free():
            raise Busy("As many requests run as this node allows.", required=self._most, actual=self._most)

    def require_taken(self, expectation: Expectation | None, ask: Ask) -> None:
        """The node's policy, and its own users, let it be taken; what was promised is. Raises Busy or
        Declined."""
        if self.beside is None or isinstance(expectation, Redeemed):
            return
        limit = None if ask.max_tokens is None else Tokens(ask.max_tokens * ask.choices)
        self.beside.require_taken(
            Request(
                model=ask.model,
                input_tokens=self._estimate(ask, ask.size),
                output_tokens=limit,
                own=False,
            )
        )

    def weigh(
        self, expectation: Expectation, tab: Tab, ask: Ask, offer_hash: Hash32, hashed: Hash32
    ) -> str | None:
        """The quote under which a request is taken, as it goes over the wire; None: nothing is known of the
        engine yet, and nothing promised.

        Raises
        ------
        Bounced :
            It would take longer than the payer tolerates.
        QuoteError :
            What it redeems holds no room for it.
        """
        estimate = self._estimate(ask, ask.size)
        if isinstance(expectation, Redeemed):
            redeemed = self._pledges.redeem(
                tab.channel.key.payer,
                expectation.quote,
                channel_id=tab.id,
                offer_hash=offer_hash,
                estimate=estimate,
                now=self._now,
            )
            size = Size(input_tokens=redeemed.input_tokens, output_tokens=redeemed.output_tokens)
            return quote_text(self._quoted(tab, offer_hash, size, redeemed.pace, hashed))
        size = plausible(expectation.size, estimate)
        fresh = self._fresh(size)
        if fresh is None:
            return None
        quoted = self._quoted(tab, offer_hash, size, fresh, hashed)
        if not expectation.tolerates(fresh):
            raise Bounced("It would take longer here than is expected.", quote=quoted)
        return quote_text(quoted)

    def release(self, tab: Tab) -> None:
        """Its payer asks again: what it was promised before is void."""
        self._pledges.release(tab.channel.key.payer)

    def answer(self, tab: Tab, asked: Inquiry) -> Signed[Quote]:
        """How long it would take now, with room held where there is some for quotes. Raises Unready or
        OfferError."""
        offer, size = self._books.standing(asked.offer_hash), asked.size
        if not fits(tokens := size.input_tokens + size.output_tokens, offer.context_length):
            raise ContextTooLong(
                "The model's context does not hold such a request.",
                required=offer.context_length,
                actual=tokens,
            )
        if self.beside is not None:
            self.beside.require_taken(
                Request(
                    model=offer.model,
                    input_tokens=size.input_tokens,
                    output_tokens=size.output_tokens,
                    own=False,
                )
            )
        payer, now = tab.channel.key.payer, self._now
        fresh = self._fresh(asked.size)
        if fresh is None:
            raise Unready("This node has not seen enough of its engine to promise anything.")
        given = quote(
            provider=self._books.provider,
            channel_id=tab.id,
            offer_hash=asked.offer_hash,
            size=asked.size,
            pace=fresh,
            valid_until=self._pledges.until(payer, now),
        )
        if given.valid_until:
            self._pledges.hold(payer, given, now)
        return self._books.sign_quote(given)

    def _estimate(self, ask: Ask, most: int) -> Tokens:
        return Tokens(min(most, self.lengths.tokens(ask.model, ask.size)))

    def _fresh(self, size: Size) -> Pace | None:
        speed = self.speed
        if speed is None:
            return None
        return pace(speed, self.load(), input_tokens=size.input_tokens, output_tokens=size.output_tokens)

    def _quoted(self, tab: Tab, offer_hash: Hash32, size: Size, found: Pace, hashed: Hash32) -> Signed[Quote]:
        return self._books.sign_quote(
            quote(
                provider=self._books.provider,
                channel_id=tab.id,
                offer_hash=offer_hash,
                size=size,
                pace=found,
                request_hash=hashed,
            )
        )

    # ---------------------------------------------------------------------------------------------- seeing

    def note(self, running: Running) -> None:
        """A request has ended."""
        ask, meter = running.ask, running.meter
        if not meter.input_tokens:
            return
        payer = running.tab.channel.key.payer
        self.lengths.learn(ask.model, ask.size, meter.input_tokens, payer)
        if not ask.streamed or not meter.delivered:
            return
        ended = Ended.of(
            payer,
            input_tokens=meter.input_tokens,
            output_tokens=meter.output_tokens,
            choices=ask.choices,
            came_at=meter.received_at,
            first_at=meter.first_token_at,
            now=self._now,
            company_before=running.company,
            company_after=self.company() + 1,
        )
        self.saw(ended)

    def saw(self, ended: Ended | None) -> None:
        """What an answer says of the engine, whoever's it was; None: nothing."""
        if ended is not None and self._claims.speed is None:
            self._history.add(ended)
            self._found = None
