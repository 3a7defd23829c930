"""What is the same for everybody until the next block, asked of the database once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Kept:
    """The last answer to each of a few questions. It is asked anew when its `version` changes."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[Any, Any]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, question: str, version: Any, ask: Callable[[], Awaitable[T]]) -> T:
        """`question` is a name in the code: no more are kept than there are such."""
        async with self._locks.setdefault(question, asyncio.Lock()):
            kept = self._answers.get(question)
            if kept is None or kept[0] != version:
                kept = self._answers[question] = (version, await ask())
        return cast(T, kept[1])
