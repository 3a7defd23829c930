"""What duels and audits cost is one running figure each, and the sum of its rows at any time."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import Connection

from tallystick.client.books import Books
from tallystick.client.errors import TotalBudgetExceeded
from tallystick.client.findings import Findings
from tallystick.client.outlays import Outlay
from tallystick.client.pairs import Pairs
from tallystick.client.sealing import Seal
from tallystick.client.tables import outlays, pairs
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Atoms, Milliseconds
from tests.client.fake_chain import DOMAIN

HUGE = 10**30


@pytest.fixture
def books(tmp_path: Path) -> Books:
    key = Key(b"\3" * 32)
    return Books(tmp_path / "purse.db", payer=key.address, seal=Seal(key, DOMAIN))


def row(database: Connection, cost: int) -> int:
    database.execute(pairs.insert().values(state="asking", cost=cost, asked_at=0))
    return int(database.execute(select(pairs.c.id).order_by(pairs.c.id.desc())).scalars().first() or 0)


def test_it_is_the_sum_of_its_rows(books: Books) -> None:
    outlay = Outlay("duels", pairs)
    with books.begin() as database:
        numbers = []
        for cost in (5, HUGE, 7):
            outlay.take(database, Atoms(cost), 2 * HUGE)
            numbers.append(row(database, cost))
        assert outlay.spent(database) == HUGE + 12
        outlay.correct(database, numbers[1], Atoms(3))
        assert outlay.spent(database) == 15


def test_no_more_is_taken_than_the_budget_has(books: Books) -> None:
    outlay = Outlay("duels", pairs)
    with books.begin() as database:
        outlay.take(database, Atoms(60), 100)
        row(database, 60)
        with pytest.raises(TotalBudgetExceeded):
            outlay.take(database, Atoms(41), 100)
        outlay.take(database, Atoms(40), 100)
        assert outlay.spent(database) == 100


def test_rows_of_an_older_program_count(books: Books) -> None:
    outlay = Outlay("duels", pairs)
    with books.begin() as database:
        number = row(database, HUGE)
        assert database.execute(select(outlays)).first() is None
        assert outlay.spent(database) == HUGE
        outlay.correct(database, number, Atoms(4))
        assert outlay.spent(database) == 4


def test_each_purpose_has_its_own(books: Books) -> None:
    with books.begin() as database:
        Outlay("duels", pairs).take(database, Atoms(9), 10)
        row(database, 9)
        Outlay("audits", outlays.metadata.tables["audits"]).take(database, Atoms(9), 10)
        assert database.execute(select(outlays.c.purpose)).scalars().all() == ["audits", "duels"]


def test_a_purse_of_an_older_program_is_taken_over(books: Books, tmp_path: Path) -> None:
    books.close()
    with closing(sqlite3.connect(tmp_path / "purse.db")) as database, database:
        for statement in (
            "DROP TABLE outlays",
            "DROP TABLE audits",
            "DROP TABLE lapses",
            "ALTER TABLE pairs DROP COLUMN verdict",
            "ALTER TABLE pairs DROP COLUMN before",
            "DROP INDEX ix_pairs_state",
            "DROP INDEX ix_requests_pair",
            "ALTER TABLE requests DROP COLUMN pair",
            "ALTER TABLE pairs DROP COLUMN holder",
            "ALTER TABLE pairs DROP COLUMN judging",
            "ALTER TABLE pairs DROP COLUMN hearings",
            "ALTER TABLE pairs DROP COLUMN heard",
            f"INSERT INTO pairs VALUES (1, 'void', '{HUGE}', NULL, NULL, 0)",
            "PRAGMA user_version = 3",
        ):
            database.execute(statement)
    key = Key(b"\3" * 32)
    seal = Seal(key, DOMAIN)
    again = Books(tmp_path / "purse.db", payer=key.address, seal=seal)
    kept = Pairs(again, seal, tmp_path / "busy", now=lambda: Milliseconds(1))
    assert kept.cost() == HUGE
    assert kept.begin(Atoms(5), HUGE + 5) == 2
    assert kept.cost() == HUGE + 5
    assert Findings(again, seal, now=lambda: Milliseconds(1)).all() == []
    again.close()
