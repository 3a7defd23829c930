"""An engine of continuous batching that jumps: steps between two things that happen are taken at once, in
closed form, so that an answer costs the simulator the same however long it is.

It does what `engine.schedule.Schedule` does step by step: those that run get their token, then prompts are
taken in by pieces in the order in which they came, and where the context is full the newest gives up what it
holds and waits again. How long a step takes is `Speed.step_s`; while no prompt is taken in, each step of n
sequences reads n tokens of context more than the one before.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf, sqrt
from typing import Any, Final

from tallystick.protocol.speed import Load, Speed
from tallystick.protocol.units import Tokens
from tallystick_node.sim.events import Events

WAITING, TAKEN, DECODING, GONE = range(4)
"""Of a sequence: waits for memory; its prompt is being taken in; gets a token in each step; is not here."""
_PS: Final = 1e-12


class Sequence:
    """One answer in the making. `owner` is whoever wants it; the engine looks at neither."""

    __slots__ = ("ends_at", "held", "output", "owner", "produced", "prompt", "since", "state")

    def __init__(self, prompt: int, output: int, owner: Any = None):
        """Tokens, at least one of each."""
        self.prompt = prompt
        self.output = output
        self.owner = owner
        self.state = GONE
        self.produced = 0
        """Tokens, as of step `since`."""
        self.held = 0
        """Tokens of its prompt that the context holds, until all are there."""
        self.since = 0
        self.ends_at = 0
        """The step with which it ends, if it decodes until then."""


class Engine:
    """`began` and `ended` are told of a sequence's first and last token."""

    def __init__(
        self,
        speed: Speed,
        slots: int,
        events: Events,
        *,
        began: Callable[[Sequence], None],
        ended: Callable[[Sequence], None],
    ):
        """`slots`: sequences at a time."""
        self.speed = speed
        self.slots = slots
        self.tokens = 0
        """Output so far."""
        self.busy_s = 0.0
        """Time spent in steps that have ended."""
        self._events = events
        self._began, self._ended = began, ended
        self._capacity = speed.capacity or inf
        self._chunk = speed.chunk or inf
        self._running: dict[Sequence, None] = {}
        """In the order in which they came in."""
        self._taken: deque[Sequence] = deque()
        """The newest of those: prompts that are not all there yet."""
        self._waiting: deque[Sequence] = deque()
        self._ends: list[tuple[int, int, Sequence]] = []
        self._order = 0
        self._decoding = 0
        self._held = 0
        """Tokens in the context."""
        self._total = 0
        """The same once the step is over, of all that run."""
        self._step = 0
        """Steps that are over."""
        self._alone: dict[int, float] = {}
        """Seconds of a step of so many sequences that hold nothing."""
        # The jump under way: `_steps` of them, the first in `_first_s`, each `_more_s` longer than the last.
        self._steps = 0
        self._first_s = self._more_s = self._began_at = 0.0
        self._pieces: list[tuple[Sequence, int]] = []
        self._jump = 0
        """Its number: an event of an earlier one is void."""
        # What a gateway counts: requests of which something came, and those of which nothing did.
        self._begun = self._begun_tokens = 0
        self._fresh = self._fresh_tokens = 0

    # --------------------------------------------------------------------------------------- what is so

    @property
    def company(self) -> int:
        """Sequences that are here."""
        return self._begun + self._fresh

    @property
    def running(self) -> int:
        """Of those, such as hold memory."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def held(self) -> int:
        """Tokens of context in use now."""
        return self._held + self._decoding * self._over_by()

    def load(self) -> Load:
        """As a gateway counts it: what runs is what has begun to come."""
        context = Tokens(self._begun_tokens + self._decoding * self._over_by())
        return Load(self._begun, self._fresh, context, Tokens(self._fresh_tokens))

    def produced(self, sequence: Sequence) -> int:
        """Tokens of it by now."""
        if sequence.state != DECODING:
            return sequence.produced
        return sequence.produced + self._step + self._over_by() - sequence.since

    def _over_by(self) -> int:
        """Steps of the jump under way that are over by now."""
        steps = self._steps
        if steps <= 1:
            return 0
        since, first, more = self._events.now - self._began_at, self._first_s, self._more_s
        if since < first:
            return 0
        if more <= 0:
            return min(steps - 1, int(since / first))
        half = first - more / 2
        return max(0, min(steps - 1, int((sqrt(half * half + 2 * more * since) - half) / more)))

    # --------------------------------------------------------------------------------------- what happens

    def add(self, sequence: Sequence) -> None:
        sequence.state = WAITING
        self._waiting.append(sequence)
        if sequence.produced:
            self._begun += 1
            self._begun_tokens += sequence.prompt + sequence.produced
        else:
            self._fresh += 1
            self._fresh_tokens += sequence.prompt
        self._look_again(len(self._waiting) == 1)

    def remove(self, sequence: Sequence) -> None:
        """Wherever it is; one that has ended is nowhere."""
        state = sequence.state
        if state == GONE:
            return
        if state == WAITING:
            was_first = self._waiting[0] is sequence
            self._waiting.remove(sequence)
            self._leave(sequence)
            self._look_again(was_first and bool(self._waiting))
            return
        self._cut()
        del self._running[sequence]
        if state == DECODING:
            sequence.produced += self._step - sequence.since
            self._decoding -= 1
            self._held -= sequence.prompt + sequence.produced - 1
        else:
            self._taken.remove(sequence)
            self._held -= sequence.held
        self._total -= sequence.prompt + sequence.produced
        self._leave(sequence)

    def clear(self) -> list[Sequence]:
        """Nothing is done any more; whose answers were not at their end."""
        self._cut()
        there = [*self._running, *self._waiting]
        for sequence in there:
            self.remove(sequence)
        self._jump += 1
        self._steps = 0
        return there

    def _leave(self, sequence: Sequence) -> None:
        sequence.state = GONE
        if sequence.produced:
            self._begun -= 1
            self._begun_tokens -= sequence.prompt + sequence.produced
        else:
            self._fresh -= 1
            self._fresh_tokens -= sequence.prompt

    def _look_again(self, first_changed: bool) -> None:
        """After somebody came to wait, or left: begins where nothing is done, and ends the jump with its step
        where the first of those that wait may come in then."""
        if not self._steps:
            self._plan()
        elif first_changed and len(self._running) < self.slots:
            first = self._waiting[0]
            if self._total + self._decoding + first.prompt + first.produced <= self._capacity:
                self._cut()

    def _cut(self) -> None:
        """The step that runs now is the last of its jump."""
        if self._steps <= 1:
            return
        over = self._over_by()
        if over:
            self._take(over)
            seconds = over * self._first_s + self._more_s * (over * (over - 1) / 2)
            self.busy_s += seconds
            self._began_at += seconds
            self._first_s += over * self._more_s
        self._begin(1)

    def _begin(self, steps: int) -> None:
        self._steps = steps
        self._jump = jump = self._jump + 1
        seconds = steps * self._first_s + self._more_s * (steps * (steps - 1) / 2)
        self._events.at(self._began_at + seconds, self._over, jump)

    def _take(self, steps: int) -> None:
        """Each that decodes has so many tokens more."""
        self._step += steps
        self._steps -= steps
        tokens = steps * self._decoding
        self._held += tokens
        self._total += tokens
        self._begun_tokens += tokens
        self.tokens += tokens

    def _over(self, jump: int) -> None:
        """All steps of that jump are over."""
        if jump != self._jump:
            return
        now = self._events.now
        self.busy_s += now - self._began_at
        self._take(self._steps)
        ended = self._end() if self._ends and self._ends[0][0] <= self._step else []
        begun: list[Sequence] = []
        for sequence, piece in self._pieces:
            if sequence.state == TAKEN:
                self._put(sequence, piece, begun, ended)
        self._plan()
        for sequence in begun:
            self._began(sequence)
        for sequence in ended:
            self._ended(sequence)

    def _put(self, sequence: Sequence, piece: int, begun: list[Sequence], ended: list[Sequence]) -> None:
        """A piece of its prompt is in the context; with the last of it comes a token."""
        self._held += piece
        sequence.held += piece
        size = sequence.prompt + sequence.produced
        if sequence.held < size - (sequence.produced > 0):
            return
        # Who gave way and is read again lacks a last token that decoding takes in like any other.
        self._taken.remove(sequence)
        sequence.state = DECODING
        self._decoding += 1
        sequence.since = self._step
        if sequence.held == size:
            self._first_token(sequence, begun)
        sequence.ends_at = self._step + sequence.output - sequence.produced
        if sequence.produced >= sequence.output:
            self._finish(sequence, ended)
        else:
            self._order += 1
            heappush(self._ends, (sequence.ends_at, self._order, sequence))

    def _first_token(self, sequence: Sequence, begun: list[Sequence]) -> None:
        """Of all, or after it was read again."""
        if not sequence.produced:
            begun.append(sequence)
            self._fresh -= 1
            self._fresh_tokens -= sequence.prompt
            self._begun += 1
            self._begun_tokens += sequence.prompt
        sequence.produced += 1
        self._begun_tokens += 1
        self._total += 1
        self.tokens += 1

    def _end(self) -> list[Sequence]:
        """Those that have their last token."""
        ended: list[Sequence] = []
        while self._ends and self._ends[0][0] <= self._step:
            at, _, sequence = heappop(self._ends)
            if sequence.state == DECODING and sequence.ends_at == at:
                sequence.produced = sequence.output
                self._finish(sequence, ended)
        return ended

    def _finish(self, sequence: Sequence, ended: list[Sequence]) -> None:
        del self._running[sequence]
        self._decoding -= 1
        size = sequence.prompt + sequence.produced
        self._held -= size - 1
        self._total -= size
        self._leave(sequence)
        ended.append(sequence)

    # --------------------------------------------------------------------------------------- the next steps

    def _plan(self) -> None:
        """As `Schedule.plan`, and as many steps more as will be alike."""
        if self._total > self._capacity:
            self._make_room()
        pieces, budget = self._pieces, self._chunk
        pieces.clear()
        prompt = 0
        for sequence in self._taken:
            piece = int(min(sequence.prompt + sequence.produced - sequence.held, budget))
            if not piece:
                break
            pieces.append((sequence, piece))
            prompt += piece
            budget -= piece
        waiting = self._waiting
        while waiting and budget and len(self._running) < self.slots:
            sequence = waiting[0]
            size = sequence.prompt + sequence.produced
            if self._running and self._total + size > self._capacity:
                break
            waiting.popleft()
            sequence.state, sequence.held = TAKEN, 0
            self._running[sequence] = None
            self._taken.append(sequence)
            self._total += size
            piece = int(min(size, budget))
            pieces.append((sequence, piece))
            prompt += piece
            budget -= piece
        self._began_at = self._events.now
        if pieces:
            self._more_s = 0.0
            self._first_s = self.speed.step_s(self._decoding, self._held, prompt)
            self._begin(1)
        elif self._decoding:
            self._jump_on()
        else:
            self._steps = 0

    def _jump_on(self) -> None:
        """Nothing but tokens, until the next one ends or there is no room for more."""
        ends, count = self._ends, self._decoding
        while ends[0][2].state != DECODING or ends[0][2].ends_at != ends[0][0]:
            heappop(ends)
        steps = ends[0][0] - self._step
        if self._total + count * steps > self._capacity and len(self._running) > 1:
            steps = min(steps, int((self._capacity - self._total) // count) + 1)
        alone = self._alone.get(count)
        if alone is None:
            alone = self._alone[count] = self.speed.step_s(count, 0)
        context_s = self.speed.context * _PS
        self._first_s = alone + context_s * self._held
        self._more_s = context_s * count
        self._begin(steps)

    def _make_room(self) -> None:
        """The newest give up what they hold. The last one always has enough."""
        while self._total > self._capacity and len(self._running) > 1:
            sequence, _ = self._running.popitem()
            if sequence.state == DECODING:
                sequence.produced += self._step - sequence.since
                self._decoding -= 1
                self._held -= sequence.prompt + sequence.produced - 1
            else:
                self._taken.pop()
                self._held -= sequence.held
            self._total -= sequence.prompt + sequence.produced
            sequence.state, sequence.held = WAITING, 0
            self._waiting.appendleft(sequence)
