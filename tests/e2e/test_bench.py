"""The bench still measures what it says. Whether figures are good is for a quiet machine: here they exist,
and what they count is right."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tallystick_node.local.bench.cpu import cpu_seconds
from tallystick_node.local.bench.gas import TABLE
from tallystick_node.local.bench.machine import Machine
from tallystick_node.local.bench.page import as_markdown, as_text
from tallystick_node.local.bench.reasons import reason
from tallystick_node.local.bench.row import Row

REPOSITORY = Path(__file__).parents[2]
_ARMS = ("ours", "ours, no TLS")


@pytest.mark.e2e
def test_the_quick_bench_has_every_row_and_paid_for_every_answer(tmp_path: Path) -> None:
    found = tmp_path / "figures.json"
    command = [REPOSITORY / "scripts" / "bench", "--quick", "--json", found]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, ended.stderr[-2000:]

    rows = {row["name"].strip(): row for row in json.loads(found.read_text())}
    latencies = [f"{q} at {c}, {arm}" for q in ("p50", "p99") for c in (1, 16, 64) for arm in _ARMS]
    assert set(latencies) <= rows.keys()
    assert rows["p50 at 1, ours"]["target"] == 1
    assert rows["requests a second at 16, ours"]["at_least"]
    assert 0 < rows["CPU of one at 16, ours"]["value"] < 1e6
    assert rows["CPU of one, as fast as they come, ours"]["unit"] == "µs"
    assert rows["check a voucher: read the header, verify"]["value"] > 0
    assert rows["a durable request (process): check, save, sign, save"]["target"] == 1_000
    assert rows["a durable request (power): check, save, sign, save"]["target"] is None
    assert rows["12 requests, 4 at a time, against one by one"]["value"] > 0
    snapshot = json.loads((REPOSITORY / "contracts" / "snapshots" / "transactions.json").read_text())
    assert {name: rows[name]["value"] for name in snapshot} == {k: int(v) for k, v in snapshot.items()}
    assert {item.name for item in TABLE} <= rows.keys()
    assert all(name in ended.stdout for name in rows)


def figure(value: float, **changes: Any) -> Row:
    return Row(
        **{"section": "load", "name": "latency", "value": value, "unit": "ms", "target": 1.0} | changes
    )


def test_the_time_of_threads_that_have_ended_counts() -> None:
    def work() -> None:
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass

    before = cpu_seconds(os.getpid())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert cpu_seconds(os.getpid()) >= before + 0.1


def test_a_target_is_a_ceiling_unless_it_is_said_to_be_a_floor() -> None:
    assert not figure(1.0).missed
    assert figure(1.1).missed
    assert figure(0.9, at_least=True).missed
    assert not figure(9.0, target=None).missed


def test_a_miss_by_the_clock_on_a_busy_machine_says_so() -> None:
    quiet, busy = Machine(cores=2, load=0.2), Machine(cores=2, load=9.5)
    assert "load average 9.5 on 2 cores" in reason(busy, figure(2.0))
    assert "find it" in reason(quiet, figure(2.0))
    assert "find it" in reason(busy, figure(2.0, unit="gas"))
    assert "Earned" in reason(busy, figure(2.0, name="settle 1 row", unit="gas"))


def test_a_page_tells_what_is_missed() -> None:
    rows = [figure(0.5, name="good"), figure(1234.0, name="bad", baseline=9.5, baseline_name="others")]
    assert "1 of 2 targets met" in as_text(rows)
    assert "missed: load: bad" in as_text(rows)
    page = as_markdown(rows, lambda row: f"{row.name} is far.", "# Head")
    assert "| bad | 1,234 ms | ≤ 1 | 9.50 | MISSED; baseline: others |" in page
    assert "- **bad**: 1,234 ms, target ≤ 1. bad is far." in page
    assert "- **good**" not in page
    assert [Row.from_json(row.to_json()) for row in rows] == rows
    soak = {
        "payers": 30,
        "processes": 6,
        "providers": 2,
        "minutes": 3.0,
        "seed": 20,
        "checks": [{"question": "it adds up", "holds": True, "found": "5 = 5"}],
        "database": {"requests": 10, "bytes": 70_000, "bytes_a_request": 7_000},
    }
    page = as_markdown(rows, lambda _: "", "# Head", soak)
    assert "30 payers in 6 processes, 2 providers and a chain" in page
    assert "- it adds up: 5 = 5" in page
    assert "7,000 bytes a request" in page
