"""Programs in interpreters that have imported everything already: a tenth of the CPU that they take to start.

A process of its own imports what gateways and payers import, once, and is forked for each that is started:
what comes of it runs a command as `python …` would, with arguments, environment, folder, streams and session
of its own, and is the child of whoever asked, to be waited for and killed as any. What an import does,
or fails to do, such a program does not show: tests that start a few processes start cold ones.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

MODULES = (
    *("tallystick_node.gateway.serve", "tallystick_node.quality.judge", "tallystick_node.sim.cli", "uvloop"),
    "tallystick_node.explorer.serve",
    *(
        "tallystick_node.engine.openai_server",
        "tallystick_node.engine.pace",
        "tallystick_node.engine.wording",
    ),
    *("tallystick.client.session", "tallystick.client.recovering", "tallystick.client.transport"),
    *("tallystick.chain.eth", "tallystick.chain.codec", "eth_keyfile.keyfile"),
)
"""Not what is run itself: `python -m` says so where that is imported before."""
ROOT = Path(__file__).parents[1]
_MOST = 1 << 17
"""Bytes of a command and its environment."""
_SET_DEATH_SIGNAL, _SET_ADOPTING = 1, 36
_LIBC = ctypes.CDLL(None)


class Warm:
    """`with Warm() as warm:` has the interpreter, and `warm.popen(command, …)` is a `subprocess.Popen`."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._server.wait(10)

    def popen(self, command: Sequence[str | Path], **options: Any) -> "subprocess.Popen[Any]":
        """Of `python -m MODULE …`, `python FILE …` or `python -c PROGRAM …`."""
        assert command[0] == sys.executable
        return _Forked(self, [str(part) for part in command], **options)

    def fork(self, job: Mapping[str, Any], streams: Sequence[int]) -> int:
        """The process that does it."""
        with self._lock, _adopting():
            socket.send_fds(self._line, [json.dumps(job).encode()], streams)
            answer = self._line.recv(_MOST)
        assert answer, "the warm interpreter has ended: its errors say why"
        return int(answer)


@contextmanager
def _adopting() -> Iterator[None]:
    """Who loses its parent among our descendants becomes a child of ours."""
    _LIBC.prctl(_SET_ADOPTING, 1)
    try:
        yield
    finally:
        _LIBC.prctl(_SET_ADOPTING, 0)


class _Forked(subprocess.Popen[Any]):
    def __init__(self, warm: Warm, command: Sequence[str], **options: Any):
        self._warm = warm
        super().__init__(command, **options)

    def _execute_child(  # type: ignore[override]
        self,
        args: Sequence[str],
        executable: object,
        preexec_fn: object,
        close_fds: object,
        pass_fds: object,
        cwd: str | Path | None,
        env: Mapping[str, str] | None,
        *others: int,
    ) -> None:
        """All that is done differently: everything else, pipes and waiting, is the class's own."""
        pipes = others[3:9]  # After startupinfo, creationflags and shell; theirs and ours in turn.
        streams = [given if given != -1 else number for number, given in enumerate((pipes[0], *pipes[3::2]))]
        job = {
            "command": args[1:],
            "folder": str(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
        }
        self.pid = self._warm.fork(job, streams)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------------- in the interpreter


def serve(line: socket.socket) -> dict[str, Any]:
    """Returns in each child, with what it is to do; in the interpreter itself never."""
    while True:
        text, streams, _, _ = socket.recv_fds(line, _MOST, 3)
        if not text:
            sys.exit()
        between = os.fork()
        if between == 0:
            between = os.getpid()
            if os.fork():
                os._exit(0)
            while os.getppid() == between:  # Until whoever asked has adopted it.
                time.sleep(0.0002)
            _settle_in(line, streams)
            job: dict[str, Any] = json.loads(text)
            return job
        os.waitpid(between, 0)
        for stream in streams:
            os.close(stream)


def _settle_in(line: socket.socket, streams: Sequence[int]) -> None:
    _LIBC.prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    line.send(str(os.getpid()).encode())
    line.close()


def become(job: Mapping[str, Any]) -> None:
    """What `python` does with a command line."""
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    match job["command"]:
        case ["-m", module, *arguments]:
            sys.argv, sys.path[0] = [module, *arguments], job["folder"]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", program, *arguments]:
            sys.argv, sys.path[0] = ["-c", *arguments], ""
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
        case [file, *arguments]:
            sys.argv, sys.path[0] = [file, *arguments], str(Path(file).parent)
            runpy.run_path(file, run_name="__main__")


def main() -> None:
    for name in MODULES:
        importlib.import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "no thread is there after a fork"  # noqa: PTH208
    gc.collect()
    gc.freeze()  # What is never written is never copied.
    become(serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
