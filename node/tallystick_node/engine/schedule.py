"""Which sequences take part in an engine's next step: continuous batching as vLLM does it, in a few lines.

Running sequences get their token first, then prompts are taken in by pieces, in the order in which they came.
Where the context no longer fits, the newest that runs gives up what it holds and waits again. It knows no
clock: what a step takes comes out, for whoever has one, or simulates one.
"""

from collections import deque
from dataclasses import dataclass

from tallystick.protocol.speed import Speed


@dataclass(slots=True, eq=False)
class Job:
    """One sequence between its arrival and its last token."""

    prompt: int
    """Tokens; at least one."""
    output: int
    """Tokens after which it ends; at least one."""
    produced: int = 0
    held: int = 0
    """Tokens of it that the engine's context holds. It never holds the last one produced."""

    @property
    def missing(self) -> int:
        """Tokens to be computed before the next one is produced."""
        return self.prompt + self.produced - self.held

    @property
    def decoding(self) -> bool:
        return self.produced > 0 and self.missing == 1


@dataclass(frozen=True, slots=True)
class Step:
    seconds: float
    parts: tuple[tuple[Job, int], ...]
    """Who takes part, and how many of its tokens are computed."""


class Schedule:
    def __init__(self, speed: Speed, *, slots: int = 0):
        """`slots`: sequences that run at a time; zero: any number."""
        self._speed = speed
        self._slots = slots
        self._running: list[Job] = []
        """In the order in which they began."""
        self._waiting: deque[Job] = deque()

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def held(self) -> int:
        """Tokens of context in use."""
        return sum(job.held for job in self._running)

    def add(self, job: Job) -> None:
        self._waiting.append(job)

    def remove(self, job: Job) -> None:
        """Wherever it is; one that has ended is nowhere."""
        if job in self._running:
            self._running.remove(job)
        elif job in self._waiting:
            self._waiting.remove(job)

    def plan(self) -> Step | None:
        """The next step; None while there is nothing to do."""
        decoding = self._fitting()
        parts = [(job, 1) for job in decoding]
        everything = sum(job.missing for job in (*self._running, *self._waiting))
        budget = self._speed.chunk or everything
        for job in self._running:
            if not job.decoding and (piece := min(job.missing, budget)):
                parts.append((job, piece))
                budget -= piece
        # Whoever is still being taken in was let in because all of it fits.
        used = sum(job.held + job.missing for job in self._running)
        while self._waiting and budget and not (self._slots and len(self._running) >= self._slots):
            job = self._waiting[0]
            if self._running and not self._fits(used + job.missing):
                break
            self._running.append(self._waiting.popleft())
            used += job.missing
            piece = min(job.missing, budget)
            parts.append((job, piece))
            budget -= piece
        if not parts:
            return None
        prompt = sum(piece for _, piece in parts[len(decoding) :])
        seconds = self._speed.step_s(sequences=len(decoding), context=self.held, prompt=prompt)
        return Step(seconds, tuple(parts))

    def done(self, step: Step) -> list[Job]:
        """Who got a token when the step was over. Those that were removed meanwhile get none, and those that
        got their last are gone."""
        got = []
        for job, piece in step.parts:
            if job not in self._running:
                continue
            job.held += piece
            if job.missing == 0:
                job.produced += 1
                got.append(job)
                if job.produced == job.output:
                    self._running.remove(job)
        return got

    def _fitting(self) -> list[Job]:
        """Those that get a token, after the newest made room where there is too little. The last one always
        has enough."""
        while len(self._running) > 1:
            if self._fits(sum(job.held + job.missing for job in self._running)):
                break
            job = self._running.pop()
            job.held = 0
            self._waiting.appendleft(job)
        return [job for job in self._running if job.decoding]

    def _fits(self, context: int) -> bool:
        return not self._speed.capacity or context <= self._speed.capacity
