"""What charts need, before anything is run for them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tallystick_node.cli import app
from tallystick_node.sim import plot


@pytest.mark.parametrize("command", ["paper", "market", "incentives", "scale"])
def test_without_matplotlib_nothing_is_run_that_cannot_be_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    ran = CliRunner().invoke(app, ["sim", command, "--out", str(tmp_path / "charts")])
    assert ran.exit_code == 1
    assert "pip install 'tallystick[node,sim]'" in ran.output
    assert not (tmp_path / "charts").exists()
