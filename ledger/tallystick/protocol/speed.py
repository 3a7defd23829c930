"""How long an engine's steps take, from a handful of constants and what it has to do at the moment.

One step of continuous batching gives each running sequence a token and takes in a piece of the prompts that
wait. Reading the weights and computing overlap in part, which the exponent 3/2 stands for; the form and its
constants fit published tables of vLLM and Vidur to a few percent. Times are predictions, never money: floats.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Final

from tallystick.protocol.message import Message
from tallystick.protocol.units import Tokens
from tallystick.protocol.value import value

ATTENTION: Final = 3e-5
"""Of a prompt token's time, for each token of context before it."""
WAITING: Final = 4
"""What a second before the first token weighs, against one of the answer."""
_ANSWER: Final = 128
"""Output tokens that an answer of others has at least, on the average."""
_PS: Final = 1e-12
_KNOWN: Final = 4_096
"""Sums that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed(Message):
    """An engine's constants; times in picoseconds. An engine whose step is always alike has only `fixed`."""

    TYPE: ClassVar[str] = (
        "Speed(uint64 fixed,uint64 sequence,uint64 weights,uint64 token,uint64 context,uint64 capacity,"
        "uint32 chunk)"
    )
    fixed: int
    """Of every step."""
    sequence: int
    """Of every sequence in it."""
    weights: int
    """To read the weights once."""
    token: int
    """To compute one token."""
    context: int
    """To read one token of context."""
    capacity: Tokens
    """Tokens of context that fit at a time; zero: any number."""
    chunk: Tokens
    """Prompt tokens that one step takes in at most; zero: any number."""
    _overlapped: dict[int, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By tokens computed in a step, what that and reading the weights take: asked for over and over."""

    @property
    def is_known(self) -> bool:
        """All zero: the provider has not seen its engine at work, or does not say."""
        return bool(self.fixed or self.sequence or self.weights or self.token or self.context)

    def step_s(self, sequences: int, context: int, prompt: int = 0) -> float:
        """Seconds of one step over `sequences` running ones that hold `context` tokens, with `prompt` tokens
        taken in beside them."""
        tokens = sequences + prompt
        overlapped = self._overlapped.get(tokens)
        if overlapped is None:
            overlapped = self._found(tokens)
        if not prompt:
            return _PS * (self.fixed + self.sequence * sequences + overlapped + self.context * context)
        attention = ATTENTION * self.token * prompt * (context / sequences if sequences else prompt / 2)
        return _PS * (
            self.fixed + self.sequence * (sequences + 1) + overlapped + self.context * context + attention
        )

    def _found(self, tokens: int) -> float:
        known = self._overlapped
        if len(known) >= _KNOWN:
            known.clear()
        found: float = (self.weights**1.5 + (self.token * tokens) ** 1.5) ** (2 / 3)
        known[tokens] = found
        return found


@value(kw_only=False)
class Load:
    """What an engine has to do at one moment."""

    running: int
    """Sequences that get a token in each step."""
    waiting: int
    """Requests of which nothing came yet."""
    context: Tokens
    """Tokens held, of all sequences together."""
    queued: Tokens
    """Prompt tokens that are still to be taken in."""


@value(kw_only=False)
class Pace:
    """What a request can expect of an engine."""

    first_s: float
    """Until its first token."""
    token_s: float
    """Between tokens after that."""

    def total_s(self, output_tokens: int) -> float:
        return self.first_s + self.token_s * (output_tokens - 1 if output_tokens > 1 else 0)

    def felt_s(self, output_tokens: int) -> float:
        """The same where a second of waiting for the first token weighs as `WAITING`: nobody reads yet, and a
        queue is what a prediction misjudges most."""
        return self.total_s(output_tokens) + (WAITING - 1) * self.first_s


def pace(speed: Speed, load: Load, input_tokens: int, output_tokens: int) -> Pace:
    """Of one more request of that size under this load, if what comes and goes there stays about as much.

    The step that runs has to end, then the prompts before this one and its own are taken in; where memory is
    full, sequences have to end first. Those that end are followed by others, whose prompts slow each token.
    """
    before, held, chunk, capacity = load.running, load.context, speed.chunk, speed.capacity
    prompts = load.queued + input_tokens
    context = held + prompts + output_tokens // 2
    over = context - capacity if capacity and context > capacity else 0
    following = _following(chunk, before, held, output_tokens)
    steps = -(-prompts // (chunk - before if chunk > before else 1)) if chunk else 1
    first_s = steps * speed.step_s(before, held, prompts // (steps or 1))
    token_s = speed.step_s(before + load.waiting + 1, context - over, following)
    if before:
        first_s += speed.step_s(before, held, following) / 2
    if over:
        first_s += token_s * max(output_tokens, _ANSWER) * over / capacity
    return Pace(first_s, token_s)


def _following(chunk: int, running: int, context: int, output_tokens: int) -> int:
    """Prompt tokens that a step takes in beside the running sequences: each that ends makes room for
    another."""
    length = output_tokens if output_tokens > _ANSWER else _ANSWER
    prompts = (context - running * length // 2) // length
    if prompts <= 0:
        return 0
    return chunk if 0 < chunk < prompts else prompts


def slowdown_s(speed: Speed, load: Load, input_tokens: int, output_tokens: int) -> float:
    """Seconds that one more request of that size takes from all others together."""
    others = load.running + load.waiting
    if not others:
        return 0.0
    with_it = speed.step_s(others + 1, load.context + input_tokens)
    without = speed.step_s(others, load.context)
    return others * ((with_it - without) * output_tokens + 0.8 * input_tokens * speed.token * _PS)
