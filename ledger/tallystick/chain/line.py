"""One connection to a node, that ends in time whatever the node does.

The client's own time-outs are between two reads: who sends a byte now and then, of headers or of a body,
never runs into one. So another thread cuts the connection when the time is over, and whatever waits for it
ends.
"""

import contextlib
import socket
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import httpx2

if TYPE_CHECKING:
    import ssl

_CONNECTED: Final = (".connect_tcp.complete", ".start_tls.complete")
"""In httpcore's trace, directly or by way of a proxy."""


class TooLate(Exception):
    """There is no whole answer, and the time is over."""


class TooLong(Exception):
    """The answer has more bytes than allowed."""


class Line:
    """For one call at a time."""

    def __init__(self, context: "ssl.SSLContext", *, silence_s: float, whole_s: float, trust_env: bool):
        """`silence_s`: between two reads; `whole_s`: from the call to the answer's last byte."""
        self._client = httpx2.Client(verify=context, timeout=silence_s, trust_env=trust_env)
        self._whole_s = whole_s
        self._socket: socket.socket | None = None
        """The newest, in use or kept for the next call."""
        self._over = False

    def post(self, url: str, body: bytes, longest: int) -> tuple[int, bytes]:
        """Status and content. Raises TooLate, TooLong, and what httpx2 raises."""
        self._over = False
        timer = threading.Timer(self._whole_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            return self._exchange(url, body, longest)
        except httpx2.HTTPError as error:
            if self._over:
                raise TooLate from error
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        self._client.close()

    def _exchange(self, url: str, body: bytes, longest: int) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        content = bytearray()
        extensions = {"trace": self._note}
        with self._client.stream(
            "POST", url, content=body, headers=headers, extensions=extensions
        ) as response:
            for part in response.iter_bytes():
                content += part
                if len(content) > longest:
                    raise TooLong
        if self._over:  # An end of the connection may pass for the content's.
            raise TooLate
        return response.status_code, bytes(content)

    def _note(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(_CONNECTED):
            self._socket = info["return_value"].get_extra_info("socket")
            if self._over:
                self._cut()

    def _cut(self) -> None:
        """In the timer's thread. Only TCP's end: what TLS knows belongs to the thread that waits."""
        self._over = True
        if self._socket is not None:
            with contextlib.suppress(
                OSError
            ):  # It is closed, or shakes hands, which takes no longer than a read.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
