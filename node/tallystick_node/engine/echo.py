"""The echo engine: a deterministic stand-in for load tests. It runs no model, and every answer says as much.

    python -m tallystick_node.engine.echo --port 8000

A token is a word. It repeats the words of the last message: once, or, given `max_tokens`, around and around
until exactly so many are said. Where tools are offered and one is required, or the last message has the word
"tool" in it, it calls the first tool (or the one named) with arguments made up after the tool's schema. Where
its answer is to be one of several (`structured_outputs`), it says one that follows from the question alone.
"""

import argparse
import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any
from zlib import crc32

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.speed import Speed
from tallystick_node.engine.openai_replies import Call, Piece, Prompt, Scored
from tallystick_node.engine.openai_requests import ChatRequest, Request, Tool, ToolChoice, plain_text
from tallystick_node.engine.openai_server import ConnectionCut, EngineFailed, Load, arguments, serve
from tallystick_node.engine.pace import Pacer, read_speed
from tallystick_node.engine.wording import Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How an echo engine behaves, and misbehaves where a test asks it to."""

    name: str = "echo"
    max_model_len: int = 4096
    first_token_delay: float = 0
    """Seconds before an answer's first token."""
    token_delay: float = 0
    """Seconds before each token after that."""
    speed: Speed | None = None
    """Tokens come as an engine of these constants makes them, all requests sharing it, after those delays."""
    cached_tokens: int | None = None
    """How many tokens of each prompt to report as cached, at most; None says nothing of a cache."""
    die_after_tokens: int | None = None
    """Cuts the connection once so many tokens of an answer are out."""
    fail_every: int | None = None
    """Answers every so many-th request with an error of its own."""


class EchoEngine:
    def __init__(self, manner: Manner) -> None:
        self.name = manner.name
        self.max_model_len = manner.max_model_len
        self._manner = manner
        self._pacer = None if manner.speed is None else Pacer(manner.speed)
        self._running = 0
        self._begun = 0

    def prompt(self, source: str | list[int]) -> Prompt:
        return self._prompt(source if isinstance(source, str) else " ".join(map(str, source)))

    def chat_prompt(self, messages: list[dict[str, Any]], *, continued: bool = False) -> Prompt:
        return self._prompt(" ".join(message["content"] for message in plain_text(messages)))

    async def generate(
        self, request: Request, prompt: Prompt, *, choice: int, max_tokens: int
    ) -> AsyncGenerator[Piece]:
        manner = self._manner
        self._begun += 1
        if manner.fail_every is not None and self._begun % manner.fail_every == 0:
            raise EngineFailed("the echo engine was started to fail now")
        self._running += 1
        try:
            delay = manner.first_token_delay
            async with aclosing(self._paced(request, prompt, max_tokens)) as pieces:
                said = 0
                async for piece in pieces:
                    if said == manner.die_after_tokens:
                        raise ConnectionCut
                    if delay:
                        await asyncio.sleep(delay)
                    delay, said = manner.token_delay, said + 1
                    yield piece
        finally:
            self._running -= 1

    async def _paced(self, request: Request, prompt: Prompt, max_tokens: int) -> AsyncGenerator[Piece]:
        """Each piece once it is due."""
        if self._pacer is None:
            for piece in _pieces(request, prompt, max_tokens):
                yield piece
            return
        pieces = list(
            _pieces(request, prompt, max_tokens)
        )  # An engine lets a sequence go with its last token.
        async with aclosing(self._pacer.tokens(len(prompt.token_ids), len(pieces))) as due:
            for piece in pieces:
                await anext(due)
                yield piece

    def load(self) -> Load:
        pacer = self._pacer
        if pacer is None:
            return Load(self._running, 0, 0)
        return Load(pacer.running, pacer.waiting, pacer.cache_used)

    def _prompt(self, text: str) -> Prompt:
        token_ids = tuple(map(_id, text.split()))
        cached = self._manner.cached_tokens
        return Prompt(
            token_ids=token_ids, text=text, cached=None if cached is None else min(cached, len(token_ids))
        )


def _pieces(request: Request, prompt: Prompt, max_tokens: int) -> Iterator[Piece]:
    """The whole answer. Every piece is a token."""
    wanted = request.wanted_prompt_logprobs
    prompt_scores = () if wanted is None else _prompt_scores(prompt, wanted)
    said = 0
    if isinstance(request, ChatRequest):
        text, said = _to_echo(request)
        if not said and (tool := _called(request, text)) is not None:
            yield from _calling(tool, text, max_tokens)
            return
        if request.only:
            said_one = request.only[_id(text) % len(request.only)]
            yield Piece(said_one, (_id(said_one),), (), None, "length" if max_tokens == 1 else "stop")
            return
    else:
        text = prompt.text
    words = text.split()[said if request.wanted_tokens is None else 0 :] or ["…"]
    rounds = words if request.wanted_tokens is None else islice(cycle(words), said, None)
    count = min(max_tokens, len(words)) if request.wanted_tokens is None else max_tokens
    finish = "length" if count == max_tokens else "stop"
    wording = Wording(request.stops, include_stop=request.include_stop_str_in_output)
    for i, word in enumerate(islice(rounds, count)):
        shown, stop = wording.add((word if i == said == 0 else f" {word}").encode())
        last = stop is not None or i == count - 1
        if last and stop is None:
            rest, stop = wording.rest()
            shown += rest
        scores = () if request.wanted_logprobs is None else (_score(word, request.wanted_logprobs),)
        ending = ("stop" if stop is not None else finish) if last else None
        yield Piece(shown, (_id(word),), scores, None, ending, stop, prompt_scores if i == 0 else ())
        if last:
            return


def _to_echo(request: ChatRequest) -> tuple[str, int]:
    """The text, and how many words of its echo are said already in a last message to go on with."""
    texts = [message["content"] for message in plain_text(request.messages)]
    if request.continue_final_message and len(texts) > 1:
        return texts[-2], len(texts[-1].split())
    return texts[-1], 0


def _called(request: ChatRequest, text: str) -> Tool | None:
    match request.tool_choice:
        case _ if not request.tools:
            return None
        case ToolChoice(function=function):
            return next((tool for tool in request.tools if tool.function.name == function.name), None)
        case "required":
            return request.tools[0]
        case "auto" if request.messages[-1].get("role") != "tool" and "tool" in text.lower().split():
            return request.tools[0]
    return None


def _calling(tool: Tool, text: str, max_tokens: int) -> Iterator[Piece]:
    name = tool.function.name
    parts = re.findall(r"\S+\s*", json.dumps(_example(tool.function.parameters or {}, text)))
    calls = [Call("", f"call_{_id(f'{name} {text}'):08x}", name), *map(Call, parts)][:max_tokens]
    finish = "tool_calls" if len(calls) == 1 + len(parts) else "length"
    for i, call in enumerate(calls):
        ending = finish if i == len(calls) - 1 else None
        yield Piece("", (_id(call.name or call.arguments),), (), call, ending)


def _example(schema: dict[str, Any], text: str) -> object:
    """Something that `schema` admits, made of `text` where a text is asked for."""
    match schema:
        case {"enum": [first, *_]}:
            return first
        case {"type": "string"}:
            return text
        case {"type": "integer" | "number"}:
            return len(text.split())
        case {"type": "boolean"}:
            return True
        case {"type": "array"}:
            return [_example(schema.get("items", {}), text)]
        case _:
            return {name: _example(part, text) for name, part in schema.get("properties", {}).items()}


def _id(word: str) -> int:
    return crc32(word.encode()) % (1 << 31)


def _score(word: str, likeliest: int) -> Scored:
    """An echo is certain of every word."""
    plain = Scored(_id(word), word, word.encode(), 0.0, 1)
    return Scored(plain.id, word, plain.data, 0.0, 1, (plain,)) if likeliest else plain


def _prompt_scores(prompt: Prompt, wanted: int) -> tuple[Scored, ...]:
    if not prompt.token_ids:
        return ()
    first, *others = prompt.text.split()
    return Scored(_id(first), first, first.encode(), None, 0), *(_score(word, wanted) for word in others)


def read_manner(command_line: Sequence[str] | None = None) -> tuple[Manner, str, int]:
    """How to behave, and the host and port to listen on."""
    parser = arguments("A deterministic stand-in for an engine: it repeats what it is told.")
    parser.add_argument("--max-model-len", type=int, default=4096)
    parser.add_argument("--first-token-delay-ms", type=float, default=0)
    parser.add_argument("--token-delay-ms", type=float, default=0)
    parser.add_argument(
        "--speed", type=_speed, help="JSON of a Speed, or a file of it: how fast to pretend to be"
    )
    parser.add_argument("--cached-tokens", type=int, help="report up to so many prompt tokens as cached")
    parser.add_argument("--die-after-tokens", type=int, help="cut the connection after so many tokens")
    parser.add_argument("--fail-every", type=int, help="answer every so many-th request with a 500")
    options = parser.parse_args(command_line)
    manner = Manner(
        name=options.served_model_name or "echo",
        max_model_len=options.max_model_len,
        first_token_delay=options.first_token_delay_ms / 1000,
        token_delay=options.token_delay_ms / 1000,
        speed=options.speed,
        cached_tokens=options.cached_tokens,
        die_after_tokens=options.die_after_tokens,
        fail_every=options.fail_every,
    )
    return manner, options.host, options.port


def _speed(text: str) -> Speed:
    try:
        return read_speed(text)
    except MalformedMessage as error:
        raise argparse.ArgumentTypeError(error.message) from error


if __name__ == "__main__":
    manner, host, port = read_manner()
    asyncio.run(serve(EchoEngine(manner), host, port))
