"""A provider's database has one shape, whether it is new or was made by an earlier version, and whenever the
program that made it was killed."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool

from tallystick_node.store import migrate as migrations
from tallystick_node.store.migrate import NEWEST, migrate
from tallystick_node.store.models import Model

Make = Callable[[Path], None]


class Killed(BaseException):
    """What a program does not hear of when it ends."""


def engine_of(path: Path) -> Engine:
    return create_engine(f"sqlite:///{path}", poolclass=NullPool)


def of_the_first_version(path: Path) -> None:
    """With a channel in it."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).with_name("migrations")))
    with engine_of(path).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO channels VALUES (x'01', x'02', x'03', x'04', 0, NULL, 0, 0)")


def new(path: Path) -> None:
    """Nothing is there."""


def shape(path: Path) -> dict[str, Any]:
    """What SQLite says of each table: the order of columns is nobody's business."""
    with closing(sqlite3.connect(path)) as db:

        def told(what: str, of: str) -> list[Any]:
            return sorted(row[1:] for row in db.execute(f"PRAGMA {what}({of})"))

        def indexes(table: str) -> list[Any]:
            rows = told("index_list", table)
            return sorted((unique, origin, *told("index_info", name)) for name, unique, origin, _ in rows)

        tables = db.execute(
            "SELECT name, wr FROM pragma_table_list WHERE name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {
            name: (without_rowid, told("table_info", name), indexes(name), told("foreign_key_list", name))
            for name, without_rowid in tables
        }


def rows(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as db:
        return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in shape(path)}


def test_a_new_database_is_as_a_migrated_one(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    of_the_first_version(old)
    for path in (old, tmp_path / "new.db"):
        migrate(engine_of(path))
    assert shape(old) == shape(tmp_path / "new.db")
    assert rows(old)["channels"] == [(b"\1", b"\2", b"\3", b"\4", 0, None, 0, 0, 0)]
    assert rows(tmp_path / "new.db") == {name: [] for name in shape(old)} | {"alembic_version": [(NEWEST,)]}


@pytest.mark.parametrize("make", [new, of_the_first_version])
def test_killed_at_any_statement_it_is_made_by_the_next(make: Make, tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    make(whole)
    migrate(engine_of(whole))
    for last in count(1):
        path, left = tmp_path / f"{last}.db", last
        make(path)
        engine = engine_of(path)

        @event.listens_for(engine, "before_cursor_execute")
        def one_more(*_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        try:
            migrate(engine)
        except Killed:
            migrate(engine_of(path))
        assert (shape(path), rows(path)) == (shape(whole), rows(whole)), last
        if left > 0:
            break
    assert last > 8


def test_the_newest_migration_is_what_the_models_say(tmp_path: Path) -> None:
    """A database of that revision is opened as it is."""
    folder = Path(migrations.__file__).with_name("migrations")
    assert ScriptDirectory(str(folder)).get_current_head() == NEWEST
    of_the_first_version(tmp_path / "node.db")
    engine = engine_of(tmp_path / "node.db")
    migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Model.metadata) == []


def test_nobody_waits_for_what_migrates_where_there_is_nothing_to_migrate(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from tallystick_node.store.sqlite import SqliteStore;"
        "[SqliteStore(pathlib.Path(sys.argv[1])).close() for _ in range(2)]; print('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "node.db")]
    assert subprocess.check_output(command, text=True).strip() == "False"
