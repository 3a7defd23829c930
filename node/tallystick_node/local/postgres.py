"""A PostgreSQL server of one's own on this machine, for tests and measuring: in a temporary folder, on a
socket in it, and gone afterwards. What is in it does not survive a loss of power.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_START_S: Final = 60.0
_USER: Final = "market"
_AS: Final = ("postgres", "nobody")
"""Whom it runs as where we are root, whom it refuses: the first who exists here."""
_FAST: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=50")


class NoPostgres(Exception):
    """It is not installed, or does not start."""


@contextmanager
def running() -> Iterator[str]:
    """The server's address for SQLAlchemy, without the driver's name; raises NoPostgres."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="tallystick-postgres-") as name:
        folder, account = Path(name), _account()
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        data = folder / "data"
        _prepare(
            [
                *_by(account),
                programs / "initdb",
                "-D",
                data,
                "-U",
                _USER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-N",
            ]
        )
        command = [*_by(account), programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses="]
        with (folder / "log").open("wb") as log:
            options = [part for option in _FAST for part in ("-c", option)]
            server = subprocess.Popen([*command, *options], stdout=log, stderr=log, cwd=folder)
        try:
            _await(server, folder)
            yield f"{_USER}@/postgres?host={folder}"
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _programs() -> Path:
    """Debian keeps them off the PATH, by version."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    usable = [folder for folder in folders if (folder / "postgres").exists()]
    if not usable:
        raise NoPostgres("PostgreSQL was not found. Install it with `scripts/install postgres`.")
    return usable[-1]


def _account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in _AS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgres("PostgreSQL refuses to run as root, and there is nobody else here to run it as.")


def _by(account: pwd.struct_passwd | None) -> list[str | Path]:
    if account is None:
        return []
    return [
        "setpriv",
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        "--pdeathsig=TERM",
    ]


def _prepare(command: Sequence[str | Path]) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if ran.returncode != 0:
        raise NoPostgres(f"initdb failed: {ran.stderr.strip()[-500:]}")


def _await(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Until it says that it takes connections."""
    deadline = time.monotonic() + _START_S
    while "ready to accept connections" not in (log := (folder / "log").read_text()):
        if server.poll() is not None or time.monotonic() > deadline:
            raise NoPostgres(f"PostgreSQL does not start: {log[-500:]}")
        time.sleep(0.05)
