"""A market in miniature: payers with old news, engines of unequal speed, and the real rules.

Choosing, predicting, remembering and rating are the code that payers run; network and gossip are imagined.
Everything follows from the seed.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from tallystick.client.choose import Candidate, Choice, Policy, Wanted, choose
from tallystick.client.record import Record
from tallystick.ports import PostedOffer, Seen
from tallystick.protocol.offer import Offer
from tallystick.protocol.quote import TOLERATED, TOLERATED_MS
from tallystick.protocol.rating import agreed
from tallystick.protocol.speed import Load, Pace, Speed, pace
from tallystick.protocol.stake import Stake
from tallystick.protocol.status import Rating, Status
from tallystick.protocol.units import (
    ZERO_HASH,
    Address,
    Atoms,
    Milliseconds,
    Timestamp,
    Tokens,
)
from tests.client.engines import H100, TWELVE, Engine, Job

OUTPUT_MEAN = 211
"""Tokens of an answer of the public chat trace that prompts (1,155 tokens) and answers here are like."""
IDLE = Load(running=0, waiting=0, context=Tokens(0), queued=Tokens(0))


@dataclass(slots=True)
class Told:
    """What a provider said, and when."""

    at: float
    status: Status


@dataclass
class Fleet:
    """`run` it once."""

    policy: Policy
    rate: float
    """Requests a second, of all payers together."""
    seed: int
    speeds: Sequence[Speed] = TWELVE
    payers: int = 12
    seconds: float = 60.0
    liars: frozenset[int] = frozenset()
    """Say that they stand idle, whatever they have to do."""
    shared: bool = True
    """Payers tell each other what they found."""
    papers: bool = False
    """Providers accept as the paper's do: four times in five, under seven tenths of their memory."""
    jobs: list[Job] = field(default_factory=list)
    bounced: int = 0
    probed: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.engines = [Engine(each, 1_024 if each is H100 else 256) for each in self.speeds]
        self.posted = [self._offer(i) for i in range(len(self.speeds))]
        self.told: list[list[Told]] = [[Told(-9.0, self._status(i, -1))] for i in range(len(self.speeds))]
        self.records = [Record() for _ in range(self.payers)]
        self.ratings: list[dict[int, Rating]] = [{} for _ in self.speeds]
        self.agreed = [1.0 for _ in self.speeds]
        self.sent: list[list[list[tuple[float, int]]]] = [
            [[] for _ in self.speeds] for _ in range(self.payers)
        ]
        self.lag = [[self.random.uniform(0.3, 2.0) for _ in self.speeds] for _ in range(self.payers)]
        self.way = [[self.random.uniform(0.005, 0.075) for _ in self.speeds] for _ in range(self.payers)]
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = 0

    # ------------------------------------------------------------------------------------------ the clockwork

    def run(self) -> "Fleet":
        self._at(0.0, self._arrive)
        for i in range(len(self.engines)):
            self._at(i / len(self.engines), partial(self._tell, i=i))
        end = self.seconds + 30
        while self._events and self._events[0][0] < end:
            now, _, act = heapq.heappop(self._events)
            act(now)
        return self

    def attained(self) -> float:
        """Share of requests that met the objective, the first quarter, when all stand idle, left out."""
        counted = [job for job in self.jobs if job.born > self.seconds / 4]
        return sum(job.met for job in counted) / len(counted)

    def _at(self, when: float, act: Callable[[float], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, act))

    # ------------------------------------------------------------------------------------------- payers

    def _arrive(self, now: float) -> None:
        job = Job(
            payer=self.random.randrange(self.payers),
            input=max(8, min(7_000, round(self.random.lognormvariate(6.73, 0.8)))),
            output=max(1, min(1_000, round(self.random.lognormvariate(4.95, 0.9)))),
            born=now,
        )
        self.jobs.append(job)
        self._dispatch(now, job, {})
        later = now + self.random.expovariate(self.rate)
        if later < self.seconds:
            self._at(later, self._arrive)

    def _dispatch(self, now: float, job: Job, quoted: dict[int, Pace]) -> None:
        ordering = [(self.posted.index(c.posted), c) for c in self._choices(now, job, quoted)]
        if job.tries == 1:  # one bounced it: three are asked at once, and the best of them held to it
            self.probed += 1
            asked = [i for i, _ in ordering[:3]]
            wait = 2 * max(self.way[job.payer][i] for i in asked)
            quotes = quoted | {i: self._pace(i, job) for i in asked}
            held = next(i for i in (self.posted.index(c.posted) for c in self._choices(now, job, quotes)))
            job.tries += 1
            self._send(now + wait, job, held, None, [])
            return
        self._send(now, job, ordering[0][0], ordering[0][1].expected, [i for i, _ in ordering[1:]], quoted)

    def _choices(self, now: float, job: Job, quoted: dict[int, Pace]) -> Sequence[Choice]:
        wanted = Wanted(
            model="m",
            input_tokens=Tokens(job.input),
            output_tokens=None,
            seed=self.random.getrandbits(64),
            typical_output=Tokens(OUTPUT_MEAN),
            minimum_stake=Atoms(1),
        )
        candidates = [self._candidate(now, job, i, quoted.get(i)) for i in range(len(self.posted))]
        return choose(candidates, wanted, self.policy, now=Timestamp(0), local=True)

    def _candidate(self, now: float, job: Job, i: int, quote: Pace | None) -> Candidate:
        known = now - self.lag[job.payer][i]
        told = next(told for told in reversed(self.told[i]) if told.at <= known)
        mine = self.sent[job.payer][i] = [item for item in self.sent[job.payer][i] if item[0] > told.at]
        ratio = self.records[job.payer].ratio(
            self.posted[i].offer.provider, self.agreed[i] if self.shared else 1.0, now=_ms(now)
        )
        return Candidate(
            posted=self.posted[i],
            seen=Seen(status=told.status, age_ms=_ms(now - told.at), suspected=False, ratio=ratio),
            pending=len(mine),
            pending_tokens=Tokens(sum(tokens for _, tokens in mine)),
            quoted=quote,
        )

    def _send(
        self,
        now: float,
        job: Job,
        i: int,
        expected: Pace | None,
        others: list[int],
        quoted: dict[int, Pace] | None = None,
    ) -> None:
        job.sent, job.at = now, i
        self.sent[job.payer][i].append((now, job.input))
        reach = now + self.way[job.payer][i]
        self._at(reach, lambda t: self._reached(t, job, expected, others, quoted or {}))

    def _refused(self, now: float, job: Job, others: list[int]) -> None:
        """Without a word: the next one; and when there is none, again in half a second."""
        back = now + self.way[job.payer][job.at]
        self.sent[job.payer][job.at].pop()
        if others:
            self._at(back, lambda t: self._send(t, job, others[0], None, others[1:]))
        else:
            self._at(back + 0.5, lambda t: self._dispatch(t, job, {}))

    def _bounced(self, now: float, job: Job, quoted: dict[int, Pace]) -> None:
        self.bounced += 1
        job.tries += 1
        self.sent[job.payer][job.at].pop()
        self._at(now + self.way[job.payer][job.at], lambda t: self._dispatch(t, job, quoted))

    def _see_first(self, now: float, job: Job) -> None:
        if job.quote is not None:
            provider = self.posted[job.at].offer.provider
            self.records[job.payer].begun(provider, job.quote, now - job.sent, now=_ms(now))

    def _remember(self, now: float, job: Job) -> None:
        if job.quote is None:
            return
        way = self.way[job.payer][job.at]
        seen = Pace(job.first + way - job.sent, (job.finished - job.first) / max(1, job.output - 1))
        provider, record = self.posted[job.at].offer.provider, self.records[job.payer]
        record.observe(provider, job.quote, seen, job.output, now=_ms(now))
        ratio, count = record.rating(provider)
        self.ratings[job.at][job.payer] = Rating(
            payer=Address(job.payer.to_bytes(20, "big")),
            provider=provider,
            session_key=Address(bytes(20)),
            epoch=0,
            sequence=0,
            ratio=ratio,
            count=count,
            receipt_hash=ZERO_HASH,
        )

    # ------------------------------------------------------------------------------------------- providers

    def _pace(self, i: int, job: Job) -> Pace:
        load = IDLE if i in self.liars else self.engines[i].load()
        return pace(self.speeds[i], load, input_tokens=job.input, output_tokens=OUTPUT_MEAN)

    def _reached(
        self, now: float, job: Job, expected: Pace | None, others: list[int], quoted: dict[int, Pace]
    ) -> None:
        i, engine = job.at, self.engines[job.at]
        if self.papers:
            if engine.usage() >= 0.7 or self.random.random() >= 0.8:
                self._refused(now, job, others)
                return
        elif engine.running + len(engine.waiting) + len(engine.taken) >= engine.room:
            self._refused(now, job, others)
            return
        if expected is not None:
            fresh = self._pace(i, job)
            most = TOLERATED * expected.total_s(OUTPUT_MEAN) + TOLERATED_MS / 1000
            if fresh.total_s(OUTPUT_MEAN) > most:
                self._bounced(now, job, quoted | {i: fresh})
                return
        job.quote, job.reached = self._pace(i, job), now
        engine.add(job)
        if not engine.busy:
            self._step(now, i)

    def _step(self, now: float, i: int) -> None:
        engine = self.engines[i]
        engine.busy = bool(engine.waiting or engine.taken or engine.running)
        if not engine.busy:
            return
        seconds, begun = engine.begin()

        def over(then: float) -> None:
            for job in begun:
                self._at(then + self.way[job.payer][i], partial(self._see_first, job=job))
            for job in engine.end(then, begun):
                self._at(then + self.way[job.payer][i], partial(self._remember, job=job))
            self._step(then, i)

        self._at(now + seconds, over)

    def _tell(self, now: float, i: int) -> None:
        self.told[i].append(Told(now, self._status(i, len(self.told[i]))))
        self.told[i] = self.told[i][-5:]
        self.agreed[i] = agreed(self.ratings[i].values())
        if now < self.seconds:
            self._at(now + 1, partial(self._tell, i=i))

    def _status(self, i: int, sequence: int) -> Status:
        load = IDLE if i in self.liars else self.engines[i].load()
        return Status(
            provider=self.posted[i].offer.provider,
            offer_hash=self.posted[i].offer_hash,
            sequence=sequence + 1,
            room=max(0, self.engines[i].room - load.running - load.waiting),
            running=load.running,
            waiting=load.waiting,
            context=load.context,
            queued=load.queued,
            parameters=0,
            quantization="bf16",
            speed=self.speeds[i],
        )

    def _offer(self, i: int) -> PostedOffer:
        price = round(200_000 * self.random.uniform(0.7, 1.4))
        offer = Offer(
            provider=Address((i + 1).to_bytes(20, "big")),
            sequence=0,
            endpoint="https://gateway.example:8443",
            endpoint_key=ZERO_HASH,
            model="m",
            model_hash=ZERO_HASH,
            input_price=price,
            cached_input_price=price,
            output_price=3 * price,
            context_length=40_960,
            credit=10**6,
            valid_until=10,
        )
        stake = Stake(
            provider=offer.provider,
            staked=Atoms(1),
            exiting=Atoms(0),
            exits_at=Timestamp(0),
            receipt_key=offer.provider,
        )
        return PostedOffer(offer=offer, offer_hash=offer.struct_hash(), stake=stake)


def _ms(seconds: float) -> Milliseconds:
    return Milliseconds(int(1_000 * seconds))
