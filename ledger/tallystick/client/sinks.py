"""Where an answer's chunks go: to the caller's stream, into one whole answer, or nowhere.

Each says what bytes the caller gets now. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson

from tallystick.client.continuing import SoFar
from tallystick.client.errors import ProviderUnreachable
from tallystick.client.outcome import EXTENSION, Outcome
from tallystick.client.whole import Whole
from tallystick.protocol.units import to_hex


class Sink(Protocol):
    def payload(self, data: bytes, chunk: Mapping[str, Any]) -> bytes: ...

    def other(self, line: bytes) -> bytes: ...

    def end(self, outcome: Outcome) -> bytes:
        """What is still to be said once the stream has ended."""


class Relay:
    """The caller's stream: what came, less the usage that the caller did not ask for. Programs that add up
    the usage of all chunks would count too much.

    The last chunk waits for the receipt, so that it can say what the answer cost.
    """

    __slots__ = ("_held", "_shows_running_usage", "_shows_usage")

    def __init__(self, *, shows_usage: bool, shows_running_usage: bool):
        self._shows_usage = shows_usage
        self._shows_running_usage = shows_running_usage
        self._held = b""

    def payload(self, data: bytes, chunk: Mapping[str, Any]) -> bytes:
        if not chunk:
            return b""  # no JSON object: it is hashed like everything, and would only make programs stumble
        choices = chunk.get("choices")
        is_usage = choices == [] and isinstance(chunk.get("usage"), dict)
        if is_usage and not self._shows_usage:
            return b""
        if choices and isinstance(chunk.get("usage"), dict) and not self._shows_running_usage:
            data = orjson.dumps({name: value for name, value in chunk.items() if name != "usage"})
        before, self._held = self._held, b""
        if is_usage or _finishes(choices):
            self._held = data
            return _framed(before)
        return _framed(before) + _framed(data)

    def other(self, line: bytes) -> bytes:
        return line + b"\n\n" if line.startswith(b":") else line + b"\n"

    def end(self, outcome: Outcome) -> bytes:
        held, self._held = self._held, b""
        return _framed(with_outcome(held, outcome)) + (b"" if outcome.cut else b"data: [DONE]\n\n")


class Gather:
    """The answer that is streamed underneath."""

    __slots__ = ("_left", "whole")

    def __init__(self, *, chat: bool, limit: int):
        """`limit`: bytes that may be gathered."""
        self.whole = Whole(chat=chat)
        self._left = limit

    def payload(self, data: bytes, chunk: Mapping[str, Any]) -> bytes:
        """Raises ProviderUnreachable where they are too many."""
        self._left -= len(data)
        if self._left < 0:
            raise ProviderUnreachable("The answer is too large.")
        self.whole.add(chunk)
        return b""

    def other(self, line: bytes) -> bytes:
        return b""

    def end(self, outcome: Outcome) -> bytes:
        return b""


class Unscored:
    """For whoever did not ask for the log-probabilities that came."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Sink):
        self._inner = inner

    def payload(self, data: bytes, chunk: Mapping[str, Any]) -> bytes:
        if any(_is_scored(choice) for choice in _choices(chunk)):
            chunk = _unscored(chunk)
            data = orjson.dumps(chunk)
        return self._inner.payload(data, chunk)

    def other(self, line: bytes) -> bytes:
        return self._inner.other(line)

    def end(self, outcome: Outcome) -> bytes:
        return self._inner.end(outcome)


class Continuable:
    """Of one answer that several may say, one after another: what its caller sees is one."""

    __slots__ = ("_inner", "said")

    def __init__(self, inner: Sink):
        self._inner = inner
        self.said = SoFar()

    def payload(self, data: bytes, chunk: Mapping[str, Any]) -> bytes:
        return self._inner.payload(*self.said.joined(data, chunk))

    def other(self, line: bytes) -> bytes:
        return self._inner.other(line)

    def end(self, outcome: Outcome) -> bytes:
        return self._inner.end(outcome)


class Discard:
    """An answer that is fetched again for its receipts alone."""

    __slots__ = ()

    def payload(self, data: bytes, chunk: Mapping[str, Any]) -> bytes:
        return b""

    def other(self, line: bytes) -> bytes:
        return b""

    def end(self, outcome: Outcome) -> bytes:
        return b""


def with_outcome(answer: bytes, outcome: Outcome) -> bytes:
    """The JSON object with one more member, `tallystick`; all its other bytes stay as they came."""
    head = answer.rstrip()
    if not head.endswith(b"}") or len(head) < 3:
        return answer
    return head[:-1] + b',"' + EXTENSION.encode() + b'":' + orjson.dumps(summary(outcome)) + b"}"


def unscored(body: bytes) -> bytes:
    """A whole answer without the log-probabilities in it."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    return orjson.dumps(_unscored(answer)) if isinstance(answer, dict) else body


def _unscored(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    plain = [choice | {"logprobs": None} if _is_scored(choice) else choice for choice in _choices(chunk)]
    return {**chunk, "choices": plain} if plain else chunk


def _choices(chunk: Mapping[str, Any]) -> Sequence[Any]:
    choices = chunk.get("choices")
    return choices if isinstance(choices, list) else ()


def _is_scored(choice: object) -> bool:
    return isinstance(choice, dict) and choice.get("logprobs") is not None


def summary(outcome: Outcome) -> dict[str, object]:
    """What callers see of an outcome in JSON; the cost in atoms."""
    receipt = outcome.receipt
    told: dict[str, object] = {"cost": outcome.cost, "provider": to_hex(outcome.provider)}
    if receipt is not None:
        told["receipt"] = to_hex(receipt.message.struct_hash())
    for name, others in (("earlier", outcome.earlier), ("left", outcome.left)):
        if others:
            told[name] = [summary(item) for item in others]
    if outcome.done and outcome.outstanding:
        told["outstanding"] = outcome.outstanding
    if outcome.refusal is not None:
        told["refused"] = outcome.refusal.code
    return told


def _finishes(choices: object) -> bool:
    if not isinstance(choices, list):
        return False
    return any(isinstance(choice, dict) and choice.get("finish_reason") for choice in choices)


def _framed(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n" if data else b""
