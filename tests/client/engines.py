"""Engines of unequal speed, as discrete events: the truth that predictions are held against.

They take steps as `Speed` says: prompts in chunks beside the running sequences, first come first served, as
much as fits into memory.
"""

import heapq
from collections import deque
from dataclasses import dataclass

from tallystick.protocol.speed import Load, Pace, Speed
from tallystick.protocol.units import Tokens

FIRST_S, TOKEN_S = 3.0, 0.1
"""The objective: the first token within so many seconds, and so much between tokens."""


def speed(weights: float, token: float, context: float, capacity: int, chunk: int = 2_048) -> Speed:
    """Constants in milliseconds, as published fits give them."""
    return Speed(
        fixed=10**9,
        sequence=55 * 10**6,
        weights=round(weights * 1e9),
        token=round(token * 1e9),
        context=round(context * 1e9),
        capacity=Tokens(capacity),
        chunk=Tokens(chunk),
    )


H100 = speed(6.106, 0.021622, 0.00007332, 403_011, 8_192)
A100 = speed(10.037, 0.06854, 0.00012053, 403_011)
L40S = speed(23.687, 0.059074, 0.00028444, 193_304)
A6000 = speed(26.648, 0.137965, 0.00032, 193_304)
RTX5090 = speed(11.421, 0.102319, 0.00013714, 88_450)
RTX4090 = speed(20.303, 0.129604, 0.00024381, 36_023)
RTX3090 = speed(21.865, 0.301192, 0.00026256, 36_023)
L4 = speed(68.219, 0.176732, 0.0008192, 36_023)
A10G = speed(34.11, 0.305495, 0.0004096, 36_023)
TWELVE = (H100, A100, A100, L40S, A6000, A6000, RTX5090, RTX4090, RTX4090, RTX3090, L4, A10G)
"""Qwen3-8B on twelve machines that differ by an order of magnitude."""


@dataclass(slots=True)
class Job:
    """A request on its way, and what became of it."""

    payer: int
    input: int
    output: int
    born: float
    left: int = 0
    """Prompt tokens still to be taken in."""
    sent: float = 0.0
    reached: float = 0.0
    """When it was taken."""
    first: float = 0.0
    finished: float = 0.0
    quote: Pace | None = None
    tries: int = 0
    at: int = -1

    @property
    def met(self) -> bool:
        """The objective; what did not end missed it."""
        if not self.finished:
            return False
        between = (self.finished - self.first) / max(1, self.output - 1)
        return self.first - self.born <= FIRST_S and between <= TOKEN_S


class Engine:
    """One provider's: the truth about its load."""

    def __init__(self, speed: Speed, room: int):
        self.speed = speed
        self.room = room
        self.waiting: deque[Job] = deque()
        self.taken: deque[Job] = deque()
        """Admitted to memory, prompt not yet taken in."""
        self.held = 0
        self.running = 0
        self.context = 0
        self.steps = 0
        self.ends: list[tuple[int, int, Job]] = []
        self.busy = False
        self.queued = 0
        self._order = 0

    def add(self, job: Job) -> None:
        job.left = job.input
        self.queued += job.input
        self.waiting.append(job)

    def load(self) -> Load:
        return Load(
            running=self.running,
            waiting=len(self.waiting) + len(self.taken),
            context=Tokens(self.context),
            queued=Tokens(self.queued),
        )

    def usage(self) -> float:
        return self.held / self.speed.capacity

    def begin(self) -> tuple[float, list[Job]]:
        """Seconds of the next step, and whose prompts it ends."""
        while (
            self.waiting
            and self.running + len(self.taken) < self.room
            and self.held + self.waiting[0].input + self.waiting[0].output <= self.speed.capacity
        ):
            job = self.waiting.popleft()
            self.held += job.input + job.output
            self.taken.append(job)
        budget, prompt, begun = max(0, self.speed.chunk - self.running), 0, []
        while self.taken and budget > 0:
            job = self.taken[0]
            part = min(budget, job.left)
            job.left -= part
            budget -= part
            prompt += part
            if job.left == 0:
                begun.append(self.taken.popleft())
        self.queued -= prompt
        return self.speed.step_s(sequences=self.running, context=self.context, prompt=prompt), begun

    def end(self, now: float, begun: list[Job]) -> list[Job]:
        """The step is over: whose answers it ends."""
        self.steps += 1
        self.context += self.running
        done = []
        while self.ends and self.ends[0][0] <= self.steps:
            done.append(heapq.heappop(self.ends)[2])
        for job in begun:
            job.first = now
            self.running += 1
            self.context += job.input + 1
            self._order += 1
            if job.output == 1:
                done.append(job)
            else:
                heapq.heappush(self.ends, (self.steps + job.output - 1, self._order, job))
        for job in done:
            job.finished = now
            self.running -= 1
            self.context -= job.input + job.output
            self.held -= job.input + job.output
        return done
