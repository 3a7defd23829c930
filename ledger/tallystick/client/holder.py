"""Who of a purse's processes is busy with what: each has a name and an OS lock under it, which it takes along
when it dies. A row that names its holder is nobody else's business while that one lives."""

import secrets
from contextlib import suppress
from pathlib import Path
from threading import Lock

from tallystick.client.lease import Lease


class Holder:
    """Of one process and one purse; it has a name from when it is asked for it."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._name = ""
        self._lease: Lease | None = None
        self._lock = Lock()

    @property
    def name(self) -> str:
        with self._lock:
            if not self._name:
                name = secrets.token_hex(8)
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._lease, self._name = Lease.take(self._folder / name), name
            return self._name

    def is_gone(self, name: str | None) -> bool:
        """Whether the process of that name is dead. An older program's rows name none."""
        if name is None:
            return True
        if name == self._name:
            return False
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lease = Lease.take(self._folder / name)
        if lease is None:
            return False
        lease.release()
        self._remove(name)
        return True

    def release(self) -> None:
        """It is busy with nothing any more."""
        with self._lock:
            if self._lease is not None:
                self._lease.release()
                self._remove(self._name)
            self._lease = None

    def _remove(self, name: str) -> None:
        with suppress(OSError):  # No name comes twice.
            (self._folder / name).unlink(missing_ok=True)
