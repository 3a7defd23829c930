"""`tally-node explorer` on this machine, over one market. It knows no gateway."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tallystick_node.local.process import Process, answers, free_ports

_READY_S: Final = 30.0


@dataclass(slots=True, kw_only=True)
class LocalExplorer:
    """Its database and log lie in `folder`. It may be started again, at the same URL."""

    folder: Path
    rpc: str
    deployment: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    _running: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Process:
        """Returns once it answers, whatever it has read by then. The caller stops it."""
        command = [sys.executable, "-m", "tallystick_node.cli", "explorer", "--port", str(self.port)]
        command += ["--rpc", self.rpc, "--deployment", str(self.deployment)]
        command += ["--database", f"sqlite+aiosqlite:///{self.folder / 'explorer.db'}"]
        self._running = Process("explorer", command, log=self.folder / "explorer.log")
        try:
            self._wait("/static/app.css")
        except BaseException:
            self._running.stop()
            raise
        return self._running

    def wait_for(self, block: int) -> None:
        """Returns once the index is so far."""
        self._wait(f"/api/audit/market?block={block}")

    def _wait(self, path: str) -> None:
        assert self._running is not None, "not started"
        self._running.wait_ready(answers(self.url + path), timeout_s=_READY_S)
