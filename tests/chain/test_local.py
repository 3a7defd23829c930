"""The local chain starts, stops, and says what it lacks."""

import os
import platform
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tallystick.chain import local
from tallystick.chain.errors import ChainUnavailable, NoAnvil
from tallystick.chain.local import LocalChain, deploy, find_anvil
from tallystick.chain.market import Market
from tallystick.chain.rpc import Rpc


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.e2e
def test_it_stops_with_its_block_even_when_that_fails() -> None:
    chain = LocalChain()
    with pytest.raises(RuntimeError):
        use_and_fail(chain)
    assert not is_running(PIDS.pop())
    chain.stop()  # Harmless twice.


@pytest.mark.e2e
def test_it_leaves_nothing_on_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """anvil keeps the states after all but the last 500 blocks in files, gigabytes for a busy hour."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with LocalChain() as chain:
        chain.rpc.call("anvil_mine", hex(600))
        assert list(temporary.glob("*/anvil-state-*/*")), "the states are elsewhere"
    assert [*home.rglob("*"), *temporary.rglob("*")] == []


PIDS: list[int] = []


def use_and_fail(chain: LocalChain) -> None:
    with chain:
        PIDS.append(chain.pid)
        assert len(chain.keys) == 20
        assert int(chain.rpc.call("eth_chainId"), 16) == 31337
        raise RuntimeError


@pytest.mark.e2e
def test_it_stops_with_a_program_that_dies_of_an_exception() -> None:
    program = """
        from tallystick.chain.local import LocalChain
        with LocalChain() as chain:
            print(chain.pid, flush=True)
            raise SystemExit(3)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert not is_running(int(done.stdout))


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children")
def test_it_stops_with_a_program_that_is_killed() -> None:
    program = """
        import os, signal
        from tallystick.chain.local import LocalChain
        with LocalChain() as chain:
            print(chain.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    deadline = time.monotonic() + 60
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)


@pytest.mark.e2e
def test_two_chains_stand_side_by_side() -> None:
    with LocalChain() as one, LocalChain() as two:
        assert one.url != two.url


@pytest.mark.e2e
def test_a_state_file_keeps_the_chain(tmp_path: Path) -> None:
    state = tmp_path / "chain.json"
    with LocalChain(state=state) as chain:
        deployment = deploy(chain.rpc, chain.keys[0])
    with LocalChain(state=state) as chain:
        Market(chain.rpc, deployment).check()


@pytest.mark.e2e
def test_a_chain_that_is_stopped_at_work_keeps_state_and_blocks_alike(tmp_path: Path) -> None:
    """Else a deposit is in the contract whose event nobody ever sees."""
    state = tmp_path / "chain.json"
    for _ in range(3):
        with LocalChain(state=state) as chain, sending(chain.url, chain.rpc.call("eth_accounts")[:6]):
            time.sleep(0.5)
            chain.stop()
    with LocalChain(state=state) as chain:
        count = int(chain.rpc.call("eth_blockNumber"), 16)
        blocks = chain.rpc.batch([("eth_getBlockByNumber", [hex(n), True]) for n in range(1, count + 1)])
        sent = sum(int(item["value"], 16) for block in blocks for item in block["transactions"])
        assert 0 < sent == int(chain.rpc.call("eth_getBalance", SINK, "latest"), 16)


SINK = "0x" + "77" * 20


@contextmanager
def sending(url: str, senders: Sequence[str]) -> Iterator[None]:
    """Each sends one wei after the other to SINK, also while nobody answers."""
    ended = threading.Event()

    def send(sender: str) -> None:
        rpc = Rpc(url)
        while not ended.is_set():
            try:
                rpc.call("eth_sendTransaction", {"from": sender, "to": SINK, "value": "0x1"})
            except ChainUnavailable:
                ended.wait(0.01)
        rpc.close()

    threads = [threading.Thread(target=send, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.e2e
def test_its_head_grows_without_transactions() -> None:
    """A gateway refuses to serve by a head that is minutes old."""
    with LocalChain() as chain:
        deadline = time.monotonic() + 60
        while chain.rpc.call("eth_blockNumber") == "0x0" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert chain.rpc.call("eth_blockNumber") == "0x1"


@pytest.mark.e2e
def test_blocks_come_by_the_clock_when_asked() -> None:
    with LocalChain(block_time_s=0.1) as chain:
        deployment = deploy(chain.rpc, chain.keys[0])
        Market(chain.rpc, deployment).check()


def test_a_missing_anvil_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(local, "_ancestors", lambda: [tmp_path])
    with pytest.raises(NoAnvil, match="scripts/install contracts"):
        find_anvil()


def test_an_old_machine_is_told_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "anvil"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
    with pytest.raises(NoAnvil, match=r"glibc 2\.35 or later"):
        find_anvil()


def test_a_program_that_is_no_chain_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "anvil"
    program.write_text("#!/bin/sh\necho no such option >&2\nexit 2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(NoAnvil, match="ended with status 2: no such option"):
        LocalChain().start()
