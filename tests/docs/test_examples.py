"""What the documentation shows is run as it stands, against a market with real gateways."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick_node.local.engines import REPOSITORY, EngineKind
from tallystick_node.local.market import LocalMarket
from tests.warm import Warm

EXAMPLES = sorted((REPOSITORY / "docs" / "examples").glob("*.py"))

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[LocalMarket]:
    with LocalMarket(
        folder=tmp_path_factory.mktemp("market"),
        engine=EngineKind.ECHO,
        provider_count=2,
        popen=warm.popen,
    ) as market:
        yield market


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_pays(market: LocalMarket, example: Path) -> None:
    environment = {**os.environ, **market.environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", example], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "atoms" in done.stdout


def test_the_readme_shows_the_example_that_is_run() -> None:
    assert (REPOSITORY / "docs/examples/pay.py").read_text() in (REPOSITORY / "README.md").read_text()


RUN_ELSEWHERE = {
    "scripts/demo": "tests/e2e/test_demo.py",
    "scripts/demo --engine vllm": "tests/e2e/test_demo.py",
    "scripts/demo --engine echo --providers 5 --requests 600": "tests/e2e/test_demo.py",
    "scripts/demo network": "tests/e2e/test_network.py",
    "scripts/demo quality": "tests/e2e/test_quality.py",
    "scripts/test": ".ci/run",
    "scripts/check": ".ci/run",
}
"""The README's commands that others run as they stand, and who."""
RUN_HERE = ("scripts/console", "tally --help", "tally-node --help")


def run(line: str, typed: str = "") -> str:
    program, *arguments = line.split()
    path = next(path for path in (REPOSITORY / program, REPOSITORY / ".venv/bin" / program) if path.exists())
    command, output = [path, *arguments], subprocess.PIPE
    done = subprocess.run(
        command, input=typed, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_every_command_of_the_readme_is_run() -> None:
    blocks = (REPOSITORY / "README.md").read_text().split("```sh\n")[1:]
    lines = {line for block in blocks for line in block.split("```")[0].splitlines() if line.strip()}
    assert lines == {*RUN_ELSEWHERE, *RUN_HERE}
    for line, where in RUN_ELSEWHERE.items():
        words = line.split()
        text = (REPOSITORY / where).read_text()
        assert all(f'"{word}"' in text for word in words[1:]) or line in text, line


@pytest.mark.parametrize("line", [line for line in RUN_HERE if line.endswith("--help")])
def test_help_helps(line: str) -> None:
    assert "Usage:" in run(line) or "usage:" in run(line)


def test_the_console_does_what_it_shows() -> None:
    """The commands that it prints as it starts, typed as they stand."""
    script = (REPOSITORY / "contracts/brownie/scripts/console.py").read_text()
    shown = [line.strip() for line in script.splitlines() if re.match(r"    (market|duels|audits)\.", line)]
    assert len(shown) == 7
    told = run("scripts/console", "\n".join([*shown, "exit()"]) + "\n")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", told).splitlines()
    assert "42" in lines, "what balanceOf answers once deposit, channel and voucher are through"
