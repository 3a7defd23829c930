"""The OpenAI API over HTTP, with vLLM's extensions, for an engine of ours.

It knows requests, replies and HTTP. What a token is, and which comes next, it asks the engine.
"""

import argparse
import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from aiohttp import web

from tallystick_node.engine.openai_replies import (
    DONE,
    ChatReply,
    CompletionReply,
    Json,
    Piece,
    Prompt,
    Reply,
    error_body,
    event,
    joined,
    refusal_body,
)
from tallystick_node.engine.openai_requests import (
    ChatRequest,
    CompletionRequest,
    Request,
    RequestRefused,
    TokenizeRequest,
    checked,
    parse,
)

LARGEST_BODY = 16 << 20
STREAM_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}


class EngineFailed(Exception):
    """The engine cannot answer this request, through no fault of the request."""


class ConnectionCut(Exception):
    """The engine breaks off in mid-answer, without a word."""


@dataclass(frozen=True, slots=True)
class Load:
    running: int
    waiting: int
    cache_used: float
    """The part of the engine's cache in use, from 0 to 1."""


class Engine(Protocol):
    name: str
    max_model_len: int
    """The most tokens of prompt and answer together."""

    def prompt(self, source: str | list[int]) -> Prompt:
        """Raises RequestRefused for ids that no token has."""

    def chat_prompt(self, messages: list[dict[str, Any]], *, continued: bool = False) -> Prompt:
        """`continued`: the answer goes on with the last message. Raises RequestRefused for messages that the
        model cannot read."""

    def generate(
        self, request: Request, prompt: Prompt, *, choice: int, max_tokens: int
    ) -> AsyncGenerator[Piece]:
        """One choice's pieces, the last with its `finish`. Closing it early frees whatever it holds."""

    def load(self) -> Load: ...


def app(engine: Engine) -> web.Application:
    """Every endpoint over `engine`."""
    routes = _Routes(engine)
    application = web.Application(client_max_size=LARGEST_BODY)
    application.add_routes(
        [
            web.get("/health", routes.health),
            web.get("/metrics", routes.metrics),
            web.get("/v1/models", routes.models),
            web.post("/v1/chat/completions", _answering(routes.chat)),
            web.post("/v1/completions", _answering(routes.completions)),
            web.post("/tokenize", _answering(routes.tokenize)),
        ]
    )
    return application


@asynccontextmanager
async def serving(engine: Engine, host: str, port: int) -> AsyncIterator[int]:
    """Listens until left, and yields the port, which is a free one where 0 was asked for."""
    # A handler is cancelled when its caller goes away: nobody should wait behind an answer that nobody reads.
    runner = web.AppRunner(app(engine), access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every engine of ours has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one and prints it")
    parser.add_argument("--served-model-name")
    return parser


async def serve(engine: Engine, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT, and prints where."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    async with serving(engine, host, port) as bound:
        print(f"{engine.name}: ready on http://{host}:{bound}", flush=True)  # noqa: T201 (whoever started it reads this)
        await stopped.wait()


class _Routes:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def metrics(self, _: web.Request) -> web.Response:
        load, labels = self._engine.load(), f'{{engine="0",model_name="{self._engine.name}"}}'
        lines = [
            line
            for name, value in (
                ("vllm:num_requests_running", load.running),
                ("vllm:num_requests_waiting", load.waiting),
                ("vllm:kv_cache_usage_perc", load.cache_used),
            )
            for line in (f"# TYPE {name} gauge", f"{name}{labels} {float(value)}")
        ]
        return web.Response(text="\n".join(lines) + "\n")

    async def models(self, _: web.Request) -> web.Response:
        engine = self._engine
        model = {
            "id": engine.name,
            "object": "model",
            "created": 0,
            "owned_by": "tallystick",
            "root": engine.name,
            "parent": None,
            "max_model_len": engine.max_model_len,
        }
        return _json({"object": "list", "data": [model]})

    async def tokenize(self, http: web.Request) -> web.StreamResponse:
        request = parse(TokenizeRequest, await http.read())
        engine, text = self._engine, request.prompt
        prompt = engine.chat_prompt(request.messages) if text is None else engine.prompt(text)
        tokens = prompt.token_ids
        return _json({"count": len(tokens), "max_model_len": engine.max_model_len, "tokens": tokens})

    async def chat(self, http: web.Request) -> web.StreamResponse:
        request = checked(ChatRequest, await http.read())
        self._check_model(request)
        prompt = self._engine.chat_prompt(request.messages, continued=request.continue_final_message)
        return await self._answer(http, request, [prompt], ChatReply(request, prompt, self._engine.name))

    async def completions(self, http: web.Request) -> web.StreamResponse:
        request = checked(CompletionRequest, await http.read())
        self._check_model(request)
        prompts = [self._engine.prompt(source) for source in request.prompts()]
        return await self._answer(
            http, request, prompts, CompletionReply(request, prompts, self._engine.name)
        )

    def _check_model(self, request: Request) -> None:
        if request.model not in (None, self._engine.name):
            raise RequestRefused(
                f"The model `{request.model}` does not exist. Valid aliases: {self._engine.name}.",
                param="model",
                status=404,
            )

    def _room(self, request: Request, prompt: Prompt) -> int:
        longest, wanted, length = self._engine.max_model_len, request.wanted_tokens, len(prompt.token_ids)
        if wanted is not None and wanted > longest:
            raise RequestRefused(
                f"max_tokens={wanted} cannot be greater than max_model_len={longest}. "
                "Please request fewer output tokens.",
                param="max_tokens",
            )
        if length >= longest:
            raise RequestRefused(
                f"This model's maximum context length is {longest} tokens. However, your prompt contains "
                f"{length} input tokens, which leaves no room for an answer. Please shorten the prompt.",
                param="input_tokens",
            )
        return longest - length if wanted is None else min(wanted, longest - length)

    async def _answer(
        self, http: web.Request, request: Request, prompts: Sequence[Prompt], reply: Reply
    ) -> web.StreamResponse:
        rooms = [self._room(request, prompt) for prompt in prompts]
        choices = [
            self._engine.generate(request, prompts[i], choice=choice, max_tokens=rooms[i])
            for i in range(len(prompts))
            for choice in range(request.choices)
        ]
        if request.stream:
            return await _stream(http, request, choices, reply)
        answers: list[list[Piece]] = [[] for _ in choices]
        async with aclosing(_merged(choices)) as pieces:
            async for index, piece in pieces:
                answers[index].append(piece)
        return _json(reply.body(list(map(joined, answers))))


async def _stream(
    http: web.Request, request: Request, choices: Sequence[AsyncGenerator[Piece]], reply: Reply
) -> web.StreamResponse:
    response = web.StreamResponse(headers=STREAM_HEADERS)
    async with aclosing(_merged(choices)) as pieces:
        # The first piece is awaited before the headers leave: a failure until then still gets its own status.
        choice, piece = await anext(pieces)
        await response.prepare(http)
        openings = [opening for i in range(len(choices)) if (opening := reply.opening(i)) is not None]
        await response.write(b"".join(map(event, openings)) + event(reply.chunk(choice, piece)))
        async for choice, piece in pieces:
            await response.write(event(reply.chunk(choice, piece)))
    if request.stream_options is not None and request.stream_options.include_usage:
        await response.write(event(reply.last_chunk()))
    await response.write(DONE)
    await response.write_eof()
    return response


async def _merged(choices: Sequence[AsyncGenerator[Piece]]) -> AsyncGenerator[tuple[int, Piece]]:
    """The pieces of all choices as they come."""
    if len(choices) == 1:
        async with aclosing(choices[0]) as only:
            async for piece in only:
                yield 0, piece
        return

    async def following(choice: AsyncGenerator[Piece]) -> Piece | None:
        return await anext(choice, None)

    coming = {asyncio.create_task(following(pieces)): index for index, pieces in enumerate(choices)}
    try:
        while coming:
            done, _ = await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=coming.__getitem__):
                index = coming.pop(task)
                if (found := task.result()) is not None:
                    coming[asyncio.create_task(following(choices[index]))] = index
                    yield index, found
    finally:
        for task in coming:
            task.cancel()
        await asyncio.gather(*coming, return_exceptions=True)
        for choice in choices:
            await choice.aclose()


def _answering(
    handler: Callable[[web.Request], Coroutine[None, None, web.StreamResponse]],
) -> Callable[[web.Request], Coroutine[None, None, web.StreamResponse]]:
    async def answer(http: web.Request) -> web.StreamResponse:
        try:
            return await handler(http)
        except RequestRefused as refused:
            return _json(refusal_body(refused), refused.status)
        except EngineFailed as failed:
            return _json(error_body(str(failed), status=500), 500)
        except ConnectionCut:
            if http.transport is not None:
                http.transport.close()
            raise asyncio.CancelledError from None

    return answer


def _json(body: Json, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
