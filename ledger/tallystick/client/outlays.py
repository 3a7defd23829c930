"""What a payer spends beside its callers' requests, by purpose: a running figure, kept with the rows that it
is the sum of, so that all processes of a purse stay within one budget.

    spent = Σ costs of the purpose's rows

in every transaction that changes one of them. A row costs the most that it may, from before anything is
signed until it is known what it came to."""

from sqlalchemy import Table, insert, select, update
from sqlalchemy.engine import Connection

from tallystick.client.errors import TotalBudgetExceeded
from tallystick.client.tables import outlays
from tallystick.protocol.units import Atoms


class Outlay:
    """For one purpose. Methods take the connection of a transaction that has begun."""

    def __init__(self, purpose: str, rows: Table):
        """`rows`: what it is spent on, each with an `id` and a `cost`."""
        self._purpose = purpose
        self._rows = rows

    def spent(self, database: Connection) -> Atoms:
        query = select(outlays.c.spent).where(outlays.c.purpose == self._purpose)
        spent = database.execute(query).scalar_one_or_none()
        if spent is None:  # Not yet kept: the rows may be an older program's.
            return Atoms(sum(database.execute(select(self._rows.c.cost)).scalars()))
        return Atoms(spent)

    def take(self, database: Connection, more: Atoms, budget: Atoms | int) -> None:
        """Before a row comes to cost `more`; raises TotalBudgetExceeded."""
        spent = self.spent(database)
        left = budget - spent
        if more > left:
            raise TotalBudgetExceeded(
                f"The budget for {self._purpose} has no room for this.", required=more, actual=left
            )
        self._keep(database, Atoms(spent + more))

    def correct(self, database: Connection, number: int, cost: Atoms) -> None:
        """Before the row of that number comes to cost just so much."""
        query = select(self._rows.c.cost).where(self._rows.c.id == number)
        before = database.execute(query).scalar_one()
        self._keep(database, Atoms(self.spent(database) - before + cost))

    def _keep(self, database: Connection, spent: Atoms) -> None:
        kept = update(outlays).where(outlays.c.purpose == self._purpose).values(spent=spent)
        if database.execute(kept).rowcount == 0:
            database.execute(insert(outlays).values(purpose=self._purpose, spent=spent))
