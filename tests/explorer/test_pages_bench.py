"""The benchmark of the explorer's pages asks every kind of page, and gets what it asks for; at length, of a
market of a million settlements, and soon."""

import json
from pathlib import Path

import pytest
from hypothesis import settings

from tallystick_node.local.bench import explorer

LONG = settings.get_current_profile_name() == "long"
SETTLEMENTS, EACH = (1_000_000, 60) if LONG else (200, 2)


def test_every_kind_of_page_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told.json"
    options = [
        "--settlements",
        str(SETTLEMENTS),
        "--each",
        str(EACH),
        "--database",
        str(tmp_path / "made.db"),
        "--json",
        str(told),
    ]
    monkeypatch.setattr("sys.argv", ["bench", *options])
    explorer.main()
    rows = json.loads(told.read_text())
    names = {row["name"] for row in rows}
    assert {"p95 of /", "p95 of /settlements", "p95 of /model/…", "p95 of /search?q=…"} <= names
    assert len(names) > 25
    if LONG:  # Of a machine that does nothing else.
        assert not {row["name"]: row["value"] for row in rows if row["missed"]}
