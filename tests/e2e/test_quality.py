"""Grades duel, as `scripts/demo quality` has them: a few times here, over the whole protocol. How well they
are told apart, and how long callers wait, is what it measures on a machine that does nothing else."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tallystick_node.local.engines import vllm_is_installed

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.e2e
def test_a_few_duels_find_who_babbles_and_every_atom_is_accounted_for(tmp_path: Path) -> None:
    told = demo(tmp_path)
    assert list(told["parts"]) == ["a", "b", "c", "d"]
    graded = told["parts"]["a"]
    assert missed(graded) == []
    rates = {grade: found["rate"] for grade, found in graded["figures"]["win_rates"].items()}
    assert rates["good"] > rates["bad"] > rates["random"]
    assert graded["figures"]["last_after"] <= 10
    (judges, panels) = graded["tables"][2]["rows"][-2:]
    assert judges[0] == "judges by good"
    assert panels[1] == "10"

    arms = told["parts"]["b"]["figures"]["arms"]
    assert all(len(arm["rounds"]) == 1 and arm["p95_s"] > 0 for arm in arms.values())
    (lost,) = [target for target in told["parts"]["b"]["targets"] if "requests lost" in target["name"]]
    assert lost["met"], lost
    assert missed(told["parts"]["c"]) == []
    assert missed(told["parts"]["d"]) == []


@pytest.mark.e2e
@pytest.mark.vllm
@pytest.mark.skipif(not vllm_is_installed(), reason="needs scripts/install vllm")
def test_real_vllm_serves_the_grades(tmp_path: Path) -> None:
    told = demo(tmp_path, "--vllm", "--only", "a")
    assert told["vllm"]
    assert missed(told["parts"]["a"]) == []


def missed(part: Any) -> list[Any]:
    return [target for target in part["targets"] if not target["met"]]


def demo(folder: Path, *more: str) -> Any:
    """What its quick form came to."""
    found, picture, page = folder / "quality.json", folder / "quality.png", folder / "quality.md"
    page.write_text("Before.\n<!-- figures: generated -->\nold\n<!-- end of figures -->\nAfter.\n")
    command = [REPOSITORY / "scripts" / "demo", "quality", "--quick", *more]
    options = ["--json", found, "--plot", picture, "--docs", page]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=900)
    assert found.exists(), ended.stdout[-3000:] + ended.stderr[-3000:]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert page.read_text().startswith("Before.\n")
    assert page.read_text().endswith("After.\n")
    assert "**(a) Grades of one model" in page.read_text()
    return json.loads(found.read_text())
