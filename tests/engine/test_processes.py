"""Engines as programs: they start in no time, say when they are ready, stay small, and go when told to."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

MODEL = Path(__file__).parent.parent / "models" / "good"
MOST_MEGABYTES = 300


@pytest.mark.parametrize(
    ("engine", "options", "model"), [("embedded", ["--model", str(MODEL)], "good"), ("echo", [], "echo")]
)
def test_an_engine_starts_serves_and_stops(engine: str, options: list[str], model: str) -> None:
    command = [sys.executable, "-m", f"tallystick_node.engine.{engine}", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = re.fullmatch(rf"{model}: ready on (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
            assert ready is not None
            with urllib.request.urlopen(f"{ready[1]}/health") as response:
                assert response.status == 200
            assert _completed(ready[1], model)["usage"]["completion_tokens"] > 0
            assert _megabytes(process.pid) < MOST_MEGABYTES
        finally:
            process.terminate()
    assert process.returncode == 0


def test_a_folder_without_a_model_is_refused_in_words(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tallystick_node.engine.embedded", "--port", "0", "--model", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == f"embedded: no model in {tmp_path}: it has no config.json\n"


def test_a_model_of_another_kind_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    command = [sys.executable, "-m", "tallystick_node.engine.embedded", "--port", "0", "--model", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == f"embedded: cannot run {tmp_path}: it is a mamba, not a llama; vLLM may\n"


def _completed(url: str, model: str) -> dict[str, Any]:
    """An answer: an engine weighs what it weighs once it has worked."""
    body = {"model": model, "prompt": "What is the capital of Kenya?", "max_tokens": 24}
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)  # type: ignore[no-any-return]


def _megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.is_file():
        pytest.skip("what a process weighs is read from /proc")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
