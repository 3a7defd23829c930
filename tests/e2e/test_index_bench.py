"""The index's bench measures what it says, and writes it down."""

import json
import subprocess
import sys
from pathlib import Path


def test_it_measures_reading_a_restart_and_both_databases(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tallystick_node.local.bench.index", "--settlements", "400"]
    options = ["--rounds", "2", "--json", str(tmp_path / "figures.json")]
    ran = subprocess.run([*command, *options], capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode in (0, 1), ran.stderr  # So few are no figure.
    rows = json.loads((tmp_path / "figures.json").read_text())
    assert [row["name"] for row in rows if row["target"]] == [
        "from a made node, into SQLite",
        "a restart, until it has read on",
        "from a made node, into PostgreSQL",
        "from anvil, into SQLite",
    ]
    assert all(row["value"] > 0 for row in rows)
