"""The chunks of a stream put together into the answer that was not streamed.

For answers that are too large for the provider's credit in one piece: they are streamed underneath. Shapes
are OpenAI's, with vLLM's additions; what this does not know is kept as the last chunk said it. Pure.
"""

from collections.abc import Mapping
from typing import Any, Final

_JOINED: Final = frozenset({"content", "reasoning", "reasoning_content", "refusal", "text", "arguments"})
"""Strings that come in pieces."""


class Whole:
    """One answer, growing."""

    __slots__ = ("_chat", "_choices", "_fields")

    def __init__(self, *, chat: bool):
        self._chat = chat
        self._fields: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Mapping[str, Any]) -> None:
        """The next chunk, parsed. What has not the shape of one adds nothing."""
        for name, value in chunk.items():
            if name == "choices":
                for choice in value if isinstance(value, list) else ():
                    if isinstance(choice, dict):
                        self._add_choice(choice)
            elif value is not None:
                self._fields[name] = value

    def answer(self) -> dict[str, Any]:
        """A `chat.completion`, or a `text_completion`."""
        fields = {**self._fields, "object": "chat.completion" if self._chat else "text_completion"}
        choices = [self._choices[index] for index in sorted(self._choices)]
        return {**fields, "choices": [_finished(choice) for choice in choices] if self._chat else choices}

    def _add_choice(self, choice: Mapping[str, Any]) -> None:
        whole = self._choices.setdefault(_index(choice), self._empty(_index(choice)))
        for name, value in choice.items():
            match name, value:
                case "index", _:
                    pass
                case "delta", dict() if self._chat:
                    _add_delta(whole["message"], value)
                case "logprobs", _:
                    whole["logprobs"] = _extended(whole["logprobs"], value)
                case "token_ids", list():
                    whole["token_ids"] = [*whole.get("token_ids", ()), *value]
                case "text", str() if not self._chat:
                    whole["text"] += value
                case (("delta" | "message" | "text" | "token_ids"), _):
                    pass  # not what a chunk of this kind has there
                case _ if value is not None:
                    whole[name] = value

    def _empty(self, index: int) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": index, "finish_reason": None, "logprobs": None}
        return choice | ({"message": {"role": "assistant", "content": None}} if self._chat else {"text": ""})


def _add_delta(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if name != "tool_calls":
            _join(message, {name: value})
            continue
        calls = message.setdefault("tool_calls", {})
        for position, piece in enumerate(value if isinstance(value, list) else ()):
            if isinstance(piece, dict):
                _join(calls.setdefault(_index(piece, position), {}), piece)


def _join(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Pieces of text are put together, objects joined; of anything else the last counts."""
    for name, value in piece.items():
        before = whole.get(name)
        if name in _JOINED and isinstance(value, str) and isinstance(before, str | None):
            whole[name] = (before or "") + value
        elif isinstance(value, dict) and isinstance(before, dict | None):
            inner = whole[name] = {} if before is None else before
            _join(inner, value)
        elif name != "index" and value is not None:
            whole[name] = value


def _extended(whole: Any, piece: Any) -> Any:
    """Log-probabilities: lists get longer, whatever they are called."""
    if not isinstance(piece, dict):
        return whole
    joined = dict(whole or {})
    for name, value in piece.items():
        before = joined.get(name)
        if isinstance(value, list):
            joined[name] = [*(before if isinstance(before, list) else ()), *value]
        else:
            joined[name] = value
    return joined


def _index(piece: Mapping[str, Any], otherwise: int = 0) -> int:
    index = piece.get("index")
    return index if type(index) is int else otherwise


def _finished(choice: dict[str, Any]) -> dict[str, Any]:
    message = choice["message"]
    calls = message.get("tool_calls")
    if calls is None:
        return choice
    ordered = [calls[index] for index in sorted(calls)]
    return {**choice, "message": {**message, "tool_calls": ordered}}
