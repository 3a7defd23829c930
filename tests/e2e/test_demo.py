"""`scripts/demo` as people run it: it ends with three checks that hold, and leaves nothing behind."""

import json
import os
import re
import secrets
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tallystick_node.local.engines import REPOSITORY, vllm_is_installed

pytestmark = pytest.mark.e2e
MARK = "TALLYSTICK_TEST_RUN"
"""In a demo's environment, and so in that of whatever it starts."""


@pytest.fixture
def run() -> str:
    """The mark of this test's demo."""
    return secrets.token_hex(8)


def demo(run: str, *arguments: str, timeout_s: float) -> dict[str, Any]:
    """What it reports; the story is shown when it fails."""
    command = [REPOSITORY / "scripts" / "demo", "--json", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, env=os.environ | {MARK: run}
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def require_adds_up(report: dict[str, Any], *, providers: int, requests: int) -> None:
    assert [check["holds"] for check in report["checks"]] == [True, True, True], report["checks"]
    assert (report["requests"], report["streamed"]) == (requests, requests // 2)
    rows = report["providers"].values()
    assert len(rows) == providers
    assert sum(row["requests"] for row in rows) == requests
    assert all(row["paid"] == row["earned"] and row["transactions"] <= 1 for row in rows)


def assert_every_atom_is_explained(explorer: str) -> None:
    """The demo has published its receipts, and they come to what was settled."""
    providers = httpx2.get(f"{explorer}/api/providers", trust_env=False).json()["rows"]
    assert len(providers) == 3
    for row in providers:
        address = row.get("address") or row["provider"]["address"]
        audit = httpx2.get(f"{explorer}/api/audit/provider/{address}", trust_env=False).json()
        assert (audit["addsUp"], audit["unexplained"]) == (True, "0"), audit
        assert int(audit["settled"]) > 0


def left_running(run: str) -> list[str]:
    """Command lines of processes that the demo started: chains, engines and gateways alike."""
    mark = f"{MARK}={run}".encode()
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                lines.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return lines


def test_the_default_runs_the_best_engine_that_is_here(run: str) -> None:
    """One provider of it: others take as long to start, and show no more."""
    report = demo(run, "--providers", "1", "--requests", "20", timeout_s=900)
    assert report["engine"] == ("vllm" if vllm_is_installed() else "embedded")
    require_adds_up(report, providers=1, requests=20)
    assert not left_running(run)


def test_the_embedded_model_answers_and_is_paid(run: str) -> None:
    report = demo(run, "--engine", "embedded", timeout_s=900)
    require_adds_up(report, providers=3, requests=60)
    assert not left_running(run)


def test_hundreds_of_requests_add_up(run: str) -> None:
    report = demo(run, "--engine", "echo", "--providers", "5", "--requests", "600", timeout_s=900)
    require_adds_up(report, providers=5, requests=600)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_demo_that_is_stopped_leaves_nothing(run: str, number: signal.Signals) -> None:
    command = [REPOSITORY / "scripts" / "demo", "--engine", "echo", "--keep"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # As a shell does behind `&`.
        env=os.environ | {MARK: run},
    ) as running:
        try:
            assert running.stdout is not None
            for line in running.stdout:
                if found := re.search(r"explorer +(http://\S+)", line):
                    assert "The market" in httpx2.get(found[1], trust_env=False).text
                    assert_every_atom_is_explained(found[1])
                if "tally pay" in line:
                    break
            assert len(left_running(run)) >= 9, "three engines, three gateways, explorer, chain, demo"
            os.kill(running.pid, number)
            running.communicate(timeout=180)
        finally:
            running.kill()  # Its children end with it.
    assert not left_running(run)
