"""What the documentation shows is run as it stands, against a market with real gateways."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick_node.local.engines import REPOSITORY, EngineKind
from tallystick_node.local.market import LocalMarket

EXAMPLES = sorted((REPOSITORY / "docs" / "examples").glob("*.py"))

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMarket]:
    with LocalMarket(
        folder=tmp_path_factory.mktemp("market"), engine=EngineKind.ECHO, provider_count=2
    ) as market:
        yield market


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_pays(market: LocalMarket, example: Path) -> None:
    environment = {**os.environ, **market.environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", example], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "atoms" in done.stdout


def test_the_readme_shows_the_example_that_is_run() -> None:
    assert (REPOSITORY / "docs/examples/pay.py").read_text() in (REPOSITORY / "README.md").read_text()


def test_every_command_of_the_readme_is_there() -> None:
    blocks = (REPOSITORY / "README.md").read_text().split("```sh\n")[1:]
    lines = [line for block in blocks for line in block.split("```")[0].splitlines() if line.strip()]
    programs = {line.split()[0] for line in lines}
    for program in programs - {"git", "cd", "export"}:
        found = (REPOSITORY / program, REPOSITORY / ".venv/bin" / program)
        assert any(os.access(path, os.X_OK) for path in found), program
