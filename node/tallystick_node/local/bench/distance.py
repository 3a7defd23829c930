"""A gateway far away: a relay of bytes that holds each back for half a round trip."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def far_away(port: int, to_port: int, round_trip: Callable[[], float]) -> AsyncIterator[None]:
    """Listens on `port` for what is meant for `to_port`; `round_trip()` seconds at the time a byte comes."""
    loop = asyncio.get_running_loop()
    carried: dict[asyncio.Task[None] | None, list[asyncio.StreamWriter]] = {}

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                loop.call_later(round_trip() / 2, writer.write, data)
        except ConnectionError:
            pass
        loop.call_later(round_trip() / 2, writer.close)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", to_port)
        except ConnectionError:
            writer.close()
            return
        task = asyncio.current_task()
        carried[task] = [writer, back]
        await asyncio.gather(carry(reader, back), carry(there, writer))
        del carried[task]

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    async with server:
        yield
        for writers in carried.values():
            for writer in writers:
                writer.close()
        await asyncio.gather(*filter(None, carried))
