"""An engine as the gateway sees it: any server with OpenAI's HTTP API, by its URL.

It knows no payer and no price.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Final

import aiohttp

from tallystick.protocol.units import Tokens

DONE: Final = b"[DONE]"
_DRAIN_S: Final = 1


class EngineGone(Exception):
    """The engine does not answer, or broke off."""


class Upstream:
    """One engine. Use it in one event loop, and close it."""

    def __init__(self, url: str, *, api_key: str | None = None, connections: int = 1024):
        self._url = url.rstrip("/")
        headers = {"Content-Type": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),  # No payer's request carries what another's answer set.
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=None, connect=10),
            auto_decompress=True,
            read_bufsize=1 << 18,
        )

    async def models(self) -> dict[str, Tokens]:
        """The names that it serves, with the context of each, which is zero where it is not told; raises
        EngineGone."""
        try:
            timeout = aiohttp.ClientTimeout(total=10)
            async with self._session.get(f"{self._url}/v1/models", timeout=timeout) as answer:
                answer.raise_for_status()
                listing = await answer.json()
                return {item["id"]: _context(item) for item in listing["data"]}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
            raise EngineGone(f"The engine at {self._url} does not list its models ({error!r}).") from error

    async def post(self, path: str, body: bytes) -> "Reply":
        """An answer that has begun, for the caller to release; raises EngineGone."""
        try:
            return Reply(await self._session.post(self._url + path, data=body))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineGone(f"The engine does not answer ({type(error).__name__}).") from error

    async def close(self) -> None:
        await self._session.close()


class Reply:
    """An answer that has begun."""

    def __init__(self, answer: aiohttp.ClientResponse):
        self._answer = answer
        self.status = answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    @property
    def media_type(self) -> str:
        return self._answer.headers.get("Content-Type", "application/json")

    async def read(self) -> bytes:
        """The whole body; raises EngineGone."""
        try:
            return await self._answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineGone("The engine broke off.") from error

    async def payloads(self) -> AsyncIterator[list[bytes]]:
        """The contents of the `data:` lines, as many at a time as came together; raises EngineGone."""
        content = self._answer.content
        rest = b""
        try:
            while piece := await content.readany():
                lines = (rest + piece).split(b"\n")
                rest = lines.pop()
                found = [_content(line) for line in lines if line.startswith(b"data:")]
                if found:
                    yield found
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineGone("The engine broke off.") from error
        if rest.rstrip() == b"data: [DONE]":  # Any other line without an end may lack its half.
            yield [DONE]

    def release(self) -> None:
        """What was not read is not wanted."""
        self._answer.release()

    async def drain(self) -> None:
        """Reads what little follows the last payload, so that the connection can be used again."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with asyncio.timeout(_DRAIN_S):
                await self._answer.content.read()
        self._answer.release()

    def abort(self) -> None:
        """The engine is told that nobody listens any more; whoever reads sees the end, or EngineGone."""
        self._answer.close()


def _context(item: Mapping[str, object]) -> Tokens:
    told = item.get("max_model_len")
    return Tokens(told if type(told) is int and told > 0 else 0)


def _content(line: bytes) -> bytes:
    content = line[5:].rstrip(b"\r")
    return content[1:] if content.startswith(b" ") else content
