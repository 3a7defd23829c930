"""Files that a command of the simulator writes: each is there whole, or as it was before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EIO, EISDIR
from pathlib import Path
from shutil import copymode
from tempfile import TemporaryFile
from typing import Final

_STDOUT: Final = "-"
"""As a file's name."""


def is_stdout(path: Path | None) -> bool:
    return path is not None and str(path) == _STDOUT


def require_writable(path: Path | None) -> None:
    """Before an hour is spent on what cannot be written. Raises OSError."""
    if path is None or is_stdout(path):
        return
    if path.is_dir():
        raise _error(EISDIR, path)
    if path.exists() and not os.access(path, os.W_OK):
        raise _error(EACCES, path)
    if not _is_special(path):
        require_folder(path.resolve().parent, path)


def require_folder(folder: Path, path: Path) -> None:
    """One that takes new files: else `path` cannot be written. Raises OSError."""
    try:
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _error(error.errno or EIO, path) from error


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Where to write what is to be in `path`: it takes that name once all of it is there. Raises OSError."""
    if _is_special(path):
        yield path
        return
    whole = path.resolve()
    part = whole.with_name(f".{whole.name}.{os.getpid()}")
    try:
        yield part
        if whole.exists():
            copymode(whole, part)
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    """A pipe or a device, which takes what comes."""
    return path.exists() and not path.is_file()


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
