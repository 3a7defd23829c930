"""An engine that says a token when it is told to: vLLM's shapes, without a socket."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from tallystick_node.engine.upstream import DONE, EngineGone


class ModelEngine:
    """In place of `Upstream`."""

    def __init__(self) -> None:
        self.down = False
        self.gives_ids = True
        self.open: list[ModelReply] = []

    async def post(self, path: str, body: bytes) -> "ModelReply":
        if self.down:
            raise EngineGone("The engine does not answer.")
        reply = ModelReply(orjson.loads(body), self)
        self.open.append(reply)
        return reply

    def say(self, tokens: int) -> None:
        """Every answer goes on by so many."""
        for reply in list(self.open):
            reply.say(tokens)


class ModelReply:
    def __init__(self, body: dict[str, Any], engine: ModelEngine):
        self._body = body
        self._engine = engine
        self._ids = bool(body.get("return_token_ids")) and engine.gives_ids
        self._said = 0
        self._pieces: list[list[bytes] | None] = []
        """None: it breaks off there."""
        self._changed = asyncio.Event()
        self._ended = False
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self.media_type = "text/event-stream; charset=utf-8" if body.get("stream") else "application/json"

    # ---- what the test does

    def say(self, tokens: int) -> None:
        last = min(self._body["max_tokens"], self._said + tokens)
        payloads = [self._chunk(index) for index in range(self._said, last)]
        self._said = last
        if last == self._body["max_tokens"]:
            payloads += [self._usage_chunk(), DONE]
            self._close()
        self._put(payloads)

    def die(self) -> None:
        self._put(None)
        self._close()

    def _put(self, payloads: list[bytes] | None) -> None:
        self._pieces.append(payloads)
        self._changed.set()

    def _close(self) -> None:
        self._ended = True
        if self in self._engine.open:
            self._engine.open.remove(self)

    # ---- what the gateway reads

    async def payloads(self) -> AsyncIterator[list[bytes]]:
        while (piece := await self._next()) is not None:
            yield piece
            if DONE in piece:
                return

    async def read(self) -> bytes:
        while (piece := await self._next()) is not None:
            if DONE in piece:
                return self._whole()
        return b""

    async def _next(self) -> list[bytes] | None:
        while not self._pieces:
            self._changed.clear()
            await self._changed.wait()
        piece = self._pieces.pop(0)
        if piece is None:
            raise EngineGone("The engine broke off.")
        return piece

    def abort(self) -> None:
        self.die()

    def release(self) -> None: ...

    async def drain(self) -> None: ...

    # ---- shapes

    @property
    def _input_tokens(self) -> int:
        return input_tokens(self._body)

    def _usage(self, count: int) -> dict[str, Any]:
        return {
            "prompt_tokens": self._input_tokens,
            "completion_tokens": count,
            "total_tokens": self._input_tokens + count,
            "prompt_tokens_details": {"cached_tokens": self._input_tokens // 2},
        }

    def _chunk(self, index: int) -> bytes:
        choice: dict[str, Any] = {"index": 0, "delta": {"content": f"w{index} "}, "finish_reason": None}
        if index == self._body["max_tokens"] - 1:
            choice["finish_reason"] = "length"
        if self._ids:
            choice["token_ids"] = [index]
        return orjson.dumps({"id": "1", "choices": [choice], "usage": self._usage(index + 1)})

    def _usage_chunk(self) -> bytes:
        return orjson.dumps({"id": "1", "choices": [], "usage": self._usage(self._said)})

    def _whole(self) -> bytes:
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": "".join(f"w{i} " for i in range(self._said))},
            "finish_reason": "length",
        }
        if self._ids:
            choice["token_ids"] = list(range(self._said))
        return orjson.dumps({"id": "1", "choices": [choice], "usage": self._usage(self._said)})


def input_tokens(body: Mapping[str, Any]) -> int:
    """By the length of what was asked."""
    return 3 + len(body["messages"][0]["content"])


def tokens_in(payload: bytes) -> int:
    """Output tokens that one payload of this engine holds, counted by its words."""
    data = orjson.loads(payload)
    choices = data.get("choices") or []
    texts = [(item.get("delta") or item.get("message") or {}).get("content", "") for item in choices]
    return sum(len(text.split()) for text in texts)
