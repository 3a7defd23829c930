"""Links between nodes that can be cut: in front of each node a relay, which its offers name as its endpoint.

While two nodes are apart nothing passes between them, in either direction: connections stay open and are
silent, as where packets are lost, and go on once the cut is healed. A caller is known by the process that has
its end of the connection (Linux: /proc), so that nodes need know nothing of it. The kernel's list of sockets
can miss one while others change: such a caller is looked for again, for a stranger would get through
every cut for as long as its connection lasts.
"""

import asyncio
import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

_PIECE: Final = 1 << 16
_USERS: Final = -1
_LOOKS: Final = 20
_BETWEEN_LOOKS_S: Final = 0.01


@dataclass(slots=True, kw_only=True)
class Links:
    """`async with Links(ports=…, doors=…) as links:` relays each door to its port."""

    ports: Mapping[int, int]
    """By node: where it listens."""
    doors: Mapping[int, int]
    """By node: where the others reach it."""
    pids: dict[int, int] = field(default_factory=dict)
    """By process: the node it is. This process has the users, who are never cut off."""
    _apart: set[frozenset[int]] = field(default_factory=set)
    _healed: asyncio.Event = field(default_factory=asyncio.Event)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _relays: set[asyncio.Task[Any]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._healed.set()
        for node, door in self.doors.items():
            self._servers.append(await asyncio.start_server(self._relay(node), "127.0.0.1", door))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._relays):
            task.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    def cut(self, one: Collection[int], other: Collection[int]) -> None:
        """Nothing passes between the two groups any more."""
        self._apart = {frozenset((a, b)) for a in one for b in other}
        self._healed.clear()

    def heal(self) -> None:
        self._apart = set()
        self._healed.set()

    def _relay(self, node: int):  # type: ignore[no-untyped-def]  # asyncio's callback
        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._relays.add(task)
            try:
                await join(reader, writer)
            finally:
                await _end(writer)
                self._relays.discard(task)

        async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            caller = await self._caller(writer.get_extra_info("peername")[1])
            if caller is None:
                return
            pair = frozenset((node, caller))
            await self._passable(pair)
            try:
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.ports[node])
            except OSError:
                return
            try:
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self._pump(reader, inner_writer, pair))
                    pumps.create_task(self._pump(inner_reader, writer, pair))
            finally:
                await _end(inner_writer)

        return relay

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: frozenset[int]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                await self._passable(pair)
                writer.write(data)
                await writer.drain()
            await self._passable(pair)
            if writer.can_write_eof():
                writer.write_eof()

    async def _passable(self, pair: frozenset[int]) -> None:
        while pair in self._apart:
            await self._healed.wait()

    async def _caller(self, port: int) -> int | None:
        """The node whose process owns the connection's other end; `_USERS`; None: nobody that is known."""
        for _ in range(_LOOKS):
            owners = {os.getpid(): _USERS, **self.pids}
            pid = await asyncio.to_thread(_owner, port, list(owners))
            if pid is not None:
                return owners[pid]
            await asyncio.sleep(_BETWEEN_LOOKS_S)
        return None


def _owner(port: int, pids: Sequence[int]) -> int | None:
    inode = _inode(port)
    if inode is None:
        return None
    link = f"socket:[{inode}]"
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) == link:
                        return pid
    return None


async def _end(writer: asyncio.StreamWriter) -> None:
    """What was written still goes out, unless nobody waits for it any more."""
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass
    except asyncio.CancelledError:
        writer.transport.abort()
        raise


def _inode(port: int) -> str | None:
    """Of the socket that is bound to this loopback port."""
    wanted = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[9] != "0":
            return fields[9]
    return None
