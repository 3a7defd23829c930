"""What an auditor found strikes of, kept until these are decided: files that their owner alone may read.

They hold prompts. Whoever struck and cannot show one of them loses a part of its stake where it comes to a
re-audit, so each is on disk before its finding is said to anybody. It knows no chain and no asker.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import orjson

from tallystick.protocol.units import Hash32, hash32, to_hex
from tallystick.protocol.viewing import Shown

LIMIT: Final = 256 << 20
"""Bytes of all of them together, but for those that rest on a strike which was filed."""
_SUFFIX: Final = ".json"


class Dossiers:
    """In one folder, made when it is needed."""

    def __init__(self, folder: Path, *, limit: int = LIMIT):
        self._folder, self._limit = folder, limit

    def keep(self, shown: Shown, is_filed: Callable[[Hash32], bool]) -> None:
        """Durable once this returns. Where they become too many, the oldest ones go of whose receipts no
        strike was filed, as `is_filed` says, which may be slow. Raises OSError."""
        content = orjson.dumps(shown.to_json())
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make_room(len(content), is_filed)
        path = self._path(shown.finding.message.struct_hash())
        draft = path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def of(self, finding_hash: Hash32) -> bytes | None:
        """As it was kept: `Shown` in JSON. Raises OSError."""
        try:
            return self._path(finding_hash).read_bytes()
        except FileNotFoundError:
            return None

    def forget(self, before_s: float) -> int:
        """How many of them went: those kept before that unix time."""
        old = [path for path in self._paths() if path.stat().st_mtime < before_s]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _make_room(self, size: int, is_filed: Callable[[Hash32], bool]) -> None:
        held = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._paths())
        total = size + sum(each for _, each, _ in held)
        for _, each, path in held:
            if total <= self._limit:
                return
            receipt = hash32(orjson.loads(path.read_bytes())["finding"]["receiptHash"])
            if not is_filed(receipt):
                path.unlink(missing_ok=True)
                total -= each

    def _paths(self) -> Iterator[Path]:
        return self._folder.glob(f"0x*{_SUFFIX}")

    def _path(self, finding_hash: Hash32) -> Path:
        return self._folder / f"{to_hex(finding_hash)}{_SUFFIX}"
