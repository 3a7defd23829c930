"""Brings a database to the shape that this code knows, by the migrations that ship with it."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine


class DatabaseNewer(Exception):
    """A later version of this program has migrated it: going back would lose what it added."""


def migrate(engine: Engine) -> None:
    """Raises DatabaseNewer."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise DatabaseNewer(
                f"The database was made by a later version of this program (its revision {current} is "
                "unknown here). Install that version."
            )
        connection.rollback()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
