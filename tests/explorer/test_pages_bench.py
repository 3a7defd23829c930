"""The benchmark of the explorer's pages asks every kind of page, and gets what it asks for."""

import json
from pathlib import Path

import pytest

from tallystick_node.local.bench import explorer


def test_every_kind_of_page_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told.json"
    options = [
        "--settlements",
        "200",
        "--each",
        "2",
        "--database",
        str(tmp_path / "made.db"),
        "--json",
        str(told),
    ]
    monkeypatch.setattr("sys.argv", ["bench", *options])
    explorer.main()
    names = [row["name"] for row in json.loads(told.read_text())]
    assert {"p95 of /", "p95 of /settlements", "p95 of /model/…", "p95 of /search?q=…"} <= set(names)
    assert len(names) > 20
