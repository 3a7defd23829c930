"""Brings a database to the shape that this code knows: a new one at once, an older one by the migrations that
ship with it. Either wholly or not at all."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine

from tallystick_node.store.models import Model

NEWEST: Final = "0005"
"""Migration: what the models say."""
_FOLDER: Final = Path(__file__).parent / "migrations"


class DatabaseNewer(Exception):
    """A later version of this program has migrated it: going back would lose what it added."""


def migrate(engine: Engine) -> None:
    """Raises DatabaseNewer."""
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        current = _revision(connection)
        if current == NEWEST:
            return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # The driver begins none for what makes tables.
        if current is None:
            _make(connection)
        else:
            _upgrade(connection, current)
        connection.commit()


def _revision(connection: Connection) -> str | None:
    """None: it is new."""
    made = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
    if not connection.exec_driver_sql(made).scalar():
        return None
    return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())


def _make(connection: Connection) -> None:
    Model.metadata.create_all(connection, checkfirst=False)
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (NEWEST,))


def _upgrade(connection: Connection, current: str) -> None:
    # A fifth of a second, for which a node whose database is as it should be need not wait.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    if current not in {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}:
        raise DatabaseNewer(
            f"The database was made by a later version of this program (its revision {current} is "
            "unknown here). Install that version."
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
