"""A chain on this machine: anvil, started and stopped, and a market deployed on it.

Anvil's accounts are the same on every machine and their keys are public: never send them anything of worth.
"""

import contextlib
import ctypes
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tallystick.chain import contracts
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainUnavailable, NoAnvil
from tallystick.chain.rpc import Rpc
from tallystick.chain.sender import Sender
from tallystick.chain.transaction import created_address
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Atoms, to_hex

_START_S: Final = 60
_STOP_S: Final = 30
_ANSWER_S: Final = 60
"""Far beyond what it takes: the machine may be busy."""
_IDLE_BLOCK_S: Final = 5
_STATES: Final = 256
"""After the latest blocks, to be asked for, traced and reorganised: a few megabytes each on a busy chain."""
_STATES_KEPT: Final = 1_024
"""Of a chain that persists."""
_PR_SET_PDEATHSIG: Final = 1
_GLIBC: Final = (2, 35)
MINIMUM_STAKE: Final = Atoms(100_000_000)
"""Of the markets that `deploy` makes."""
_NOTICES_S: Final = (600, 3_600, 86_400)
"""Of an exit, a close and an unstake: the shortest that the contract allows."""
MINIMUM_FEE: Final = Atoms(1_000)
"""For each judge of a duel, in the markets that `deploy` makes."""
_PERIOD_S: Final = 600
"""Of each step of a duel: the shortest that the contract allows."""
_WINDOW_S: Final = 43_200
"""For which a strike counts: half of the notice of a stake."""
LOCAL_CHAIN_IDS: Final = (31337, 1337)
"""What development nodes call their chains; there the asset may be minted and keys are public."""


def find_anvil() -> Path:
    """The program: on PATH, else what `scripts/install contracts` brought.

    Raises
    ------
    NoAnvil :
        None is there, or this machine is too old for it.
    """
    bin_folders = (parent / "contracts/node_modules/.bin" for parent in _ancestors())
    found = shutil.which("anvil") or next(
        filter(None, (shutil.which("anvil", path=p) for p in bin_folders)), None
    )
    if found is None:
        raise NoAnvil(
            "anvil was not found: it is the local chain. Install it with `scripts/install contracts`, or put "
            "it on PATH."
        )
    _require_glibc()
    return _native(Path(found).resolve())


def _ancestors() -> list[Path]:
    """Of this file, for the repository that it stands in, and of the current folder."""
    return [*Path(__file__).resolve().parents, Path.cwd(), *Path.cwd().parents]


def _native(program: Path) -> Path:
    """npm's launcher is a Node script around the program, which alone starts faster and ends surely."""
    if program.suffix != ".mjs":
        return program
    return next(program.parent.parent.glob("anvil-*/bin/anvil"), program)


def _require_glibc() -> None:
    library, version = platform.libc_ver()
    if library == "glibc" and tuple(map(int, version.split(".")[:2])) < _GLIBC:
        raise NoAnvil(
            f"anvil needs glibc 2.35 or later (Debian 12, Ubuntu 22.04); this machine has {version}.",
            required="2.35",
            actual=version,
        )


def _die_with_parent() -> Callable[[], None] | None:
    """What a child runs first, so that Linux ends it even when its parent is killed.

    The kernel means the thread that started it, so only the main one may ask for that.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    libc = ctypes.CDLL(None)  # Loaded here: between fork and exec only the call itself is safe.
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class LocalChain:
    """`with LocalChain() as chain:` runs anvil on a free port of loopback, and stops it in any case."""

    def __init__(
        self,
        *,
        block_time_s: float | None = None,
        state: Path | None = None,
        port: int = 0,
        chain_id: int = 31337,
    ):
        """Mines each transaction at once, and an empty block every 5 seconds, unless `block_time_s` is given.

        `state` persists the chain.
        """
        self._block_time_s = block_time_s
        self._state = state
        self._port = port
        self._chain_id = chain_id
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self.url = ""
        self.keys: tuple[Key, ...] = ()
        """Of funded accounts."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Returns once the chain answers; raises NoAnvil."""
        program = find_anvil()
        self._folder = tempfile.mkdtemp(prefix="tallystick-anvil-")
        config, log = Path(self._folder) / "config.json", Path(self._folder) / "log"
        command = [str(program), "--host", "127.0.0.1", "--port", str(self._port)]
        # It writes the state after each block to a file, in a folder of the user's that it does not clear
        # when told to end: gigabytes for each busy hour.
        command += ["--cache-path", self._folder, "--max-persisted-states"]
        command += [str(_STATES if self._state is None else _STATES_KEPT)]
        command += ["--chain-id", str(self._chain_id), "--config-out", str(config), "--accounts", "20"]
        if self._block_time_s is None:  # Gateways refuse to serve by a head that is minutes old.
            command += ["--block-time", str(_IDLE_BLOCK_S), "--mixed-mining"]
        else:
            command += ["--block-time", str(self._block_time_s)]
        if self._state is not None:
            command += ["--state", str(self._state)]
        with log.open("wb") as output:
            # A session of its own: Ctrl-C then reaches the program that owns the chain alone, and what a
            # launcher starts ends with it.
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        try:
            self._await(config, log)
        except BaseException:
            self.stop()
            raise
        self.rpc = Rpc(self.url, timeout_s=_ANSWER_S)

    def _await(self, config: Path, log: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            text = log.read_text(errors="replace")
            if listening := re.search(r"Listening on 127\.0\.0\.1:(\d+)", text):
                self.url = f"http://127.0.0.1:{listening[1]}"
                secrets = json.loads(config.read_bytes())["private_keys"]
                self.keys = tuple(Key(bytes.fromhex(secret[2:])) for secret in secrets)
                return
            if self._process.poll() is not None:
                raise NoAnvil(f"anvil ended with status {self._process.returncode}: {text.strip()[-500:]}")
            time.sleep(0.02)
        raise NoAnvil(f"anvil did not start within {_START_S} seconds: {log.read_text()[-500:]}")

    def stop(self) -> None:
        """Returns once the process is gone. Harmless twice."""
        process, self._process = self._process, None
        if process is None:
            return
        if self.url:
            self._rest()
            self.rpc.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _rest(self) -> None:
        """Mine nothing more: anvil saves its blocks first and its state after them, so that what a block
        changes in between would be saved without the block, its events lost."""
        if self._state is None:
            return
        with contextlib.suppress(ChainUnavailable):  # It may be stopped, or gone.
            self.rpc.call("evm_setIntervalMining", 0)
            self.rpc.call("evm_setAutomine", False)
            self.rpc.call("evm_mine")  # After the block that is being made.


def deploy(rpc: Rpc, key: Key) -> Deployment:
    """A test asset, a market that settles in it, the duels that are its arbiter, audits, and a lens."""
    chain_id = int(rpc.call("eth_chainId"), 16)
    sender = Sender(rpc, chain_id, key)
    asset = sender.send(contracts.asset().create())
    assert asset.created is not None
    # The market names its arbiter before that exists, and the arbiter checks that it is meant.
    nonce = int(rpc.call("eth_getTransactionCount", to_hex(key.address), "pending"), 16)
    arbiter, auditing = (created_address(key.address, nonce + after) for after in (2, 3))
    market = sender.send(contracts.market().create(asset.created, arbiter, MINIMUM_STAKE, *_NOTICES_S))
    lens = sender.send(contracts.lens().create())
    assert market.created is not None
    assert lens.created is not None
    duels = sender.send(contracts.duels().create(market.created, auditing, MINIMUM_FEE, _PERIOD_S))
    audits = sender.send(contracts.audits().create(arbiter, _WINDOW_S))
    assert (duels.created, audits.created) == (arbiter, auditing)
    return Deployment(
        chain_id=chain_id,
        market=market.created,
        asset=asset.created,
        lens=lens.created,
        block=market.block,
        duels=arbiter,
        audits=auditing,
    )
