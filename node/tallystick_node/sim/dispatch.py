"""How an own user's request finds its engine, as live nodes do it: the policy says here or elsewhere, a
payer's rule orders the providers, and what came of it is remembered. `search` goes from one to the next.
"""

from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from tallystick.client.choose import Candidate, Choice, Known, Rule, Wanted, choose
from tallystick.client.looking import UNHEARD_MS, candidate_of
from tallystick.client.record import is_news
from tallystick.client.rules import quoted
from tallystick.ports import PostedOffer, Seen
from tallystick.protocol.length import TYPICAL_ANSWER
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.speed import Pace
from tallystick.protocol.status import Rating
from tallystick.protocol.units import ZERO_HASH, Hash32, Milliseconds, Timestamp, Tokens
from tallystick_node.network.participation import here_of
from tallystick_node.network.policies import AGAIN_S, COUNTED, Request, State, offloads
from tallystick_node.sim.search import Attempt, Search
from tallystick_node.sim.world import MINIMUM_STAKE, Job, Node, World

_UNHEARD_S: Final = UNHEARD_MS / 1000
_NO_QUOTES: Final[Mapping[Hash32, Pace]] = MappingProxyType({})
_TOLD_AFTER_S: Final = 1.0
"""A rating is heard by others, in the mean."""

__all__ = ["Alone", "Attempt", "Live"]


class Alone:
    """Every request is answered at home."""

    def arrived(self, world: World, job: Job) -> None:
        if world.nodes[job.home].holds(job):
            world.serve(job, job.home)
        else:
            world.counts["too long"] += 1


class Here:
    """A job at its home's engine."""

    __slots__ = ("_home", "_job", "_live")

    def __init__(self, live: "Live", home: Node, job: Job):
        self._live = live
        self._home = home
        self._job = job

    def began(self) -> None:
        pass

    def ended(self) -> None:
        self._home.record.ended(self._home.spec.model, self._job.output)
        self._live.freed(self._home)

    def broke(self) -> None:
        pass  # Its user is gone with it.


class Live:
    """Of every node, by its own policy. Nodes buy by one rule."""

    def __init__(self, rule: Rule = quoted, *, shares: bool = True):
        """`shares`: payers tell each other what they found."""
        self.rule = rule
        self.shares = shares
        self.world: World
        self._said: dict[tuple[int, int], tuple[int, int, Milliseconds]] = {}
        """By payer and provider, the last rating: ratio, answers, and when."""

    def arrived(self, world: World, job: Job) -> None:
        self.world = world
        home = world.nodes[job.home]
        if home.engine is None:
            Search(self, job).run()
        else:
            self._decide(home, job, None)

    # ------------------------------------------------------------------------------- here or elsewhere

    def _decide(self, home: Node, job: Job, since: float | None) -> None:
        """`since`: its policy is undecided so long already."""
        if not home.there:
            return
        wanted = self.wanted(home, job)
        choices = self.ordering(wanted, self.known(home))
        elsewhere = choices[0].expected if choices else None
        request = self.request(job, own=True)
        state = self.state(home, request, elsewhere, len(choices[:COUNTED]), holds=home.holds(job))
        decision = offloads(home.spec.policy, request, state)
        if since is not None and decision is not None:
            home.own_waiting -= 1
        if decision is None:
            self._wait_undecided(home, job, since)
        elif decision:
            Search(self, job, wanted, choices).run()
        else:
            self.serve_here(home, job)

    def _wait_undecided(self, home: Node, job: Job, since: float | None) -> None:
        """Until its policy is asked again."""
        world = self.world
        if since is None:
            if not self._may_wait(home):
                return
            home.own_waiting += 1
            since = world.now
        elif world.limits is not None and world.now - since >= world.limits.waiting_s:
            home.own_waiting -= 1
            world.counts["crowded"] += 1
            return
        world.events.after(AGAIN_S, self._decide, home, job, since)

    def serve_here(self, home: Node, job: Job) -> None:
        """At its own engine, where its own users have as many places as it has. What that cannot hold it
        refuses: a miss."""
        if not home.holds(job):
            self.world.counts["too long"] += 1
        elif home.own_running < home.slots:
            home.own_running += 1
            self.world.serve(job, home.index, Here(self, home, job))
        elif self._may_wait(home):
            home.own_waiting += 1
            home.lobby.append(job)
            if (limits := self.world.limits) is not None:
                self.world.events.after(limits.waiting_s, self._give_up, home, job)

    def _may_wait(self, home: Node) -> bool:
        """As `network.lobby`. Who may not is refused: a miss."""
        limits = self.world.limits
        if limits is None or home.own_waiting < limits.waiting:
            return True
        self.world.counts["crowded"] += 1
        return False

    def _give_up(self, home: Node, job: Job) -> None:
        """It has waited as long as it may, if it waits still."""
        if job in home.lobby:
            home.lobby.remove(job)
            home.own_waiting -= 1
            self.world.counts["crowded"] += 1

    def freed(self, home: Node) -> None:
        """One of its own users' requests has left its engine."""
        home.own_running -= 1
        if home.lobby and home.own_running < home.slots:
            home.own_waiting -= 1
            self.serve_here(home, home.lobby.popleft())

    def unsold(self, job: Job) -> None:
        """Nobody sold it."""
        home = self.world.nodes[job.home]
        if home.engine is not None:
            self.serve_here(home, job)

    def request(self, job: Job, *, own: bool) -> Request:
        home = self.world.nodes[job.home]
        model, tokens = home.spec.model, Tokens(job.input)
        if not own:
            return Request(model=model, input_tokens=tokens, output_tokens=None, own=False)
        typical = home.record.typical_output(model, TYPICAL_ANSWER)
        return Request(model=model, input_tokens=tokens, output_tokens=None, own=True, typical_output=typical)

    def state(
        self,
        node: Node,
        request: Request,
        elsewhere: Pace | None = None,
        providers: int = 0,
        *,
        holds: bool = True,
    ) -> State:
        assert node.engine is not None
        world, now = self.world, self.world.now_ms
        load = node.load(now)
        return State(
            now=now,
            seed=world.random.getrandbits(64),
            load=load,
            room=node.free(now),
            usage=node.usage(load),
            own_waiting=node.own_waiting,
            here=here_of(request, load, node.engine.speed),
            elsewhere=elsewhere,
            providers=providers,
            holds=holds,
        )

    # ------------------------------------------------------------------------------- whom to buy from

    def wanted(self, home: Node, job: Job) -> Wanted:
        model = home.spec.model
        return Wanted(
            model=model,
            input_tokens=Tokens(job.input),
            output_tokens=None,
            seed=self.world.random.getrandbits(64),
            typical_output=home.record.typical_output(model, TYPICAL_ANSWER),
            minimum_stake=MINIMUM_STAKE,
        )

    def known(
        self, home: Node, gone: Container[Hash32] = (), quoted: Mapping[Hash32, Pace] = _NO_QUOTES
    ) -> Known:
        """What this node knows. At this moment each is looked at once, however often it is asked of; who is
        asked of later is looked at then."""
        world = self.world
        events, index, own, now, now_ms = world.events, world.index, home.address, world.now, world.now_ms
        news, record, shares, by = world.news, home.record, self.shares, home.index
        underway = home.underway
        looked: dict[Hash32, Candidate] = {}

        def look(posted: PostedOffer) -> Candidate | None:
            key = posted.offer_hash
            if key in looked and events.now == now:
                return looked[key]
            provider = posted.offer.provider
            if provider == own or key in gone:
                return None
            i = index[provider]
            told = news.heard(by, i, now)
            ratio = news.ratio(by, i) if shares else 1.0
            suspected = news.is_suspected(by, i, now)
            if told is None:
                seen, since = Seen(None, 0, suspected, ratio), -1.0
            else:
                seen = Seen(told.status, int(1_000 * (now - told.at)), suspected, ratio)
                since = told.at - _UNHEARD_S
            pending, tokens = home.sent_since(i, since) if i in underway else (0, Tokens(0))
            found = candidate_of(posted, record, seen, pending, tokens, quoted.get(key), now_ms)
            looked[key] = found
            return found

        return Known(world.chain.offers, look)

    def ordering(self, wanted: Wanted, known: Known) -> Sequence[Choice]:
        return choose(known, wanted, self.rule, now=Timestamp(0), local=True)

    # ------------------------------------------------------------------------------- what came of it

    def bought(self, home: Node, attempt: Attempt) -> None:
        """An answer is here to its end, and paid."""
        world, job, offer = self.world, attempt.job, attempt.posted.offer
        record, output = home.record, job.output
        record.answered(offer.provider, home.spec.model, output)
        if attempt.promised is not None:
            since_first = world.events.now - attempt.sent_at - attempt.first_s
            seen = Pace(attempt.first_s, since_first / (output - 1 if output > 1 else 1))
            record.observe(offer.provider, attempt.promised, seen, output, now=world.now_ms)
            if self.shares:
                self._rate(home, attempt)
        self.pay(home, attempt, output)

    def pay(self, home: Node, attempt: Attempt, output: int) -> None:
        """For so many tokens of an answer."""
        world, job = self.world, attempt.job
        cost = cost_up(
            attempt.posted.offer, input_tokens=attempt.input, cached_input_tokens=0, output_tokens=output
        )
        job.outcome.cost += cost
        home.spent += cost
        world.nodes[attempt.at].till.take(home.index, cost)

    def _rate(self, home: Node, attempt: Attempt) -> None:
        """Tells others, where there is something to tell."""
        world, at, provider = self.world, attempt.at, attempt.posted.offer.provider
        ratio, count = home.record.rating(provider)
        now, key = world.now_ms, (home.index, at)
        if not count or not is_news(self._said.get(key), ratio, count, now=now):
            return
        self._said[key] = ratio, count, now
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
        world.events.after(_TOLD_AFTER_S, self._hear, at, home.index, rating)

    def _hear(self, at: int, by: int, rating: Rating) -> None:
        self.world.news.rate(at, by, rating, self.world.events.now)
