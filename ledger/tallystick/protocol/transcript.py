"""What was said in answer to one request: the running hash, the running counts.

Payer and provider each keep one over the same payloads, so that a receipt can be made from the one and
checked against the other, at any token. It knows no price, no receipt and no transport. Shapes are OpenAI's,
with vLLM's `token_ids` and `prompt_token_ids` where the engine gives them.
"""

from collections.abc import Mapping, Sequence
from struct import pack
from typing import Any, Final, NamedTuple

import sha3

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.receipt import Finish
from tallystick.protocol.units import ZERO_HASH, Hash32, Tokens

_FINISHES: Final[Mapping[str, Finish]] = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
}


TEXTLESS_ALLOWANCE: Final = Tokens(64)
"""Tokens that leave no text, at most, where no ids show them: the end, a stop string, markers."""
_TEXTS: Final = ("content", "text", "reasoning", "reasoning_content", "refusal")
_IDS: Final = 1 << 32
_NUMBERS: Final = frozenset((int, float))
_LEAST: Final = -1e9
"""No log-probability is lower."""
_CALLS: Final = ("tool_calls", "function_call")


class Said(NamedTuple):
    """The output tokens that one payload brings, as they are hashed."""

    ids: bytes = b""
    """4 bytes each, big-endian."""
    logprobs: bytes = b""
    """8 bytes each, doubles, big-endian; one an id of a choice that has one for each of its ids."""


_NOTHING: Final = Said()


class Counts:
    """Of one answer so far, all choices and prompts of its request together."""

    __slots__ = (
        "_bytes",
        "_deltas",
        "_used",
        "cached_input_tokens",
        "finish",
        "ids",
        "input_tokens",
        "output_tokens",
    )

    def __init__(self) -> None:
        self.input_tokens = Tokens(0)
        """As the engine counts them, cached ones included; zero until it says."""
        self.cached_input_tokens = Tokens(0)
        self.output_tokens = Tokens(0)
        """By token ids where the engine gives them, else by its usage as far as the text bears it out, else
        one a delta.

        It never falls, though a better source that speaks late may count less: what an interim receipt was
        made of stays true."""
        self.finish: Finish | None = None
        """Why the last choice to end ended; None while none has."""
        self.ids = 0
        """Token ids that came."""
        self._used = 0
        self._deltas = 0
        self._bytes = 0
        """Of text that came without ids: a token has at least one."""

    def add(self, chunk: object) -> Said:
        """A payload, parsed; the output tokens in it. What has not the shape of an answer counts nothing."""
        if not isinstance(chunk, dict):
            return _NOTHING
        said = _NOTHING
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                one = self._add_choice(choice)
                said = Said(said.ids + one.ids, said.logprobs + one.logprobs) if said.ids else one
        prompt_ids = chunk.get("prompt_token_ids")
        if isinstance(prompt_ids, list):
            self.input_tokens = Tokens(max(self.input_tokens, len(prompt_ids)))
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._add_usage(usage)
        counted = self.ids or self._borne_out() or self._deltas
        if counted > self.output_tokens:
            self.output_tokens = Tokens(counted)
        return said

    def _add_choice(self, choice: Mapping[str, Any]) -> Said:
        ids = choice.get("token_ids")
        packed = _packed(ids) if isinstance(ids, list) else b""
        self.ids += len(packed) // 4
        if not self.ids:
            self._bytes += _size(choice) + _size(choice.get("delta")) + _size(choice.get("message"))
        delta = choice.get("delta")
        if choice.get("text") or (
            isinstance(delta, dict) and (delta.get("content") or delta.get("tool_calls"))
        ):
            self._deltas += 1
        reason = choice.get("finish_reason")
        if isinstance(reason, str):
            self.finish = _FINISHES.get(reason, Finish.OTHER)
        scores = choice.get("logprobs") if packed else None
        return Said(packed, _scored(scores, len(packed) // 4) if isinstance(scores, dict) else b"")

    def _borne_out(self) -> int:
        """The usage, where a text came that can have so many tokens: a number alone is no delivery."""
        return min(self._used, self._bytes + TEXTLESS_ALLOWANCE) if self._bytes else 0

    def _add_usage(self, usage: Mapping[str, Any]) -> None:
        self.input_tokens = Tokens(max(self.input_tokens, _count(usage.get("prompt_tokens"))))
        self._used = max(self._used, _count(usage.get("completion_tokens")))
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict):
            cached = _count(details.get("cached_tokens"))
            self.cached_input_tokens = Tokens(min(self.input_tokens, max(self.cached_input_tokens, cached)))


class Transcript(Counts):
    """The counts, and what they are counts of."""

    __slots__ = ("_ids", "_logprobs", "_scored", "response_hash")

    def __init__(self, request_hash: Hash32):
        super().__init__()
        self.response_hash = request_hash
        """h₀ = requestHash, hₖ = keccak(hₖ₋₁ ‖ keccak(payloadₖ))."""
        self._ids = sha3.keccak_256()
        self._logprobs = sha3.keccak_256()
        self._scored = False

    @property
    def tokens_hash(self) -> Hash32:
        """keccak(hash of the output token ids ‖ hash of their log-probabilities, zero where none came); zero
        where no ids came."""
        if not self.ids:
            return ZERO_HASH
        logprobs = Hash32(self._logprobs.copy().digest()) if self._scored else ZERO_HASH
        return keccak(self._ids.copy().digest() + logprobs)

    def add_payload(self, payload: bytes) -> None:
        """The raw content of one `data:` line, or the one body. `[DONE]` is framing, not content."""
        self.response_hash = keccak(self.response_hash + keccak(payload))

    def add_counts(self, chunk: object) -> Said:
        """The same payload, parsed; the output tokens in it."""
        said = self.add(chunk)
        self._hash(said)
        return said

    def follow(self, counts: Counts, said: Said) -> None:
        """The same payload, counted: `counts` with it, and the tokens in it. Instead of `add_counts`,
        always."""
        self.input_tokens = counts.input_tokens
        self.cached_input_tokens = counts.cached_input_tokens
        self.output_tokens = counts.output_tokens
        self.finish = counts.finish
        self.ids = counts.ids
        self._hash(said)

    def _hash(self, said: Said) -> None:
        self._ids.update(said.ids)
        if said.logprobs:
            self._scored = True
            self._logprobs.update(said.logprobs)


def tokens_hash(ids: Sequence[int], logprobs: Sequence[float] = ()) -> Hash32:
    """What a receipt over these output tokens says, `logprobs` being as they came: one for each, or none."""
    if not ids:
        return ZERO_HASH
    scores = keccak(_doubles(logprobs)) if logprobs else ZERO_HASH
    return keccak(keccak(_packed(ids)) + scores)


def _packed(ids: Sequence[Any]) -> bytes:
    """None of them where one is no id."""
    for item in ids:
        if type(item) is not int or not 0 <= item < _IDS:
            return b""
    return b"".join([item.to_bytes(4, "big") for item in ids])


def _scored(scores: Mapping[str, Any], count: int) -> bytes:
    """The log-probabilities of a choice's `count` tokens, in the shape of a chat's or of a completion's; none
    of them where they are not as many, or one is no log-probability."""
    content = scores.get("content")
    values = scores.get("token_logprobs")
    if isinstance(content, list):
        values = [item.get("logprob") if isinstance(item, dict) else None for item in content]
    if not isinstance(values, list) or len(values) != count:
        return b""
    for value in values:
        if type(value) not in _NUMBERS or not _LEAST <= value <= 0:
            return b""
    return _doubles(values)


def _doubles(values: Sequence[float]) -> bytes:
    return pack(f">{len(values)}d", *values)


def _size(said: object) -> int:
    """Bytes of the texts in it."""
    return sum(len(text.encode(errors="replace")) for text in texts(said))


def texts(said: object) -> list[str]:
    """All that a choice, a delta or a message says; calls are rounded up."""
    if not isinstance(said, dict):
        return []
    plain = [text for name in _TEXTS if isinstance(text := said.get(name), str)]
    return plain + [repr(call) for name in _CALLS if (call := said.get(name))]


def _count(value: object) -> int:
    """A count off the wire: absurd ones become zero, so that a receipt made of them is refused."""
    return value if type(value) is int and 0 <= value < 1 << 32 else 0
