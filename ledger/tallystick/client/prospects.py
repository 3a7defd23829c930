"""Who could serve a request now, in the order of the payer's rule.

What there is to know: the offers on chain, what is heard of their providers, and what the payer knows itself
(its record, and what it has under way there).
"""

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

from tallystick.client.ask import Ask
from tallystick.client.avoidance import Avoidance
from tallystick.client.choose import Candidate, Choice, Known, Offers, Rule, Wanted, by_model, choose
from tallystick.client.flow import Flow
from tallystick.client.listing import AGAIN_AFTER, GOOD_FOR, Listing
from tallystick.client.looking import UNHEARD_MS, candidate_of
from tallystick.client.record import Record
from tallystick.client.rules import steered
from tallystick.client.steering import STRICT, Steering
from tallystick.ports import Outlook, PostedOffer
from tallystick.protocol.length import TYPICAL_ANSWER
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Address, Hash32, Milliseconds, Timestamp, Tokens


class Underway:
    """Requests of this payer that run somewhere."""

    def __init__(self, now: Callable[[], Milliseconds]):
        self._now = now
        self._running: dict[object, tuple[Address, Milliseconds, Tokens]] = {}
        self._lock = Lock()

    @contextmanager
    def at(self, provider: Address, input_tokens: Tokens) -> Iterator[None]:
        """One is under way there, as long as this is held."""
        key = object()
        with self._lock:
            self._running[key] = provider, self._now(), input_tokens
        try:
            yield
        finally:
            with self._lock:
                del self._running[key]

    def since(self, provider: Address, milliseconds: int | None) -> tuple[int, Tokens]:
        """(number, input tokens) of those that were begun at most so long ago; None: all of them."""
        earliest = 0 if milliseconds is None else self._now() - milliseconds
        with self._lock:
            inputs = [
                tokens
                for where, begun_at, tokens in self._running.values()
                if where == provider and begun_at >= earliest
            ]
        return len(inputs), Tokens(sum(inputs))


class Prospects:
    """Of one payer."""

    def __init__(
        self,
        *,
        listing: Listing,
        outlook: Outlook,
        record: Record,
        avoidance: Avoidance,
        rule: Rule,
        avoids: frozenset[Address],
        now: Callable[[], Milliseconds],
        local: bool,
        refresh: Callable[[], None],
    ):
        """`local`: as of `reachable_safely`. `refresh` has the offers looked up anew, in the background."""
        self.underway = Underway(now)
        self.record = record
        self.rule = rule
        self._avoids = avoids
        self._listing = listing
        self._outlook = outlook
        self._avoidance = avoidance
        self._now = now
        self._local = local
        self._refresh = refresh
        self._laid_out: tuple[Sequence[PostedOffer], Mapping[str, Offers]] = (), {}
        """The offers as last looked up, by model."""

    def wanted(self, ask: Ask, seed: int) -> Wanted:
        """What `ask` needs."""
        return Wanted(
            model=ask.model,
            input_tokens=min(ask.input_bound, self.record.inputs.tokens(ask.model, ask.size)),
            output_tokens=ask.output_limit,
            seed=seed,
            typical_output=self.record.typical_output(ask.model, TYPICAL_ANSWER),
            fallbacks=ask.fallbacks,
            steering=ask.steering,
            answers=ask.answers,
        )

    def ordering(
        self, wanted: Wanted, *, gone: Collection[Hash32], quoted: Mapping[Hash32, Pace]
    ) -> Flow[Sequence[Choice]]:
        """The order in which to try them, by offer hash without those that are `gone`; `quoted` is what they
        said themselves of this request."""
        chosen: Sequence[Choice] = ()
        for at_most in (GOOD_FOR, AGAIN_AFTER):
            offers = yield from self._listing.offers(at_most=at_most)
            chosen = self._chosen(offers, wanted, quoted, gone)
            if chosen or gone:
                break
        if self._listing.wants_refresh:
            self._refresh()
        return chosen

    def foreseen(self, wanted: Wanted) -> Sequence[Choice]:
        """The order in which they would be tried by what is known already: nobody is asked, nothing waits."""
        return self._chosen(self._listing.known, wanted, {})

    def among(
        self, offers: Sequence[PostedOffer], wanted: Wanted, *, quoted: Mapping[Hash32, Pace]
    ) -> Sequence[Choice]:
        """The order of these alone."""
        return self._of(by_model(offers), wanted, quoted)

    def unmet(self, wanted: Wanted) -> str | None:
        """The wish that leaves nobody of those that are known to sell it; None: the wishes are not why."""
        others = self.foreseen(replace(wanted, steering=Steering()))
        if not others or self.foreseen(wanted):
            return None
        steering, unit = wanted.steering, self._listing.terms.unit
        seen = [(choice.posted, self._outlook.seen(choice.posted)) for choice in others]
        wishes = [steering.unmet(posted, known, unit=unit) for posted, known in seen]
        return "order" if None in wishes else max(filter(None, wishes), key=STRICT.index)

    def _chosen(
        self,
        offers: Sequence[PostedOffer],
        wanted: Wanted,
        quoted: Mapping[Hash32, Pace],
        gone: Container[Hash32] = (),
    ) -> Sequence[Choice]:
        if self._laid_out[0] is not offers:
            self._laid_out = offers, by_model(offers)
        return self._of(self._laid_out[1], wanted, quoted, gone)

    def _of(
        self,
        models: Mapping[str, Offers],
        wanted: Wanted,
        quoted: Mapping[Hash32, Pace],
        gone: Container[Hash32] = (),
    ) -> Sequence[Choice]:
        terms = self._listing.terms

        def look(posted: PostedOffer) -> Candidate | None:
            return None if posted.offer_hash in gone else self._candidate(posted, quoted)

        return choose(
            Known(models, look),
            replace(wanted, minimum_stake=terms.minimum_stake, unit=terms.unit),
            steered(self.rule, wanted.steering),
            now=Timestamp(self._now() // 1000),
            local=self._local,
            avoided=self._avoidance.out | self._avoids,
        )

    def _candidate(self, posted: PostedOffer, quoted: Mapping[Hash32, Pace]) -> Candidate:
        seen = self._outlook.seen(posted)
        if posted.offer.provider in self._avoidance.last:
            seen = replace(seen, suspected=True)
        pending, tokens = self.underway.since(
            posted.offer.provider, None if seen.status is None else seen.age_ms + UNHEARD_MS
        )
        said = quoted.get(posted.offer_hash)
        return candidate_of(posted, self.record, seen, pending, tokens, said, self._now())
