"""How an own user's request finds its engine, as live nodes do it: policies say here or elsewhere, a payer's
rule orders the providers, what they say is haggled over, and what came of it is remembered.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tallystick.client.choose import Candidate, Choice, Known, Policy, Wanted, choose
from tallystick.client.haggling import Haggling, promises_enough
from tallystick.client.looking import UNHEARD_MS, candidate_of
from tallystick.client.quotes import PROBED
from tallystick.client.rules import quoted
from tallystick.client.searching import FIRST_PAUSE_S, LONGEST_PAUSE_S
from tallystick.ports import PostedOffer
from tallystick.protocol.expect import Expected, Redeemed, Size
from tallystick.protocol.length import TYPICAL_ANSWER
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.quote import Quote
from tallystick.protocol.speed import Pace, pace
from tallystick.protocol.status import Rating
from tallystick.protocol.units import ZERO_HASH, ChannelId, Hash32, Milliseconds, Timestamp, Tokens
from tallystick_node.gateway.quoting import quote
from tallystick_node.network.policies import SELLERS, Request, State
from tallystick_node.sim.world import MINIMUM_STAKE, MODEL, Job, Node, World

_AGAIN_S: Final = 0.5
"""As `network.own`: before a policy that is undecided is asked again."""
_UNHEARD_S: Final = UNHEARD_MS / 1000
_BUSY_MS: Final = 5_000
"""As `client.refusals`: for so long a provider that is busy, or declines, may change its mind."""
_CONNECT_S: Final = 0.5
"""As `client.searching`, while others are left."""
_CONNECT_ALONE_S: Final = 5.0


class Alone:
    """Every request is answered at home."""

    def arrived(self, world: World, job: Job) -> None:
        world.serve(job, job.home, own=True)


@dataclass(slots=True, eq=False)
class Attempt:
    """A job at its home's engine, or bought from somebody."""

    live: "Live"
    job: Job
    at: int
    sent_at: float = 0.0
    posted: PostedOffer | None = None
    """None: at home."""
    search: "Search | None" = None
    quoted: Pace | None = None
    """By its provider as it took it."""
    promised: Pace | None = None
    first_s: float = 0.0
    input: int = 0

    def began(self) -> None:
        if self.posted is None:
            return
        world = self.live.world
        self.first_s = world.now - self.sent_at
        if self.promised is not None:
            record = world.nodes[self.job.home].record
            record.begun(self.posted.offer.provider, self.promised, self.first_s, now=world.now_ms)

    def ended(self) -> None:
        home = self.live.world.nodes[self.job.home]
        if self.posted is None:
            home.record.ended(MODEL, self.job.output)
            self.live.freed(home)
        else:
            self.live.bought(home, self)

    def broke(self) -> None:
        if self.search is not None:
            self.search.broke(self)


class Live:
    """Of every node, by its own policy. Nodes buy by one rule."""

    def __init__(self, rule: Policy = quoted, *, shares: bool = True):
        """`shares`: payers tell each other what they found."""
        self.rule = rule
        self.shares = shares
        self.world: World
        self._said: dict[tuple[int, int], tuple[int, int, int]] = {}

    def arrived(self, world: World, job: Job) -> None:
        self.world = world
        home = world.nodes[job.home]
        if home.engine is None:
            Search(self, job).run()
        else:
            self._decide(home, job, waited=False)

    # ------------------------------------------------------------------------------- here or elsewhere

    def _decide(self, home: Node, job: Job, *, waited: bool) -> None:
        if not home.there:
            return
        wanted = self.wanted(home, job)
        choices = self.ordering(home, wanted, set(), {})
        elsewhere = choices[0].expected if choices else None
        request = self._request(job, own=True)
        state = self._state(home, request, elsewhere, len(choices[:SELLERS]))
        decision = home.spec.policy.offload(request, state)
        if waited and decision is not None:
            home.own_waiting -= 1
        if decision is None:
            if not waited:
                home.own_waiting += 1
            self.world.events.after(_AGAIN_S, lambda: self._decide(home, job, waited=True))
        elif decision:
            Search(self, job).run()
        else:
            self.serve_here(home, job)

    def serve_here(self, home: Node, job: Job) -> None:
        if home.own_running < home.slots:
            home.own_running += 1
            self.world.serve(job, home.index, Attempt(self, job, home.index), own=True)
        else:
            home.own_waiting += 1
            home.lobby.append(job)

    def freed(self, home: Node) -> None:
        """One of its own users' requests has left its engine."""
        home.own_running -= 1
        if home.lobby and home.own_running < home.slots:
            home.own_waiting -= 1
            self.serve_here(home, home.lobby.popleft())

    def failed(self, job: Job) -> None:
        """Nobody sold it."""
        home = self.world.nodes[job.home]
        if home.engine is not None and home.there:
            self.serve_here(home, job)

    def _request(self, job: Job, *, own: bool) -> Request:
        request = Request(model=MODEL, input_tokens=Tokens(job.input), output_tokens=None, own=own)
        if not own:
            return request
        record = self.world.nodes[job.home].record
        return replace(request, typical_output=record.typical_output(MODEL, TYPICAL_ANSWER))

    def _state(self, node: Node, request: Request, elsewhere: Pace | None = None, sellers: int = 0) -> State:
        assert node.engine is not None
        world = self.world
        load, now = node.load(world.now_ms), world.now_ms
        return State(
            now=now,
            seed=world.random.getrandbits(64),
            load=load,
            room=node.free(now),
            usage=node.usage(load),
            own_waiting=node.own_waiting,
            here=pace(
                node.engine.speed,
                load,
                input_tokens=request.input_tokens,
                output_tokens=request.expected_output,
            ),
            elsewhere=elsewhere,
            sellers=sellers,
        )

    # ------------------------------------------------------------------------------- whom to buy from

    def wanted(self, home: Node, job: Job) -> Wanted:
        return Wanted(
            model=MODEL,
            input_tokens=Tokens(job.input),
            output_tokens=None,
            seed=self.world.random.getrandbits(64),
            typical_output=home.record.typical_output(MODEL, TYPICAL_ANSWER),
            minimum_stake=MINIMUM_STAKE,
        )

    def ordering(
        self, home: Node, wanted: Wanted, gone: Container[Hash32], quoted: Mapping[Hash32, Pace]
    ) -> Sequence[Choice]:
        world = self.world
        index, own, now, now_ms = world.index, home.address, world.events.now, world.now_ms

        def look(posted: PostedOffer) -> Candidate | None:
            provider = posted.offer.provider
            if provider == own or posted.offer_hash in gone:
                return None
            return self._candidate(home, index[provider], posted, quoted, now, now_ms)

        return choose(Known(world.chain.offers, look), wanted, self.rule, now=Timestamp(0), local=True)

    def _candidate(
        self,
        home: Node,
        i: int,
        posted: PostedOffer,
        quoted: Mapping[Hash32, Pace],
        now: float,
        now_ms: Milliseconds,
    ) -> Candidate:
        news = self.world.news
        told = news.heard(home.index, i, now)
        pending = tokens = 0
        if mine := home.underway.get(i):
            since = -1.0 if told is None else told.at - _UNHEARD_S
            for at, input_tokens in mine:
                if at >= since:
                    pending += 1
                    tokens += input_tokens
        return candidate_of(
            posted,
            home.record,
            status=None if told is None else told.status,
            age_ms=0 if told is None else int(1_000 * (now - told.at)),
            suspected=news.is_suspected(i, now),
            shared=news.ratio[i] if self.shares else 1.0,
            pending=pending,
            pending_tokens=Tokens(tokens),
            quoted=quoted.get(posted.offer_hash) if quoted else None,
            now=now_ms,
        )

    # ------------------------------------------------------------------------------- what came of it

    def bought(self, home: Node, attempt: Attempt) -> None:
        """An answer is here to its end, and paid."""
        world, job, posted = self.world, attempt.job, attempt.posted
        assert posted is not None
        provider = posted.offer.provider
        record, now_ms = home.record, world.now_ms
        self.left(home, attempt)
        record.answered(provider, MODEL, job.output)
        if attempt.promised is not None:
            since_first = world.now - attempt.sent_at - attempt.first_s
            seen = Pace(attempt.first_s, since_first / max(1, job.output - 1))
            record.observe(provider, attempt.promised, seen, job.output, now=now_ms)
            if self.shares:
                self._rate(home, attempt.at)
        cost = cost_up(posted.offer, input_tokens=job.input, cached_input_tokens=0, output_tokens=job.output)
        job.outcome.cost += cost
        home.spent += cost
        world.nodes[attempt.at].earned += cost

    def _rate(self, home: Node, at: int) -> None:
        """Tells others, seldom."""
        world, provider = self.world, self.world.nodes[at].address
        ratio, count = home.record.rating(provider)
        last = self._said.get((home.index, at))
        now = world.now_ms
        if last is not None and now - last[2] < 12_000:
            return
        self._said[home.index, at] = ratio, count, now
        rating = Rating(
            payer=home.address,
            provider=provider,
            session_key=home.address,
            epoch=0,
            sequence=now,
            ratio=ratio,
            count=count,
            receipt_hash=ZERO_HASH,
        )
        world.counts["ratings"] += 1
        world.events.after(1.0, world.news.rate, at, home.index, rating)

    def left(self, home: Node, attempt: Attempt) -> None:
        """Nothing of it is under way there any more."""
        home.underway[attempt.at].remove((attempt.sent_at, attempt.input))


class Search:
    """One request's way from provider to provider, as `client.searching` has it."""

    __slots__ = (
        "_again", "_gone", "_haggling", "_home", "_last", "_live", "_order", "_patience", "_pause", "_place",
        "_started", "_wanted", "_world", "job",
    )  # fmt: skip

    def __init__(self, live: Live, job: Job):
        self.job = job
        self._live = live
        self._world = live.world
        self._home = live.world.nodes[job.home]
        self._started = live.world.now
        self._pause = FIRST_PAUSE_S
        self._gone: set[Hash32] = set()
        self._last: set[Hash32] = set()
        self._patience = 0
        self._again = False
        self._order: Sequence[Choice] = ()
        self._place = 0
        self._want()

    def _want(self) -> None:
        self._wanted = wanted = self._live.wanted(self._home, self.job)
        self._haggling = Haggling(
            Size(input_tokens=wanted.input_tokens, output_tokens=wanted.expected_output)
        )

    def run(self) -> None:
        """A round: the candidates as they stand now."""
        if not self._home.there:
            return
        self._patience, self._again = 0, False
        haggling = self._haggling
        ordering = self._live.ordering(self._home, self._wanted, self._gone, haggling.quoted)
        if haggling.asks and ordering:
            self._ask_for_quotes(ordering)
            return
        if self._last:
            ordering = sorted(ordering, key=lambda choice: choice.posted.offer_hash in self._last)
        self._order, self._place = ordering, 0
        self._next()

    def _next(self) -> None:
        if self._again:
            self.run()
        elif some := self._order[self._place : self._place + 2]:
            self._place += 1
            self._send(some[0], is_last=len(some) == 1)
        elif 1_000 * (self._world.now - self._started) >= self._patience:
            self._live.failed(self.job)
        else:
            self._world.events.after(self._pause, self._round_again)
            self._pause = min(self._pause * 1.6, LONGEST_PAUSE_S)

    def _round_again(self) -> None:
        self._wanted = self._live.wanted(self._home, self.job)
        self.run()

    # ---------------------------------------------------------------------------------- on its way

    def _send(self, choice: Choice, *, is_last: bool) -> None:
        world, posted = self._world, choice.posted
        at = world.index[posted.offer.provider]
        attempt = Attempt(self._live, self.job, at, world.now, posted, self, input=self.job.input)
        self._home.underway.setdefault(at, []).append((attempt.sent_at, attempt.input))
        says = self._haggling.says(posted, choice.expected)
        world.counts["requests"] += 1
        if not world.nodes[at].there or world.links.loses(world.random):
            alone = is_last or posted.offer_hash in self._last
            world.events.after(_CONNECT_ALONE_S if alone else _CONNECT_S, self._timed_out, attempt, alone)
            return
        way = world.way_s(self.job.home, at)
        world.events.after(way, self._reached, attempt, says)

    def _timed_out(self, attempt: Attempt, alone: bool) -> None:
        self._live.left(self._home, attempt)
        assert attempt.posted is not None
        self._home.record.failed(attempt.posted.offer.provider, now=self._world.now_ms)
        if alone:
            self._gone.add(attempt.posted.offer_hash)
        else:
            self._last.add(attempt.posted.offer_hash)
            self._again = True
        self._next()

    def _reached(self, attempt: Attempt, says: Expected | Redeemed | None) -> None:
        """At the provider."""
        world, job, posted = self._world, self.job, attempt.posted
        assert posted is not None
        node = world.nodes[attempt.at]
        now_ms = world.now_ms
        way = world.way_s(job.home, attempt.at)
        if not node.there:
            world.events.after(_CONNECT_S, self._timed_out, attempt, False)
            return
        if isinstance(says, Redeemed):
            held = next(
                (item for item in node.pledges.held(now_ms) if item.struct_hash() == says.quote), None
            )
            if held is None:
                world.events.after(way, self._refused, attempt, says, 0, None)
                return
            node.pledges.redeem(
                self._home.address,
                says.quote,
                channel_id=held.channel_id,
                offer_hash=held.offer_hash,
                estimate=Tokens(job.input),
                now=now_ms,
            )
            attempt.quoted = attempt.promised = held.pace
        else:
            if not self._takes(node):
                world.events.after(way, self._refused, attempt, says, _BUSY_MS, None)
                return
            if says is not None:
                fresh = self._fresh(node, says.size)
                if not says.tolerates(fresh):
                    quote_ = self._quote(node, posted, says.size, fresh, Milliseconds(0))
                    world.events.after(way, self._refused, attempt, says, 0, quote_)
                    return
                output = says.size.output_tokens
                attempt.quoted = fresh
                attempt.promised = min((says.pace, fresh), key=lambda pace: pace.total_s(output))
        world.serve(job, attempt.at, attempt)

    def _takes(self, node: Node) -> bool:
        if node.leaving or not node.free(self._world.now_ms) or node.own_waiting:
            return False
        request = self._live._request(self.job, own=False)
        return node.spec.policy.accept(request, self._live._state(node, request))

    def _fresh(self, node: Node, size: Size) -> Pace:
        assert node.engine is not None
        load = node.said_load(self._world.now_ms)
        return pace(node.engine.speed, load, input_tokens=size.input_tokens, output_tokens=size.output_tokens)

    def _quote(self, node: Node, posted: PostedOffer, size: Size, found: Pace, until: Milliseconds) -> Quote:
        return quote(
            provider=node.address,
            channel_id=ChannelId(self._home.address.rjust(32, b"\0")),
            offer_hash=posted.offer_hash,
            size=size,
            pace=found,
            valid_until=until,
        )

    def _refused(
        self, attempt: Attempt, says: Expected | Redeemed | None, patience: int, said: Quote | None
    ) -> None:
        self._live.left(self._home, attempt)
        posted, haggling = attempt.posted, self._haggling
        assert posted is not None
        if said is not None and not promises_enough(said, says):
            self.job.outcome.bounces += 1
            self._world.counts["bounces"] += 1
            haggling.bounced(posted, said, most=Tokens(self.job.input))
            self._again = True
        elif posted.offer_hash in haggling.held:
            haggling.spent(posted)
            self._last.add(posted.offer_hash)
            self._again = True
        else:
            self._patience = max(self._patience, patience)
            if not patience:
                self._home.record.failed(posted.offer.provider, now=self._world.now_ms)
                self._gone.add(posted.offer_hash)
        self._next()

    def broke(self, attempt: Attempt) -> None:
        """The provider is gone, and somebody else is to go on."""
        self._live.left(self._home, attempt)
        posted = attempt.posted
        assert posted is not None
        self._home.record.failed(posted.offer.provider, now=self._world.now_ms)
        self.job.outcome.moves += 1
        self._gone.add(posted.offer_hash)
        self._started = self._world.now
        self._want()
        self.run()

    # ---------------------------------------------------------------------------------- asking first

    def _ask_for_quotes(self, ordering: Sequence[Choice]) -> None:
        world = self._world
        asked = [choice.posted for choice in ordering[:PROBED]]
        quotes: dict[Hash32, Quote] = {}
        self.job.outcome.probes += len(asked)
        world.counts["probes"] += len(asked)
        wait = 0.0
        for posted in asked:
            at = world.index[posted.offer.provider]
            way = world.way_s(self.job.home, at)
            wait = max(wait, 2 * way)
            world.events.after(way, self._asked, posted, at, quotes)
        world.events.after(wait, self._answered, quotes)

    def _asked(self, posted: PostedOffer, at: int, quotes: dict[Hash32, Quote]) -> None:
        """At the provider."""
        node, now_ms = self._world.nodes[at], self._world.now_ms
        if not node.there or node.leaving or node.own_waiting:
            return
        payer = self._home.address
        found = self._fresh(node, self._haggling.size)
        given = self._quote(node, posted, self._haggling.size, found, node.pledges.until(payer, now_ms))
        if given.valid_until:
            node.pledges.hold(payer, given, now_ms)
        quotes[posted.offer_hash] = given

    def _answered(self, quotes: dict[Hash32, Quote]) -> None:
        self._haggling.answered(quotes)
        self.run()
