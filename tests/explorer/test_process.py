"""`tally-node explorer` as a process on a real chain: it starts, shows what was traded, ends, goes on."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tallystick.chain.deployment import Deployment
from tallystick_node.local.process import Process, answers

from .trading import Traded

READY_S = 60.0
Start = Callable[..., tuple[Process, str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(rpc, deployment)`: the process and its address, once it answers."""
    started: list[Process] = []

    def begin(rpc: str, deployment: Deployment) -> tuple[Process, str]:
        deployment.save(tmp_path / "deployment.json")
        command = [sys.executable, "-m", "tallystick_node.cli", "explorer", "--rpc", rpc, "--port", "0"]
        log = tmp_path / f"explorer-{len(started)}.log"
        process = Process("explorer", [*command, "--home", tmp_path], log=log)
        started.append(process)
        process.wait_ready(lambda: "explorer http" in log.read_text(), timeout_s=READY_S)
        found = re.search(r"explorer (http://\S+)", log.read_text())
        assert found is not None
        process.wait_ready(answers(found[1] + "/"), timeout_s=READY_S)
        return process, found[1]

    yield begin
    for process in started:
        process.stop()


def head_of(url: str) -> int:
    with httpx2.stream("GET", url + "/live", timeout=20) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                return int(re.findall(r'"block":\s*(\d+)', line)[0])
    raise AssertionError("it ended")


def await_block(url: str, number: int) -> None:
    deadline = time.monotonic() + 20
    while head_of(url) < number:
        assert time.monotonic() < deadline, f"block {number} was not read"


def test_it_indexes_serves_ends_and_goes_on(traded: Traded, start: Start) -> None:
    market = traded.provider.market
    process, url = start(traded.chain.url, traded.deployment)
    await_block(url, market.head().number)
    process.terminate()
    assert process.wait(20) == 0

    traded.chain.rpc.call("evm_mine")
    newest = market.head().number
    _, url = start(traded.chain.url, traded.deployment)
    await_block(url, newest)
    traded.chain.rpc.call("evm_mine")
    await_block(url, newest + 1)  # Live.


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--deployment", "/nowhere"], "cannot be read"),
        (["--database", "mysql://somewhere/x"], "A database is named by"),
        (["--rpc", "http://127.0.0.1:9"], "does not answer"),
        (["--proxy", "192.0.2.7/8"], "A proxy is an address or a network"),
    ],
)
def test_it_says_why_it_does_not_start(
    traded: Traded, tmp_path: Path, options: list[str], sentence: str
) -> None:
    traded.deployment.save(tmp_path / "deployment.json")
    command = [sys.executable, "-m", "tallystick_node.cli", "explorer", "--rpc", traded.chain.url]
    ran = subprocess.run(
        [*command, "--home", tmp_path, *options], capture_output=True, text=True, timeout=READY_S, check=False
    )
    assert ran.returncode == 1
    assert sentence in ran.stderr
