"""A home folder and a `tally` that acts in it, in this process."""

import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tallystick.chain.deployment import Deployment
from tallystick.chain.keys import Keystore
from tallystick.chain.local import LocalChain
from tallystick.protocol.signed import Key
from tallystick.wallet.cli import app

PASSWORD = "correct horse"
LONG_S = 60.0
"""Far beyond what anything takes here, for machines that do other things as well."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a command said."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Tally:
    """`tally(...)` runs a command; `tally.json(...)` expects it to succeed and reads its JSON."""

    home: Path
    rpc: str

    def __call__(self, *arguments: object, stdin: str | None = None, **environment: str) -> Told:
        settings = {
            "TALLYSTICK_HOME": str(self.home),
            "TALLYSTICK_RPC": self.rpc,
            "TALLYSTICK_PASSWORD": PASSWORD,
            "COLUMNS": "300",
        }
        result = CliRunner().invoke(
            app, [str(item) for item in arguments], input=stdin, env=settings | environment
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Told(result.exit_code, result.stdout, result.stderr)

    def json(self, *arguments: object, **environment: str) -> Any:
        told = self(*arguments, "--json", **environment)
        assert told.status == 0, told
        return told.data

    def add_wallet(self, name: str, key: Key | None = None) -> Key:
        """As `tally wallet new`, without the second that a real password takes."""
        key = key or Key.generate()
        Keystore(self.home / "keystore", scrypt_n=1 << 10).save(name, key, PASSWORD)
        return key


@pytest.fixture
def alone(tmp_path: Path) -> Tally:
    """Without a chain."""
    return Tally(tmp_path / "home", "http://127.0.0.1:1")


@pytest.fixture
def tally(tmp_path: Path, local_chain: LocalChain, deployment: Deployment) -> Tally:
    """On a fresh market."""
    home = tmp_path / "home"
    deployment.save(home / "deployment.json")
    return Tally(home, local_chain.url)


@pytest.fixture
def offer_toml(tmp_path: Path) -> Callable[..., Path]:
    """`offer_toml(**fields)`: the file of an offer; a field that is None is left out."""

    def write(**fields: object) -> Path:
        values: dict[str, object] = {
            "model": "tiny",
            "endpoint": "http://127.0.0.1:1",
            "input_price": "0.10 TEST",
            "output_price": 400_000,
            "context_length": 4096,
            "credit": "0.05 test",
        }
        values |= fields
        path = tmp_path / "offer.toml"
        path.write_text(
            "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items() if value is not None)
        )
        return path

    return write


@pytest.fixture
def terminal() -> Callable[..., tuple[int, str, str]]:
    """`terminal(tally, arguments, [(prompt, answer), …])`: status, answer and what a real terminal showed."""

    def run(
        tally: Tally, arguments: list[str], typed: list[tuple[bytes, str]], *, hidden: bool = False
    ) -> tuple[int, str, str]:
        parent, child = pty.openpty()
        environment = {name: value for name, value in os.environ.items() if name != "TALLYSTICK_PASSWORD"}
        environment |= {"TALLYSTICK_HOME": str(tally.home), "TALLYSTICK_RPC": tally.rpc}
        if not hidden:
            environment["TALLYSTICK_PASSWORD"] = PASSWORD
        process = subprocess.Popen(
            [sys.executable, "-c", "from tallystick.wallet.cli import main; main()", *arguments],
            stdin=child,
            stderr=child,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        shown = b""
        for prompt, answer in typed:
            shown += read_until(parent, prompt, hidden=hidden)
            os.write(parent, answer.encode() + b"\n")
        out, _ = process.communicate(timeout=LONG_S)
        os.close(parent)
        os.close(child)
        return process.returncode, out.decode(), shown.decode(errors="replace")

    return run


def read_until(terminal: int, prompt: bytes, *, hidden: bool) -> bytes:
    """What was shown, up to the prompt and to the moment from which typed text is hidden."""
    shown = b""
    deadline = time.monotonic() + LONG_S
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.02)[0]:
            shown += os.read(terminal, 1024)
        echoes = termios.tcgetattr(terminal)[3] & termios.ECHO
        if prompt in shown and not (hidden and echoes):
            return shown
    raise AssertionError(f"{prompt!r} did not come: {shown!r}")
