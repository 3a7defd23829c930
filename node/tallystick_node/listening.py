"""What every server of this package does the same way: listen, serve with uvicorn, write logs."""

import contextlib
import socket
import ssl
import sys
from collections.abc import Iterator
from typing import Any

import structlog
import uvicorn


class CannotListen(Exception):
    """One sentence on why."""


class Server(uvicorn.Server):
    """Leaves signals to its owner, who has more to do than to stop listening."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server(app: Any, context: ssl.SSLContext | None = None) -> Server:
    """Of an ASGI app; over TLS where a context is given."""
    return Server(
        uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=None,
            backlog=2048,
            ssl_context_factory=None if context is None else lambda *_: context,
        )
    )


def listener(host: str, port: int) -> socket.socket:
    """Raises CannotListen."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.create_server((host, port), family=family, backlog=2048)
        # What it accepts has this too: else an answer in two parts waits 40 ms for an acknowledgement. uvloop
        # does it by itself, asyncio only for sockets that say which protocol they speak: not for this one.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
    except OSError as error:
        raise CannotListen(f"Nothing can listen on {host} port {port}: {error.strerror}.") from error


def written(listener: socket.socket) -> str:
    """Host and port, as a URL has them."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def configure_logs() -> None:
    """JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        # Whatever it is at the moment: a test's own is closed after the test.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
