"""One request's way from provider to provider on the simulated network, as `client.searching` has it: it is
refused, bounced, asked about, taken, broken off. `client.standing` decides; messages take their time, or are
lost.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tallystick.client.choose import Choice, Known, Wanted, size_of
from tallystick.client.delivering import RESUMING
from tallystick.client.haggling import held_to
from tallystick.client.quotes import ASKING_S, PROBED
from tallystick.client.refusals import PASSING
from tallystick.client.standing import CONNECT_S, Standing
from tallystick.ports import PostedOffer
from tallystick.protocol.errors import QuoteError
from tallystick.protocol.expect import Expected, Redeemed, Size
from tallystick.protocol.length import fits
from tallystick.protocol.quote import Quote
from tallystick.protocol.speed import Load, Pace, pace
from tallystick.protocol.units import ChannelId, Hash32, Milliseconds, Tokens
from tallystick_node.gateway.load import IDLE
from tallystick_node.gateway.quoting import quote
from tallystick_node.gateway.tab import Reservation
from tallystick_node.sim.crediting import Credits
from tallystick_node.sim.world import Job, Node

if TYPE_CHECKING:
    from tallystick_node.sim.dispatch import Live

CALLER_S: Final = 5.0
"""As `network.origin`, which loads more than a simulation needs: to connect in, where nobody else is left."""


class Attempt:
    """A request under way at one provider."""

    __slots__ = (
        "at", "first_s", "held", "input", "job", "live", "posted", "promised", "quoted", "reservation",
        "search", "sent_at",
    )  # fmt: skip

    def __init__(self, search: "Search", at: int, posted: PostedOffer):
        self.search = search
        self.live = search.live
        self.job = search.job
        self.at = at
        self.posted = posted
        self.input = self.job.input
        self.sent_at = self.live.world.events.now
        self.first_s = 0.0
        self.reservation: Reservation | None = None
        """Of its payer's credit there, where that may run out."""
        self.held = 0
        """The number under which its provider holds credit for it; zero: none."""
        self.quoted: Pace | None = None
        """By its provider, as it took it."""
        self.promised: Pace | None = None
        """What its provider is held to."""

    def began(self) -> None:
        world = self.live.world
        self.first_s = world.events.now - self.sent_at
        if self.promised is not None:
            record = world.nodes[self.job.home].record
            record.begun(self.posted.offer.provider, self.promised, self.first_s, now=world.now_ms)

    def ended(self) -> None:
        self.search.leave(self)
        self.live.bought(self.search.home, self)

    def broke(self) -> None:
        self.search.broke(self)


class Search:
    """Of one request."""

    __slots__ = (
        "_foreseen", "_order", "_place", "_standing", "_started_ms", "_wanted", "_world", "home", "job",
        "live",
    )  # fmt: skip

    def __init__(
        self, live: "Live", job: Job, wanted: Wanted | None = None, foreseen: Sequence[Choice] | None = None
    ):
        """`foreseen`: at this moment, by what was decided to buy it; of `wanted`."""
        self.live = live
        self.job = job
        self._world = world = live.world
        self.home = home = world.nodes[job.home]
        self._started_ms = world.now_ms
        self._wanted = live.wanted(home, job) if wanted is None else wanted
        self._standing = Standing(size_of(self._wanted))
        self._foreseen = foreseen
        self._order: Sequence[Choice] = ()
        self._place = 0

    def run(self) -> None:
        """A round: the candidates as they stand now."""
        if not self.home.there:
            return
        standing = self._standing
        standing.begin_round()
        haggling = standing.haggling
        ordering, self._foreseen = self._foreseen, None
        if ordering is None:
            known = self.live.known(self.home, standing.gone, haggling.quoted)
            ordering = self.live.ordering(self._wanted, known)
        self._order, self._place = standing.arranged(ordering), 0
        self._next()

    def _next(self) -> None:
        if self._standing.again:
            if self._standing.haggling.asks:
                self._ask_for_quotes(self._order[self._place - 1 : self._place - 1 + PROBED])
            else:
                self.run()
            return
        some = self._order[self._place : self._place + 2]
        if some:
            self._place += 1
            self._send(some[0], is_last=len(some) == 1)
            return
        pause = self._standing.pause_s(self._world.now_ms - self._started_ms)
        if pause is None:
            self.live.unsold(self.job)
        else:
            self._world.events.after(pause, self._round_again)

    def _round_again(self) -> None:
        self._wanted = self.live.wanted(self.home, self.job)
        self.run()

    def leave(self, attempt: Attempt) -> None:
        """Nothing of it is under way there any more."""
        if attempt.held:
            credits = self._world.nodes[attempt.at].credits
            assert credits is not None
            credits.release(self.home.address, attempt.held)
        underway = self.home.underway
        mine = underway[attempt.at]
        if len(mine) == 1:
            del underway[attempt.at]
        else:
            mine.remove(attempt)

    # ---------------------------------------------------------------------------------- on its way

    def _send(self, choice: Choice, *, is_last: bool) -> None:
        world, posted = self._world, choice.posted
        at = world.index[posted.offer.provider]
        attempt = Attempt(self, at, posted)
        underway = self.home.underway.get(at)
        if underway is None:
            self.home.underway[at] = [attempt]
        else:
            underway.append(attempt)
        haggling = self._standing.haggling
        says = haggling.says(posted, choice.expected)
        if says is None and (word := haggling.words.get(posted.offer_hash)) is not None:
            attempt.promised = word.pace
        hurried = self._standing.is_hurried(posted, is_last=is_last)
        world.counts["requests"] += 1
        within = CONNECT_S if hurried else CALLER_S
        late = world.links.connects_late_s(world.random)
        if late >= within:
            world.events.after(within, self._unreached, attempt, hurried)
        else:
            world.events.after(late + world.way_s(self.job.home, at), self._reached, attempt, says)

    def _unreached(self, attempt: Attempt, hurried: bool) -> None:
        self.leave(attempt)
        self.home.record.failed(attempt.posted.offer.provider, now=self._world.now_ms)
        self._standing.unreached(attempt.posted, hurried=hurried)
        self._next()

    def _back(self, attempt: Attempt) -> float:
        """Seconds that its provider's word takes."""
        world = self._world
        return world.way_s(self.job.home, attempt.at) + world.links.late_s(world.random)

    def _refused(
        self,
        attempt: Attempt,
        says: Expected | Redeemed | None,
        patience: int,
        bounce: Quote | None,
        failing: bool = True,
    ) -> None:
        self.leave(attempt)
        posted = attempt.posted
        held_against = self._standing.refused(
            posted,
            patience=patience,
            failing=failing,
            bounce=bounce,
            expect=says,
            most=Tokens(self.job.input),
        )
        if bounce is not None:
            self.job.outcome.bounces += 1
            self._world.counts["bounces"] += 1
        else:
            self._world.counts["refusals"] += 1
        if held_against:
            self.home.record.failed(posted.offer.provider, now=self._world.now_ms)
        self._next()

    def broke(self, attempt: Attempt) -> None:
        """The connection broke in mid-answer. It is asked once more for the rest, and does not connect; what
        came is paid, and somebody else goes on."""
        job, world = self.job, self._world
        if came := job.input - attempt.input:
            self.live.pay(self.home, attempt, came)
        wait = RESUMING[0] + 2 * world.way_s(job.home, attempt.at)
        world.events.after(wait, self._go_on, attempt)

    def _go_on(self, attempt: Attempt) -> None:
        if not self.home.there:
            return
        self.leave(attempt)
        self.home.record.failed(attempt.posted.offer.provider, now=self._world.now_ms)
        self.job.outcome.moves += 1
        self._wanted = self.live.wanted(self.home, self.job)
        self._standing.broke_off(attempt.posted, size_of(self._wanted))
        self._next()

    # ---------------------------------------------------------------------------------- at the provider

    def _reached(self, attempt: Attempt, says: Expected | Redeemed | None) -> None:
        world = self._world
        node = world.nodes[attempt.at]
        if not node.there:  # Its machine says that nobody listens.
            world.events.after(self._back(attempt), self._unreached, attempt, False)
            return
        if node.leaving:
            world.events.after(self._back(attempt), self._refused, attempt, says, 0, None)
            return
        if not node.holds(self.job):  # Its payer's mistake, not its own.
            world.events.after(self._back(attempt), self._refused, attempt, says, 0, None, False)
            return
        load = IDLE
        if not isinstance(says, Redeemed):
            taken = self._taken(node)
            if taken is None:
                world.events.after(self._back(attempt), self._refused, attempt, says, PASSING, None)
                return
            load = taken
        if node.credits is not None and not self._has_credit(node, node.credits, attempt, says):
            return
        if isinstance(says, Redeemed):
            self._redeem(node, attempt, says)
        elif says is None or self._promises(node, attempt, says, load):
            self._serve(attempt)

    def _has_credit(
        self, node: Node, credits: Credits, attempt: Attempt, says: Expected | Redeemed | None
    ) -> bool:
        """As `gateway.admission`."""
        weighed = credits.weighed(self.home.address, attempt.posted.offer, self.job.input)
        if isinstance(weighed, Reservation):
            attempt.reservation = weighed
            return True
        patience = weighed.error().patience
        back = self._back(attempt)
        self._world.events.after(back, self._refused, attempt, says, patience, None, False)
        return False

    def _serve(self, attempt: Attempt) -> None:
        """It is taken. Should it break off, there is another order."""
        self._order = ()
        credits = self._world.nodes[attempt.at].credits
        if credits is not None and attempt.reservation is not None:
            attempt.held = credits.hold(self.home.address, attempt.reservation)
        self._world.serve(self.job, attempt.at, attempt)

    def _redeem(self, node: Node, attempt: Attempt, says: Redeemed) -> None:
        world, payer = self._world, self.home.address
        try:
            given = node.pledges.redeem(
                payer,
                says.quote,
                channel_id=_channel(payer),
                offer_hash=attempt.posted.offer_hash,
                estimate=Tokens(self.job.input),
                now=world.now_ms,
            )
        except QuoteError:
            world.events.after(self._back(attempt), self._refused, attempt, says, 0, None)
            return
        attempt.quoted = attempt.promised = given.pace
        self._serve(attempt)

    def _taken(self, node: Node) -> Load | None:
        """As `gateway.promises`: there is room, no own user waits, and the policy lets it. Its load before;
        None: it is not taken."""
        if node.own_waiting or not node.free(self._world.now_ms):
            return None
        return self._accepted(node)

    def _accepted(self, node: Node) -> Load | None:
        request = self.live.request(self.job, own=False)
        state = self.live.state(node, request)
        return state.load if node.spec.policy.accept(request, state) else None

    def _promises(self, node: Node, attempt: Attempt, says: Expected, load: Load) -> bool:
        """Whether it takes about as long as is expected; else it is bounced."""
        fresh = self._fresh(node, says.size, load)
        if says.tolerates(fresh):
            attempt.quoted = fresh
            attempt.promised = held_to(says, fresh)
            return True
        given = self._quote(node, attempt.posted, says.size, fresh, Milliseconds(0))
        self._world.events.after(self._back(attempt), self._refused, attempt, says, 0, given)
        return False

    def _fresh(self, node: Node, size: Size, load: Load) -> Pace:
        assert node.engine is not None
        return pace(node.engine.speed, node.said(load), size.input_tokens, size.output_tokens)

    def _quote(self, node: Node, posted: PostedOffer, size: Size, found: Pace, until: Milliseconds) -> Quote:
        return quote(
            provider=node.address,
            channel_id=_channel(self.home.address),
            offer_hash=posted.offer_hash,
            size=size,
            pace=found,
            valid_until=until,
        )

    # ---------------------------------------------------------------------------------- asking first

    def _ask_for_quotes(self, ordering: Sequence[Choice]) -> None:
        world = self._world
        asked = [choice.posted for choice in ordering]
        quotes: dict[Hash32, Quote] = {}
        self.job.outcome.probes += len(asked)
        world.counts["probes"] += len(asked)
        answers = []
        for posted in asked:
            at = world.index[posted.offer.provider]
            there = world.way_s(self.job.home, at) + world.links.connects_late_s(world.random)
            back = world.way_s(self.job.home, at) + world.links.late_s(world.random)
            if there + back < ASKING_S:
                world.events.after(there, self._asked, posted, at, quotes)
            answers.append(there + back if world.nodes[at].there else ASKING_S)
        world.events.after(min(ASKING_S, max(answers)), self._answered, asked, quotes)

    def _asked(self, posted: PostedOffer, at: int, quotes: dict[Hash32, Quote]) -> None:
        """At the provider."""
        node, now_ms = self._world.nodes[at], self._world.now_ms
        if not node.there or node.leaving or node.own_waiting:
            return
        load = self._accepted(node)
        if load is None:
            return
        payer, size = self.home.address, self._standing.haggling.size
        if not fits(size.input_tokens + size.output_tokens, posted.offer.context_length):
            return
        given = self._quote(
            node, posted, size, self._fresh(node, size, load), node.pledges.until(payer, now_ms)
        )
        if given.valid_until:
            node.pledges.hold(payer, given, now_ms)
        quotes[posted.offer_hash] = given

    def _answered(self, asked: Sequence[PostedOffer], quotes: dict[Hash32, Quote]) -> None:
        self._standing.haggling.answered(quotes)
        for posted in asked:
            if posted.offer_hash not in quotes:
                self.home.record.failed(posted.offer.provider, now=self._world.now_ms)
        if not self.home.there:
            return
        standing = self._standing
        said = [posted for posted in asked if posted.offer_hash in quotes]
        known = self.live.known(self.home, standing.gone, standing.haggling.quoted)
        best = self.live.ordering(self._wanted, Known.of(said, known.look))
        standing.begin_round()
        self._order, self._place = standing.arranged(standing.after_quotes(self._order, asked, best)), 0
        self._next()


def _channel(payer: bytes) -> ChannelId:
    return ChannelId(payer.rjust(32, b"\0"))
