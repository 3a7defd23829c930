"""What the log of its starts says of a database."""

from pathlib import Path

import pytest

from tallystick_node.store.sqlite import SqliteStore
from tallystick_node.store.starts import Entry, may_have_forgotten


@pytest.mark.parametrize(
    ("count", "last", "boot", "forgotten"),
    [
        (0, None, "a", True),
        (2, None, "a", True),
        (2, Entry(2, "a", "process"), "b", False),
        (2, Entry(4, "a", "process"), "a", True),
        (3, Entry(3, "a", "process"), "a", False),
        (3, Entry(3, "a", "process"), "b", True),
        (3, Entry(3, "a", "power"), "b", False),
        (3, Entry(3, "-", "process"), "-", True),
        (3, Entry(3, "-", "power"), "-", False),
        (2, Entry(2, "-", "process"), "-", False),
    ],
)
def test_what_the_log_of_starts_gives_away(
    count: int, last: Entry | None, boot: str, forgotten: bool
) -> None:
    assert may_have_forgotten(count, last, boot, empty=False) is forgotten


def test_what_has_nothing_in_it_has_forgotten_nothing_unless_it_was_started_before() -> None:
    assert may_have_forgotten(0, None, "a", empty=True) is False
    assert may_have_forgotten(2, None, "a", empty=True) is True


def killed(store: SqliteStore) -> None:
    for connection in {store._db, store._writer, store._background}:
        connection.close()
    store._starts.close()


@pytest.mark.parametrize("drained", [False, True])
def test_a_drained_node_may_be_killed_and_lose_its_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drained: bool
) -> None:
    store = SqliteStore(tmp_path / "node.db")
    if drained:
        store.end()
        (synchronous,) = store._writer.execute("PRAGMA synchronous").fetchone()
        assert synchronous == 2, "what is saved from here on is on the disk"
    killed(store)
    monkeypatch.setattr("tallystick_node.store.sqlite.boot", lambda: "another")
    again = SqliteStore(tmp_path / "node.db")
    assert again.forgetful is not drained
    again.close()
