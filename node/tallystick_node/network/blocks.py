"""The blocks of an answer on their way. It knows neither who asks nor who serves."""

from collections.abc import AsyncGenerator, AsyncIterator


async def with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """All of them again, after one was waited for to see that something comes."""
    yield first
    async for block in rest:
        yield block
