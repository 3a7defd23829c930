"""From words to token ids and back, as the model's own tokenizer and chat template have it.

It knows no weights and no requests. Byte-level tokenizers only: a token then is a few bytes, whatever stands
beside it. It needs the packages of `tallystick[tokenizer]`, so nobody imports it who was not asked to.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer


class UnsupportedModel(Exception):
    """Its folder holds no tokenizer or template of a kind that is known here."""


class Vocabulary:
    """The tokenizer and chat template of a model's folder."""

    def __init__(self, folder: Path) -> None:
        """Raises UnsupportedModel; OSError, ValueError or KeyError for files that are none."""
        text = (folder / "tokenizer.json").read_text()
        description = json.loads(text)
        if (description.get("decoder") or {}).get("type") != "ByteLevel":
            raise UnsupportedModel("its tokenizer does not work on bytes")
        try:
            self._tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # it raises nothing more specific
            raise UnsupportedModel(f"its tokenizer.json: {error}") from error
        added = {token["id"]: token["content"] for token in description["added_tokens"]}
        self._special = frozenset(token["id"] for token in description["added_tokens"] if token["special"])
        byte_of = _byte_of_character()
        self.token_bytes: list[bytes] = [
            added[i].encode()
            if i in added
            else bytes(byte_of[character] for character in self._tokenizer.id_to_token(i) or "")
            for i in range(self._tokenizer.get_vocab_size())
        ]
        """What each id stands for, by id."""
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        self._named = {name: _content(settings.get(name)) for name in ("bos_token", "eos_token", "pad_token")}
        self._marks = sum(settings.get(name) is True for name in ("add_bos_token", "add_eos_token"))
        template = folder / "chat_template.jinja"
        source = template.read_text() if template.is_file() else settings.get("chat_template")
        if not isinstance(source, str):
            raise UnsupportedModel("it has no chat template")
        # With the settings of transformers and vLLM: a newline that they drop would count as a token here.
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = lambda value, **options: json.dumps(
            value, ensure_ascii=False, **options
        )
        environment.globals["raise_exception"] = _refuse
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise UnsupportedModel(f"its chat template: {error}") from error
        self._dated = "strftime_now" in source

    def __len__(self) -> int:
        return len(self.token_bytes)

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The ids of `text`. A chat template writes its special tokens itself: it wants none added."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        return ids

    def shown(self, token: int) -> bytes:
        """What a reader sees of a token: nothing of a special one, or of an id that names none."""
        if token in self._special or token >= len(self.token_bytes):
            return b""
        return self.token_bytes[token]

    def decode(self, tokens: Iterable[int]) -> str:
        return b"".join(map(self.shown, tokens)).decode(errors="replace")

    def render(self, messages: Sequence[Mapping[str, Any]], *, continued: bool = False) -> str:
        """The conversation as the model reads it, up to where its answer begins; `continued`: up to the end
        of the last message, which the model is to go on with."""
        text: str = self._template.render(
            messages=messages, tools=None, documents=None, add_generation_prompt=not continued, **self._named
        )
        if not continued:
            return text
        last = str(messages[-1]["content"])
        end = text.rindex(last.strip()) + len(last.strip())
        kept = text.startswith(last, end - len(last.rstrip()))  # some templates trim what they are given
        return text[: end + (len(last) - len(last.rstrip()) if kept else 0)]

    # ------------------------------------------------------------------------- as a payer's `Recount`

    def text_size(self, text: str) -> int:
        return len(self.encode(text, special=False))

    def prompt_size(self, text: str) -> int:
        """With the marks for begin and end that its settings speak of: not every engine sets them."""
        return max(len(self.encode(text)), self.text_size(text) + self._marks)

    def chat_size(self, messages: Sequence[Mapping[str, Any]]) -> int | None:
        if self._dated:
            return None
        try:
            return self.prompt_size(self.render(messages))
        except (TemplateError, TypeError, ValueError, KeyError):
            return None


def _refuse(message: str) -> NoReturn:
    """What a template calls that cannot render a conversation."""
    raise TemplateError(message)


def _content(token: str | dict[str, str] | None) -> str | None:
    """A special token's text, which older models write as an object."""
    return token["content"] if isinstance(token, dict) else token


def _byte_of_character() -> dict[str, int]:
    """What byte each character of a byte-level vocabulary stands for: GPT-2's table, printable ones as is."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
