"""What the SDK's clients hand out: whole answers, and streams, with what they came to."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson

from tallystick.client.drivers import Asynchronous, Blocking
from tallystick.client.events import Lines, Payload
from tallystick.client.flow import Emit, Respond
from tallystick.client.outcome import EXTENSION, Outcome
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Verified
from tallystick.protocol.units import Address, Atoms


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer, and what it came to."""

    body: Mapping[str, Any]
    """As OpenAI shapes it."""
    outcome: Outcome

    @property
    def text(self) -> str:
        """Of the first choice; empty where it says nothing (it calls a tool, say)."""
        return _text(self.body)

    @property
    def cost(self) -> Atoms:
        """Atoms."""
        return self.outcome.cost

    @property
    def provider(self) -> Address:
        """20 bytes."""
        return self.outcome.provider

    @property
    def receipt(self) -> Verified[Receipt] | None:
        """None where nothing was charged, or where a receipt was refused (see `outcome.refusal`)."""
        return self.outcome.receipt


class Stream:
    """An answer as it comes: iterate over it for OpenAI chunks. `outcome` is complete after the last one.

    Leaving early pays for what was sent; close it then, or use it in a `with`.
    """

    def __init__(self, driver: Blocking, outcome: Outcome):
        self._driver = driver
        self.outcome = outcome
        self._lines = Lines()

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        while (effect := self._driver.advance()) is not None:
            assert isinstance(effect, Emit)
            yield from _chunks(self._lines, effect.data)

    def texts(self) -> Iterator[str]:
        """The pieces of the first choice's text."""
        for chunk in self:
            if text := _text(chunk):
                yield text

    def close(self) -> None:
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()


class AsyncStream:
    """As `Stream`."""

    def __init__(self, driver: Asynchronous, outcome: Outcome):
        self._driver = driver
        self.outcome = outcome
        self._lines = Lines()

    async def __aiter__(self) -> AsyncIterator[Mapping[str, Any]]:
        while (effect := await self._driver.advance()) is not None:
            assert isinstance(effect, Emit)
            for chunk in _chunks(self._lines, effect.data):
                yield chunk

    async def texts(self) -> AsyncIterator[str]:
        async for chunk in self:
            if text := _text(chunk):
                yield text

    async def close(self) -> None:
        await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.close()


def outcome_in(head: object) -> Outcome:
    assert isinstance(head, Respond)
    outcome = head.extensions[EXTENSION]
    assert isinstance(outcome, Outcome)
    return outcome


def answer_in(head: object) -> Answer:
    assert isinstance(head, Respond)
    return Answer(orjson.loads(head.body or b""), outcome_in(head))


def _chunks(lines: Lines, data: bytes) -> Iterator[Mapping[str, Any]]:
    for event in lines.feed(data):
        if isinstance(event, Payload):
            chunk = orjson.loads(event.data)
            if isinstance(chunk, dict):
                yield chunk


def _text(body: Mapping[str, Any]) -> str:
    choices = body.get("choices") or [{}]
    said = choices[0].get("message") or choices[0].get("delta") or {"content": choices[0].get("text")}
    content = said.get("content")
    return content if isinstance(content, str) else ""
