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

    def _add_choice(self, choice: dict[str, Any]) -> None:
        index = choice.get("index")
        key = index if isinstance(index, int) else 0
        empty: dict[str, Any] = {"index": key, "finish_reason": None, "logprobs": None}
        empty |= {"message": {"role": "assistant", "content": None}} if self._chat else {"text": ""}
        whole = self._choices.setdefault(key, empty)
        for name, value in choice.items():
            if name == "delta":
                _add_delta(whole["message"], value if isinstance(value, dict) else {})
            elif name == "logprobs":
                whole["logprobs"] = _extended(whole["logprobs"], value)
            elif name == "token_ids" and isinstance(value, list):
                whole["token_ids"] = [*whole.get("token_ids", ()), *value]
            elif name == "text" and isinstance(value, str):
                whole["text"] += value
            elif name != "index" and value is not None:
                whole[name] = value


def _add_delta(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            calls = message.setdefault("tool_calls", {})
            for position, piece in enumerate(value if isinstance(value, list) else ()):
                if isinstance(piece, dict):
                    _join(calls.setdefault(piece.get("index", position), {}), piece)
        elif value is not None:
            _join(message, {name: value})


def _join(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    for name, value in piece.items():
        if name in _JOINED and isinstance(value, str):
            whole[name] = (whole.get(name) or "") + value
        elif isinstance(value, dict):
            _join(whole.setdefault(name, {}), value)
        elif name != "index" and value is not None:
            whole[name] = value


def _extended(whole: Any, piece: Any) -> Any:
    """Log-probabilities: lists get longer, whatever they are called."""
    if not isinstance(piece, dict):
        return whole
    joined = dict(whole or {})
    for name, value in piece.items():
        joined[name] = [*(joined.get(name) or ()), *value] if isinstance(value, list) else value
    return joined


def _finished(choice: dict[str, Any]) -> dict[str, Any]:
    message = choice["message"]
    calls = message.get("tool_calls")
    if calls is None:
        return choice
    ordered = [calls[index] for index in sorted(calls)]
    return {**choice, "message": {**message, "tool_calls": ordered}}
