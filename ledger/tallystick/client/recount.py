"""What an answer can have counted at most, where its payer has the model's tokenizer.

Pure. An upper bound, never a verdict on the words: what cannot be compared exactly is bounded more loosely,
so that no honest engine is refused. How loosely stands in docs/decisions/0016.
"""

import codecs
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from tallystick.client.ask import CHAT_PATH, Ask
from tallystick.ports import Recount
from tallystick.protocol.transcript import TEXTLESS_ALLOWANCE, texts
from tallystick.protocol.units import Tokens

_PLAIN: Final = frozenset(
    {
        "model",
        "messages",
        "prompt",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "stop",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "stop_token_ids",
        "include_stop_str_in_output",
        "logprobs",
        "top_logprobs",
        "stream",
        "stream_options",
        "return_token_ids",
        "user",
        "metadata",
        "store",
        "response_format",
        "continue_final_message",
        "add_generation_prompt",
    }
)
"""What a request may say without its text or its prompt being other than the tokenizer has them."""
_PARSED: Final = ("tool_calls", "function_call", "reasoning", "reasoning_content", "refusal")
"""Where an engine puts a part of what the model wrote, without its markers."""
SILENT: Final = 8
"""Tokens that leave no text in an answer, besides one in sixteen: its end, markers, broken bytes."""
_REPLACED: Final = "\ufffd"
_BLOCK: Final = 2_048
"""Characters that are encoded at once."""
_LONGEST: Final = 1 << 20
"""Beyond this a character counts as a token: no honest answer is so long, and encoding takes time."""


def input_size(ask: Ask, recount: Recount) -> Tokens | None:
    """Tokens of the request's input; None where the request or the template leave that open."""
    if not _is_plain(ask) or ask.fields.get("continue_final_message"):
        return None
    if ask.path == CHAT_PATH:
        messages = ask.fields.get("messages")
        if not isinstance(messages, list) or not all(map(_is_text_message, messages)):
            return None
        size = recount.chat_size(messages)
        return None if size is None else Tokens(size)
    prompt = ask.fields.get("prompt")
    prompts = prompt if isinstance(prompt, list) and not _are_ids(prompt) else [prompt]
    sizes = [_prompt_size(item, recount) for item in prompts]
    return None if None in sizes else Tokens(sum(size for size in sizes if size is not None))


class Output:
    """The output tokens of one answer, recounted as it comes."""

    def __init__(self, ask: Ask, recount: Recount):
        self._recount = recount
        self._choices: dict[object, _Choice] = {}
        stop = ask.fields.get("stop")
        stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
        self._reach = max((len(text) for text in stops if isinstance(text, str)), default=0)
        """Characters that an engine may hold back, or cut off, for a stop string."""
        self._bounded = _is_plain(ask)

    def add(self, chunk: Mapping[str, Any]) -> None:
        """The next payload, parsed."""
        choices = chunk.get("choices") if self._bounded else None
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                index = choice.get("index")
                key = index if isinstance(index, int) else 0
                if key not in self._choices:
                    self._choices[key] = _Choice(self._recount, self._reach)
                self._choices[key].add(choice)

    @property
    def bound(self) -> Tokens | None:
        """No honest count is larger; None: the request leaves that to the bounds of a payer without one."""
        if not self._bounded:
            return None
        return Tokens(sum(choice.bound for choice in self._choices.values()))


class _Choice:
    def __init__(self, recount: Recount, reach: int):
        self._reach = reach
        self._shown = recount.shown
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._said = _Text(recount)
        """All of it, parsed parts included."""
        self._ahead: deque[str] = deque()
        """What the ids say beyond the text so far, id by id."""
        self._ids = 0
        self._last = -1
        self._repeated = 0
        """Ids that are the one before them again."""
        self._silent = 0
        self._differs = False
        """The text is not that of the ids."""
        self._parsed = False

    def add(self, choice: Mapping[str, Any]) -> None:
        ids = choice.get("token_ids")
        if isinstance(ids, list) and _are_ids(ids):
            for token in ids:
                self._add_id(token)
        for said in (choice, choice.get("delta"), choice.get("message")):
            if isinstance(said, dict):
                for text in texts(said):
                    self._said.add(text)
                self._parsed = self._parsed or any(said.get(name) for name in _PARSED)
                for name in ("content", "text"):
                    if isinstance(shown := said.get(name), str):
                        self._match(shown)

    def _add_id(self, token: int) -> None:
        data = self._shown(token)
        self._ids += 1
        self._repeated += bool(data) and token == self._last
        self._last = token
        self._silent += not data
        if said := self._decoder.decode(data):
            self._ahead.append(said)

    def _match(self, text: str) -> None:
        at = 0
        while self._ahead and text.startswith(self._ahead[0], at):
            at += len(self._ahead.popleft())
        text = text[at:]
        if self._ahead and self._ahead[0].startswith(text):
            self._ahead[0] = self._ahead[0].removeprefix(text)
        elif text not in ("", _REPLACED):  # An engine may show what at the end is no whole character.
            self._differs = True

    @property
    def bound(self) -> int:
        agrees = self._ids > 0 and not self._parsed and self._agrees
        if agrees and 2 * self._ids <= self._said.length:
            return self._ids
        size = self._said.size()
        if (
            agrees
        ):  # A model may spell, but not all the time; a token that it repeats is in the text each time.
            return min(self._ids, 2 * size + self._repeated + self._silent + SILENT + self._reach)
        return size + size // 4 + (TEXTLESS_ALLOWANCE if self._parsed else SILENT + self._reach)

    @property
    def _agrees(self) -> bool:
        """Whether the ids are those of the text, but for an end that an engine holds back or leaves out: a
        stop string, the token that it ends in, bytes that are no character."""
        silent = self._silent <= SILENT + self._ids // 16
        replaced = sum(not said.strip(_REPLACED) for said in self._ahead)
        left = len(self._ahead) - min(replaced, SILENT)
        return not self._differs and silent and left <= self._reach + 1


class _Text:
    """A text that grows, and its size. What is old is not encoded anew: any token may bring a receipt."""

    def __init__(self, recount: Recount):
        self._recount = recount
        self._new: list[str] = []
        self._new_length = 0
        self._old_size = 0
        self.length = 0
        """Characters."""

    def add(self, text: str) -> None:
        self._new.append(text)
        self._new_length += len(text)
        self.length += len(text)

    def size(self) -> int:
        """Tokens, and perhaps one more for each `_BLOCK` of them."""
        text = "".join(self._new)
        size = self._old_size + self._recount.text_size(text[:_LONGEST]) + len(text[_LONGEST:])
        if self._new_length >= _BLOCK:
            self._new, self._new_length, self._old_size = [], 0, size
        return size


def _is_plain(ask: Ask) -> bool:
    return all(name in _PLAIN or value is None for name, value in ask.fields.items())


def _is_text_message(message: object) -> bool:
    return (
        isinstance(message, dict)
        and message.keys() == {"role", "content"}
        and all(isinstance(value, str) for value in message.values())
    )


def _prompt_size(prompt: object, recount: Recount) -> int | None:
    if isinstance(prompt, str):
        return recount.prompt_size(prompt)
    return len(prompt) if isinstance(prompt, list) and _are_ids(prompt) else None


def _are_ids(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 32 for item in value)
