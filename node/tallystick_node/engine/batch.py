"""Continuous batching: every sequence that is running takes its next token in the same step.

One step at a time, and all of it between two awaits: nothing here needs a lock. It knows no HTTP.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import numpy as np

from tallystick.tokenizer import Vocabulary
from tallystick_node.engine.llama import Llama
from tallystick_node.engine.openai_replies import Piece, Scored
from tallystick_node.engine.openai_requests import Request
from tallystick_node.engine.sampling import Logits, Logprobs, Sampler, logprobs_of
from tallystick_node.engine.wording import Wording


@dataclass(slots=True, eq=False)
class _Sequence:
    request: Request
    prompt: tuple[int, ...]
    max_tokens: int
    sampler: Sampler
    wording: Wording
    pieces: asyncio.Queue[Piece] = field(default_factory=asyncio.Queue)
    produced: int = 0
    last: int = 0
    """The last token produced, which the cache does not hold yet."""
    paths: tuple[tuple[int, ...], ...] = ()
    """Token ids of what may still be said, each from here on; none: anything."""

    @property
    def cached(self) -> int:
        """How many tokens of it the cache holds."""
        return len(self.prompt) + self.produced - 1

    def allowed(self, ends: tuple[int, ...]) -> set[int]:
        """Tokens that may come next; none: any."""
        return {token for path in self.paths for token in (path[:1] or ends)}

    def follow(self, token: int) -> None:
        self.paths = tuple(path[1:] for path in self.paths if path[:1] == (token,))


class Batch:
    """What a model is working on: the running, one a slot, and the waiting, first come first served."""

    def __init__(self, model: Llama, vocabulary: Vocabulary, ends: tuple[int, ...]) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self._ends = ends
        self._running: list[_Sequence] = []
        self._waiting: deque[_Sequence] = deque()
        self._work = asyncio.Event()

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def cache_used(self) -> float:
        """The part of the cache that running sequences fill, from 0 to 1."""
        room = self._model.slots * self._model.max_length
        return sum(sequence.cached for sequence in self._running) / room

    async def generate(
        self, request: Request, prompt: tuple[int, ...], *, choice: int, max_tokens: int
    ) -> AsyncGenerator[Piece]:
        """The pieces of one sequence, a token each. Closed early, it leaves the batch at once."""
        sampler = Sampler(request, choice, prompt, self._model.vocabulary)
        wording = Wording(request.stops, include_stop=request.include_stop_str_in_output)
        paths = tuple(tuple(self._vocabulary.encode(text, special=False)) for text in request.only)
        sequence = _Sequence(request, prompt, max_tokens, sampler, wording, paths=paths)
        self._waiting.append(sequence)
        self._work.set()
        try:
            finished = False
            while not finished:
                piece = await sequence.pieces.get()
                finished = piece.finish is not None
                yield piece
        finally:
            self._leave(sequence)

    async def run(self) -> None:
        """Steps while there is work, for ever."""
        while True:
            await self._work.wait()
            self.step()
            if not (self._running or self._waiting):
                self._work.clear()
            await asyncio.sleep(0)  # Callers get their pieces, and new ones in, between two steps.

    def step(self) -> None:
        """One more token for each that is running, and at most one that waited begins."""
        if self._running:
            ids = np.array([sequence.last for sequence in self._running])
            lengths = np.array([sequence.cached for sequence in self._running])
            logits = self._model.decode(ids, lengths)
            pairs = zip(self._running, logits, strict=True)
            finished = [sequence for sequence, row in pairs if self._take(sequence, row, ())]
            # Only once everyone has its token: `cached` then says all that there is to move to a free slot.
            for sequence in finished:
                self._leave(sequence)
        if self._waiting and len(self._running) < self._model.slots:
            sequence = self._waiting.popleft()
            self._running.append(sequence)
            wanted = sequence.request.wanted_prompt_logprobs
            logits = self._model.prefill(len(self._running) - 1, sequence.prompt, all_rows=wanted is not None)
            scores = () if wanted is None else self._prompt_scores(sequence.prompt, logits, wanted)
            if self._take(sequence, logits[-1], scores):
                self._leave(sequence)

    def _take(self, sequence: _Sequence, logits: Logits, prompt_scores: tuple[Scored, ...]) -> bool:
        """Gives `sequence` the token that `logits` decide. Was that its last?"""
        request = sequence.request
        early = sequence.produced < request.min_tokens
        ends = () if request.ignore_eos else self._ends
        never = (*ends, *request.stop_token_ids) if early else ()
        token = sequence.sampler.draw(logits, never=never, only=sequence.allowed(self._ends))
        sequence.follow(token)
        sequence.last, sequence.produced = token, sequence.produced + 1
        wanted = request.wanted_logprobs
        scores = () if wanted is None else (self._scored(token, logprobs_of(logits), wanted),)

        text, finish = "", None
        reason: str | int | None = None
        if token in ends or token in request.stop_token_ids:
            finish, reason = "stop", None if token in ends else token
        else:
            text, reason = sequence.wording.add(self._vocabulary.shown(token), may_stop=not early)
            if reason is not None:
                finish = "stop"
            elif sequence.produced == sequence.max_tokens:
                finish = "length"
        if finish is not None and not isinstance(reason, str):
            rest, stop = sequence.wording.rest()
            text += rest
            if stop is not None:
                finish, reason = "stop", stop
        sequence.pieces.put_nowait(Piece(text, (token,), scores, None, finish, reason, prompt_scores))
        return finish is not None

    def _leave(self, sequence: _Sequence) -> None:
        """Takes it out, wherever it is. The last running sequence moves into its slot."""
        if sequence in self._waiting:
            self._waiting.remove(sequence)
        if sequence in self._running:
            slot, last = self._running.index(sequence), self._running.pop()
            if last is not sequence:
                self._model.move(len(self._running), slot, last.cached)
                self._running[slot] = last

    def _prompt_scores(self, prompt: tuple[int, ...], logits: Logits, wanted: int) -> tuple[Scored, ...]:
        first = self._plain(prompt[0])
        rows = logprobs_of(logits[:-1])
        return first, *(self._scored(token, row, wanted) for token, row in zip(prompt[1:], rows, strict=True))

    def _scored(self, token: int, logprobs: Logprobs, wanted: int) -> Scored:
        likeliest = np.argsort(-logprobs, kind="stable")[:wanted] if wanted else ()
        return self._plain(token, logprobs, tuple(self._plain(int(other), logprobs) for other in likeliest))

    def _plain(
        self, token: int, logprobs: Logprobs | None = None, likeliest: tuple[Scored, ...] = ()
    ) -> Scored:
        data = self._vocabulary.token_bytes[token]
        if logprobs is None:
            return Scored(token, data.decode(errors="replace"), data, None, 0)
        rank = int((logprobs > logprobs[token]).sum()) + 1
        return Scored(token, data.decode(errors="replace"), data, float(logprobs[token]), rank, likeliest)
