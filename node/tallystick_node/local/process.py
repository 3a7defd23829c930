"""Child processes that are ready when they say so and gone when we are. It knows no market."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

import httpx2

_STOP_GRACE_S: Final = 60.0
"""From SIGTERM to SIGKILL: a gateway drains and settles in between, on a busy machine among many."""
_POLL_S: Final = 0.05
_PORTS: Final = (20_000, 32_768)
"""Under the ports that Linux gives to outgoing connections."""


Popen: TypeAlias = Callable[..., "subprocess.Popen[bytes]"]


class NotReady(Exception):
    """A process ended, or said nothing, before it was ready; the end of its log says why."""


class Process:
    """One child with a log file, in a session of its own so that Ctrl-C reaches us first."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        popen: Popen = subprocess.Popen,
    ):
        """`popen`: what starts it, where that is not the operating system alone."""
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            self._child = popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; the signal, negative, that killed it."""
        return self._child.poll()

    def wait_ready(self, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Returns once `ready()`; raises NotReady when the process ends first or time runs out."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if (status := self.exit_status) is not None:
                raise NotReady(f"{self.name} ended with status {status}:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} was not ready within {timeout_s:.0f} s:\n{self._tail()}")
            time.sleep(_POLL_S)

    def wait(self, timeout_s: float) -> int:
        """The exit status, once it ends by itself; killed where it does not."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NotReady(f"{self.name} did not end within {timeout_s:.0f} s:\n{self._tail()}") from None

    def terminate(self) -> None:
        """SIGTERM, and no waiting."""
        if self.exit_status is None:
            self._child.terminate()

    def stop(self) -> int:
        """SIGTERM, then SIGKILL after a grace; the exit status."""
        if self.exit_status is None:
            self._child.terminate()
            try:
                self._child.wait(_STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._child.wait()

    def kill(self) -> None:
        """SIGKILL, to the child and to what it started."""
        if self.exit_status is None:
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def answers(url: str) -> Callable[[], bool]:
    """Whether a GET of `url` is answered with 200."""

    def probe() -> bool:
        try:
            return httpx2.get(url, timeout=2, verify=False, trust_env=False).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    return probe


def free_ports(count: int) -> list[int]:
    """Distinct loopback ports that nobody listens on now, and that no outgoing connection is ever given.

    They may be bound much later, and again after a restart: until this process ends no other is told any of
    them. Who holds a port's UDP half has it.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(*_PORTS)
        held = socket.socket(type=socket.SOCK_DGRAM)
        try:
            held.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            held.close()
            continue
        held.detach()  # The kernel closes it, with the process.
        found.append(port)
    return found


def _die_with_parent() -> None:
    """Linux: SIGTERM to the child when we are killed without a chance to stop it (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
