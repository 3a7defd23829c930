"""Sends one node's messages to others over HTTP. It reads no envelope and no body."""

from typing import Final

import aiohttp

from tallystick.pinning import pinned_context
from tallystick.protocol.gossip import BODY_LIMIT
from tallystick.protocol.told import TOLD_LIMIT
from tallystick.protocol.units import ZERO_HASH, Hash32
from tallystick.protocol.viewing import SHOWN_LIMIT
from tallystick.protocol.wire import DOSSIERS_PATH, GOSSIP, GOSSIP_PATH, NETWORK_PATH

TIMEOUT_S: Final = 2.0
"""For one exchange: whoever takes longer does not answer."""
_DOSSIER_S: Final = 60.0
"""A few megabytes, and what the chain has to say before."""
_CONNECTIONS: Final = 64


class PeerSilent(Exception):
    """Nothing answers there."""


class PeerRefused(Exception):
    """Something answers, and does not take the message."""

    def __init__(self, status: int, content: bytes):
        super().__init__(status)
        self.status = status
        self.content = content


class Post:
    """Use it in one event loop, and close it.

    Whose TLS key it is that answers does not matter but for a dossier: nothing else that is sent is secret,
    and whatever comes back is signed.
    """

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=30, ssl=False),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            auto_decompress=False,
        )

    async def gossip(self, endpoint: str, envelope: str, body: bytes) -> tuple[str, bytes]:
        """The answer's envelope and body; raises PeerSilent or PeerRefused."""
        request = self._session.post(
            endpoint + GOSSIP_PATH,
            data=body,
            headers={GOSSIP: envelope, "Content-Type": "application/octet-stream"},
            allow_redirects=False,
        )
        try:
            async with request as answer:
                content = await _read(answer, BODY_LIMIT)
                if answer.status != 200:
                    raise PeerRefused(answer.status, content)
                return answer.headers.get(GOSSIP, ""), content
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise PeerSilent(type(error).__name__) from error

    async def network(self, endpoint: str) -> bytes:
        """All that this peer tells payers; raises PeerSilent or PeerRefused."""
        try:
            url = f"{endpoint}{NETWORK_PATH}?ratings=1"
            async with self._session.get(url, allow_redirects=False) as answer:
                content = await _read(answer, TOLD_LIMIT)
                if answer.status != 200:
                    raise PeerRefused(answer.status, content)
                return content
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise PeerSilent(type(error).__name__) from error

    async def dossier(self, endpoint: str, endpoint_key: Hash32, body: bytes) -> bytes:
        """What a strike was found of, from whoever holds the key that its offer names, since whoever got hold
        of the question could ask in its place; raises PeerSilent or PeerRefused."""
        request = self._session.post(
            endpoint + DOSSIERS_PATH,
            data=body,
            headers={"Content-Type": "application/json"},
            allow_redirects=False,
            ssl=True if endpoint_key == ZERO_HASH else pinned_context(endpoint_key),
            timeout=aiohttp.ClientTimeout(total=_DOSSIER_S),
        )
        try:
            async with request as answer:
                content = await _read(answer, SHOWN_LIMIT)
                if answer.status != 200:
                    raise PeerRefused(answer.status, content)
                return content
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise PeerSilent(type(error).__name__) from error

    async def close(self) -> None:
        await self._session.close()


async def _read(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """Raises PeerRefused where there is more."""
    pieces, size = [], 0
    async for piece in answer.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            answer.close()
            raise PeerRefused(answer.status, b"")
    return b"".join(pieces)
