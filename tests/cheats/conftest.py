"""Adversaries at play, and the table of what they gained (shown with `-s` or `-v`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.ports import Recount
from tallystick.tokenizer import Vocabulary
from tests.cheats.gains import Gains
from tests.client.conftest import World as PayersWorld
from tests.client.conftest import patience

__all__ = ["patience"]

_GAINS = Gains()


@pytest.fixture
def gains() -> Gains:
    return _GAINS


@pytest.fixture(scope="session")
def tokenizer() -> Recount:
    """For payers that recount."""
    return Vocabulary(Path(__file__).parents[1] / "models" / "good")


@pytest.fixture
def market(tmp_path: Path) -> Iterator[PayersWorld]:
    """For honest payers: real SDK, providers of any kind, real HTTP."""
    made = PayersWorld(tmp_path)
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _GAINS.noted and (config.getoption("capture") == "no" or config.getoption("verbose") > 0):
        terminalreporter.section("gains of adversaries, in atoms")
        terminalreporter.write_line(_GAINS.table())
