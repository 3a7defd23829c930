"""A power cut, simulated: what a disk is sure to hold of the files that a process wrote.

The process runs under strace. Each of its writes lies in the operating system's memory until its file is
synchronised, and a power cut takes all that lies there; so the disk holds, of every file, the writes before
its last completed fsync, and nothing else. That is the worst case: a real disk may have more.
"""

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_CALLS = "pwrite64,write,ftruncate,fsync,fdatasync"
_LINE = re.compile(
    r"^(?P<pid>\d+) +"
    r"(?:(?P<name>\w+)\((?P<fd>\d+)<(?P<path>[^>]*)>(?P<rest>.*)|<\.\.\. (?P<resumed>\w+) resumed>.*)$"
)
_WRITTEN = re.compile(r'^, "(?P<data>(?:\\x[0-9a-f]{2})*)", (?P<size>\d+)(?:, (?P<offset>\d+))?')


@dataclass
class Disk:
    """Files by name: what is sure, and what is not yet."""

    sure: dict[str, bytearray] = field(default_factory=dict)
    unsure: dict[str, list[tuple[int, bytes | None]]] = field(default_factory=lambda: defaultdict(list))
    """(offset, bytes), or (size, None) for a truncation."""

    def synchronise(self, name: str, count: int) -> None:
        content = self.sure.setdefault(name, bytearray())
        for offset, data in self.unsure[name][:count]:
            if data is None:
                del content[offset:]
                content.extend(bytes(offset - len(content)))
                continue
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            content[offset : offset + len(data)] = data
        del self.unsure[name][:count]

    def put(self, folder: Path) -> None:
        """The files as they are after the cut."""
        folder.mkdir()
        for name, content in self.sure.items():
            (folder / name).write_bytes(content)


def run(command: Sequence[str | Path], folder: Path, log: Path) -> Iterator[tuple[str, Disk]]:
    """Runs it to its end; then each of its lines of output, and the disk's files of `folder` as they were
    when it was written."""
    assert shutil.which("strace"), "strace is needed: install the Debian package of that name"
    traced = ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={_CALLS}", "-o", log, *command]
    disk = Disk({path.name: bytearray(path.read_bytes()) for path in folder.iterdir() if path.is_file()})
    subprocess.run([str(part) for part in traced], stdout=subprocess.DEVNULL, check=False)
    syncing: dict[str, tuple[str, int]] = {}
    """By thread: the file whose fsync is under way, and how many of its writes were made before."""
    for text in log.read_text().splitlines():
        if (line := _LINE.match(text)) is None:
            continue
        pid, name, path = line["pid"], line["name"], Path(_bytes(line["path"] or "").decode())
        if line["resumed"] in ("fsync", "fdatasync"):
            disk.synchronise(*syncing.pop(pid))
        elif name == "write" and line["fd"] == "1":
            yield _data(line["rest"])[1].decode(), disk
        elif path.parent != folder:
            continue
        elif name in ("fsync", "fdatasync"):
            syncing[pid] = path.name, len(disk.unsure[path.name])
            if "unfinished" not in line["rest"]:
                disk.synchronise(*syncing.pop(pid))
        elif name == "ftruncate":
            disk.unsure[path.name].append((int(re.findall(r"\d+", line["rest"])[0]), None))
        else:
            assert name == "pwrite64", text[:200]
            disk.unsure[path.name].append(_data(line["rest"]))


def _data(rest: str) -> tuple[int, bytes]:
    found = _WRITTEN.match(rest)
    assert found is not None, rest[:200]
    data = _bytes(found["data"])
    assert len(data) == int(found["size"])
    return int(found["offset"] or 0), data


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))
