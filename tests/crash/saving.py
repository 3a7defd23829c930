"""Saves to a provider's database, and says of each save that it has returned; then it is gone.

    python tests/crash/saving.py DATABASE DURABILITY

A line of output has the nonces of the requests that are saved from here on.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from tallystick.protocol.units import ZERO_HASH, ChannelId
from tallystick_node.store.records import RequestStarted
from tallystick_node.store.sqlite import SqliteStore

SAVES = 12


async def save(store: SqliteStore, nonce: int) -> None:
    await store.save(RequestStarted(channel_id=ChannelId(ZERO_HASH), nonce=nonce, request_hash=ZERO_HASH))
    os.write(1, f"saved {nonce}\n".encode())


async def main(path: Path, durability: str) -> None:
    store = SqliteStore(path, "power" if durability == "power" else "process")
    for nonce in range(1, SAVES // 2 + 1):
        await save(store, nonce)
    await asyncio.gather(*(save(store, nonce) for nonce in range(SAVES // 2 + 1, SAVES + 1)))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
