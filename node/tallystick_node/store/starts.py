"""The log of a database's starts, a small file beside it that tells the original from a copy.

The database counts its starts and its clean ends, and the log, which is also the lock, repeats the count.
A database that is behind its log, or has none, is an older copy or was moved without it, even one that was
made before starts were counted, unless there is nothing in it; one that was not
ended cleanly before the machine itself started anew has perhaps lost its last commits with the power, unless
each was on the disk before it counted. A copy of both, put back before the next start, looks like the
original: that is for its operator to say.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
"""Linux; elsewhere a killed process cannot be told from a lost power."""
_NOT_SAID: Final = "-"


class DatabaseInUse(Exception):
    """Another process holds it: two nodes on one database would issue two receipts under one sequence."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the log says. `count` is odd while saves may be lost with the power."""

    count: int
    boot: str
    durability: str


class StartLog:
    """Holds the lock until it is closed. Raises DatabaseInUse."""

    def __init__(self, path: Path):
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise DatabaseInUse(f"Another node runs on this database ({path} is locked).") from error

    def read(self) -> Entry | None:
        """None: the database was never started beside it."""
        words = os.pread(self._descriptor, 200, 0).decode(errors="replace").split()
        return Entry(int(words[0]), words[1], words[2]) if len(words) == 3 and words[0].isdigit() else None

    def write(self, count: int, durability: str) -> None:
        """On the disk when it returns."""
        line = f"{count} {boot()} {durability}\n".encode()
        os.pwrite(self._descriptor, line.ljust(100), 0)
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def may_have_forgotten(count: int, last: Entry | None, boot: str, *, empty: bool) -> bool:
    """Whether the database, which has counted so far, may lack what was once saved to it; `boot` is the
    running system's."""
    if last is None:
        return count > 0 or not empty
    same_boot = boot == last.boot != _NOT_SAID
    lost_power = count % 2 == 1 and last.durability != "power" and not same_boot
    return count < last.count or lost_power


def boot() -> str:
    """Of the running system; `-` where it does not say."""
    try:
        return _BOOT.read_text().strip() or _NOT_SAID
    except OSError:
        return _NOT_SAID
