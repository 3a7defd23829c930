"""An answer that broke off, and the request for its rest, to be put to somebody else.

Pure. What was said becomes the beginning of the next one's answer: a last message that the engine goes on
with (`continue_final_message`, as vLLM has it), or the end of a completion's prompt. Where that would not be
the same answer (several choices, tool calls, reasons, grammars), there is no going on.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from tallystick.client.ask import CHAT_PATH, Ask, read_ask
from tallystick.protocol.units import Tokens

_STARTS_ANEW: Final = (
    *("suffix", "echo", "prompt_logprobs", "structured_outputs", "guided_json", "guided_regex"),
    *("guided_choice", "guided_grammar", "best_of", "use_beam_search"),
)
"""What holds for an answer from its first token, and cannot be taken up in the middle."""
_SILENT: Final = frozenset({"role", "content"})


class SoFar:
    """What the caller has got of one answer, whoever said it."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._ids: list[int] | None = []
        """Of the text; None: not of all of it."""
        self._first: dict[str, Any] = {}
        """What all chunks of one answer share."""
        self._plain = True
        self._finished = False
        self._before = (0, 0)
        """Tokens of the parts that broke off: input and output."""

    # ------------------------------------------------------------------------------------------- what comes

    def joined(self, data: bytes, chunk: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
        """The next payload as the caller is to see it: one answer, though several say it."""
        if any(self._before):
            chunk = self._as_one(chunk)
            data = orjson.dumps(chunk) if chunk else b""
        self._first = self._first or {name: chunk[name] for name in ("id", "created") if name in chunk}
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            self._add(choice if isinstance(choice, dict) else {})
        return data, chunk

    def _add(self, choice: Mapping[str, Any]) -> None:
        delta = choice.get("delta")
        said = delta if isinstance(delta, dict) else {"content": choice.get("text")}
        text = said.get("content") or ""
        strange = any(value for name, value in said.items() if name not in _SILENT)
        self._plain = self._plain and not strange and choice.get("index", 0) == 0 and isinstance(text, str)
        self._finished = self._finished or bool(choice.get("finish_reason"))
        if isinstance(text, str) and text:
            self._texts.append(text)
            ids = choice.get("token_ids")
            if self._ids is not None and isinstance(ids, list) and ids:
                self._ids += ids
            else:
                self._ids = None

    def _as_one(self, chunk: Mapping[str, Any]) -> Mapping[str, Any]:
        one = {**chunk, **self._first}
        one.pop("prompt_token_ids", None)
        if isinstance(usage := chunk.get("usage"), dict):
            one["usage"] = _added(usage, *self._before)
        if isinstance(choices := chunk.get("choices"), list) and choices:
            one["choices"] = kept = [_without_beginning(choice) for choice in choices]
            if not any(map(_says_something, kept)):
                return {}
        return one

    # ------------------------------------------------------------------------------------------- what is left

    def rest(self, ask: Ask, received: Tokens, input_tokens: Tokens) -> Ask | None:
        """The request for what is missing, after so many tokens; None: nobody can go on with it. From here on
        what comes is the rest's."""
        left = None if ask.limit is None else ask.limit - received
        if self._finished or not self._plain or not _goes_on(ask) or (left is not None and left <= 0):
            return None
        fields = self._continued(ask)
        if fields is None:
            return None
        if left is not None:
            name = "max_completion_tokens" if ask.fields.get("max_completion_tokens") else "max_tokens"
            fields[name] = left
        least = fields.get("min_tokens")
        if isinstance(least, int):
            fields["min_tokens"] = max(0, least - received)
        before = self._before
        self._before = before[0] + input_tokens, before[1] + received
        self._texts, self._ids = [], [] if self._ids is not None else None
        rest = read_ask(ask.path, orjson.dumps(fields))
        return replace(
            rest,
            steering=ask.steering,
            continues=ask.continues,
            hedges=ask.hedges,
            audits=ask.audits,
            shuns=ask.shuns,
            added=ask.added,
        )

    def _continued(self, ask: Ask) -> dict[str, Any] | None:
        fields, text = dict(ask.fields), "".join(self._texts)
        if not text:
            return fields
        if ask.path == CHAT_PATH:
            messages = fields.get("messages")
            if not isinstance(messages, list) or not messages:
                return None
            if fields.get("continue_final_message") is True:
                *messages, last = messages
                if not isinstance(last, dict) or not isinstance(last.get("content"), str):
                    return None
                text = last["content"] + text
            fields["messages"] = [*messages, {"role": "assistant", "content": text}]
            return fields | {"continue_final_message": True, "add_generation_prompt": False}
        prompt = fields.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
            (prompt,) = prompt
        if isinstance(prompt, str):
            return fields | {"prompt": prompt + text}
        if isinstance(prompt, list) and self._ids is not None:
            return fields | {"prompt": [*prompt, *self._ids]}
        return None


def _goes_on(ask: Ask) -> bool:
    fields = ask.fields
    shape, chosen = fields.get("response_format"), fields.get("tool_choice")
    return (
        ask.answers == 1
        and not any(fields.get(name) for name in _STARTS_ANEW)
        and (shape is None or (isinstance(shape, dict) and shape.get("type") == "text"))
        and chosen in (None, "auto", "none")
        and (ask.path == CHAT_PATH or not fields.get("logprobs"))
    )


def _without_beginning(choice: Any) -> Any:
    """The role was said already."""
    if not isinstance(choice, dict) or not isinstance(choice.get("delta"), dict):
        return choice
    delta = {name: value for name, value in choice["delta"].items() if name != "role"}
    return {**choice, "delta": delta}


def _says_something(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return True
    delta = choice.get("delta", {"text": choice.get("text")})
    return bool(choice.get("finish_reason") or choice.get("token_ids")) or any(
        value not in (None, "") for value in (delta.values() if isinstance(delta, dict) else (delta,))
    )


def _added(usage: Mapping[str, Any], input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """What all parts together count, as all of it is billed."""
    more = {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }
    return {
        **usage,
        **{name: usage[name] + extra for name, extra in more.items() if isinstance(usage.get(name), int)},
    }
