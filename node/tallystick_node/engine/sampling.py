"""Which token comes next. It knows logits and a request; no model, no text."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from tallystick_node.engine.openai_requests import GREEDY_BELOW, Request

Logits = npt.NDArray[np.float32]
Logprobs = npt.NDArray[np.float64]

COLDEST = 0.01
"""Temperatures between greedy and this one are raised to it: logits divided by less overflow."""


def logprobs_of(logits: Logits) -> Logprobs:
    """Each token's log-probability, along the last axis, before any temperature or filter."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return wide


class Sampler:
    """Draws the tokens of one choice. The same seed and logits give the same tokens."""

    def __init__(self, request: Request, choice: int, prompt: tuple[int, ...], vocabulary: int) -> None:
        self._heat = request.heat
        self._top_p = 1.0 if request.top_p is None else request.top_p
        self._top_k = request.top_k if request.top_k is not None and request.top_k > 0 else vocabulary
        self._min_p = request.min_p or 0.0
        self._presence = request.presence_penalty or 0.0
        self._frequency = request.frequency_penalty or 0.0
        self._repetition = 1.0 if request.repetition_penalty is None else request.repetition_penalty
        self._bias = {i: bias for i, bias in (request.logit_bias or {}).items() if 0 <= i < vocabulary}
        self._counts = np.zeros(vocabulary, dtype=np.int64)
        self._seen = np.zeros(vocabulary, dtype=bool)
        self._seen[list(prompt)] = True
        seed = None if request.seed is None else (request.seed + choice) % (1 << 64)
        self._random = np.random.default_rng(seed)

    def draw(self, logits: Logits, *, never: tuple[int, ...] = (), only: Collection[int] = ()) -> int:
        """The next token, which is none of `never`, and one of `only` where there are any."""
        logits = self._adjusted(logits, never)
        if only:
            kept = [token for token in only if 0 <= token < len(logits)]
            allowed = np.full_like(logits, -np.inf)
            allowed[kept] = logits[kept]
            logits = allowed
        if self._heat < GREEDY_BELOW:
            token = int(logits.argmax())
        else:
            # The largest of p / Exp(1) falls on each token with probability p: no cumulative sum to round.
            token = int((self._chances(logits) / self._random.exponential(size=logits.shape)).argmax())
        self._counts[token] += 1
        self._seen[token] = True
        return token

    def _adjusted(self, logits: Logits, never: tuple[int, ...]) -> Logits:
        logits = logits.copy()
        if self._repetition != 1.0:
            seen = logits[self._seen]
            logits[self._seen] = np.where(seen > 0, seen / self._repetition, seen * self._repetition)
        if self._frequency or self._presence:
            logits -= (self._frequency * self._counts + self._presence * (self._counts > 0)).astype(
                np.float32
            )
        for token, bias in self._bias.items():
            logits[token] += bias
        logits[[token for token in never if 0 <= token < len(logits)]] = -np.inf
        return logits

    def _chances(self, logits: Logits) -> Logprobs:
        chances: Logprobs = np.exp(logprobs_of(logits / np.float32(max(self._heat, COLDEST))))
        if self._min_p:
            chances[chances < self._min_p * chances.max()] = 0
        if self._top_p < 1 or self._top_k < len(chances):
            order = np.argsort(-chances, kind="stable")
            before = np.cumsum(chances[order]) - chances[order]
            chances[order[self._top_k :]] = 0
            chances[order[before >= self._top_p]] = 0
        return chances
