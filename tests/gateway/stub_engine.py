"""An engine that does as it is told: vLLM's shapes, with switches for everything that may go wrong."""

import asyncio
from itertools import product
from typing import Any

import orjson
from aiohttp import web

MODEL = "stub"


class StubEngine:
    """Answers with `tokens` tokens, one a chunk. Every input has `input_tokens`."""

    def __init__(self) -> None:
        self.tokens = 8
        self.per_chunk = 1
        """Tokens in one chunk of a stream."""
        self.input_tokens = 10
        self.cached_tokens = 0
        self.gives_ids = True
        self.gives_usage = True
        self.counts_on_the_way = True
        """The usage is in every chunk, where it is asked for."""
        self.die_after: int | None = None
        """Tokens after which the connection is cut."""
        self.refuse: tuple[int, dict[str, Any]] | None = None
        """Answer every request with this status and body."""
        self.gate: asyncio.Semaphore | None = None
        """Each token waits for one release."""
        self.started = 0
        """Requests that arrived."""
        self.bodies: list[dict[str, Any]] = []
        self.sent = 0
        self.heard = self.spoken = 0
        """Input and output tokens of all answers: the work that was really done."""
        self.cut = asyncio.Event()
        """Somebody stopped listening."""
        self.models = [MODEL]
        self.url = ""

    async def __aenter__(self) -> "StubEngine":
        app = web.Application(client_max_size=1 << 26)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/v1/completions", self._complete)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": name} for name in self.models]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.started += 1
        body = orjson.loads(await request.read())
        self.bodies.append(body)
        if self.refuse is not None:
            status, answer = self.refuse
            return web.json_response(answer, status=status)
        self.heard += self.input_tokens
        limits = [body.get(name) for name in ("max_tokens", "max_completion_tokens")]
        count = min(self.tokens, max([limit for limit in limits if limit], default=self.tokens))
        copies = (body.get("n") or 1) * (len(prompt) if isinstance(prompt := body.get("prompt"), list) else 1)
        finish = "length" if count < self.tokens else "stop"
        try:
            if body.get("stream"):
                return await self._stream(request, body, count, finish, copies)
            for index in range(count):
                await self._token(request, index)
            self.spoken += count * copies
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": "x " * count},
                "finish_reason": finish,
            }
            if body.get("return_token_ids"):
                choice["token_ids"] = list(range(count))
            choices = [choice | {"index": index} for index in range(copies)]
            return web.json_response(
                {"id": "1", "choices": choices, "usage": self._usage(count * copies)},
            )
        except asyncio.CancelledError:
            self.cut.set()
            raise

    async def _token(self, request: web.Request, index: int) -> None:
        if self.gate is not None:
            await self.gate.acquire()
        if index == self.die_after:
            assert request.transport is not None
            request.transport.abort()
            raise ConnectionResetError

    def _usage(self, count: int) -> dict[str, Any]:
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": count,
            "total_tokens": self.input_tokens + count,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }

    async def _stream(
        self, request: web.Request, body: dict[str, Any], count: int, finish: str, copies: int
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        options = body.get("stream_options") or {}
        running = options.get("continuous_usage_stats") and self.gives_usage and self.counts_on_the_way
        ids = body.get("return_token_ids") and self.gives_ids
        for copy, start in product(range(copies), range(0, count, self.per_chunk)):
            await self._token(request, start)
            said = range(start, min(start + self.per_chunk, count))
            text = "".join(f"w{index} " for index in said)
            choice: dict[str, Any] = {"index": copy, "delta": {"content": text}, "finish_reason": None}
            if said.stop == count:
                choice["finish_reason"] = finish
            if ids:
                choice["token_ids"] = list(said)
            chunk: dict[str, Any] = {"id": "1", "object": "chat.completion.chunk", "choices": [choice]}
            if ids and copy == start == 0:
                chunk["prompt_token_ids"] = list(range(self.input_tokens))
            if running:
                chunk["usage"] = self._usage(said.stop)
            await response.write(b"data: " + orjson.dumps(chunk) + b"\n\n")
            self.sent = said.stop
            self.spoken += len(said)
        if options.get("include_usage") and self.gives_usage:
            last = {"id": "1", "choices": [], "usage": self._usage(count * copies)}
            await response.write(b"data: " + orjson.dumps(last) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response
