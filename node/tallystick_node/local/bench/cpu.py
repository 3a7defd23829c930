"""Which core a process runs on, and how long it ran. Linux only: it reads /proc, and knows its clocks."""

import os
import time
from contextlib import suppress
from pathlib import Path


def cores() -> list[int]:
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0))


def pin(pid: int, cpu: int) -> None:
    """All its threads, and those to come."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # It has just ended.
            os.sched_setaffinity(int(task.name), {cpu})


def cpu_seconds(pid: int) -> float:
    """That all its threads have run for, those too that have ended, which is what it costs whoever else the
    machine works for."""
    return time.clock_gettime((~pid << 3) | 2)  # Its CPU clock: what `clock_getcpuclockid` answers.


def rss_bytes(pid: int) -> int:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
