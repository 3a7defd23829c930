"""What of a budget is spent, and what is reserved for requests that are open. At all times

    spent = Σ costs of the receipts accepted,   spent + reserved ≤ budget.total

in the transaction of whoever changes it. It knows no channel.
"""

from collections.abc import Collection, Sequence

from sqlalchemy.engine import Connection

from tallystick.client.books import Books, of_request
from tallystick.client.budget import Budget
from tallystick.client.errors import TotalBudgetExceeded
from tallystick.client.holdings import Pending
from tallystick.client.tables import LIMIT_REQUEST
from tallystick.protocol.errors import ReceiptMismatch
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.units import Atoms, ChannelId


class Spending:
    """Of one purse, whichever process spends."""

    def __init__(self, books: Books, budget: Budget):
        self._books = books
        self._budget = budget

    def reserve(self, database: Connection, worst: Atoms) -> None:
        """Raises TotalBudgetExceeded."""
        spent, reserved = self._books.spending(database)
        left = self._budget.total - spent - reserved
        if worst > left:
            raise TotalBudgetExceeded(
                f"The request may cost more than is left of the budget ({reserved} are reserved).",
                required=worst,
                actual=left,
            )
        self._books.spend(database, spent, reserved + worst)

    def bill(self, database: Connection, pending: Pending, cost: int, *, ended: str | None) -> None:
        """Moves `cost` from reserved to spent, and at the end gives back what is left of the reservation.

        Raises
        ------
        ReceiptMismatch :
            It is more than was reserved for the request.
        TotalBudgetExceeded :
            It was given back since, and there is no room for it now.
        """
        row = self._books.read_request(database, pending)
        billed = row["billed"] + cost
        if billed > row["worst"]:
            raise ReceiptMismatch(
                "The receipts cost more than was reserved.", required=row["worst"], actual=billed
            )
        spent, reserved = self._books.spending(database)
        held = row["worst"] - row["billed"] if row["state"] == "open" else 0
        taken = min(cost, held) if ended is None else held
        left = self._budget.total - spent - reserved + taken
        if cost > max(left, 0):
            raise TotalBudgetExceeded(
                "The receipts cost more than is left of the budget.", required=cost, actual=left
            )
        self._books.spend(database, spent + cost, reserved - taken)
        changes = row["state"] in ("open", "unbilled")
        self._books.bill_request(database, pending, billed, ended=ended if changes else None)

    def limit(self, database: Connection, pending: Pending, most: Atoms) -> Atoms:
        """It costs no more than that; the rest goes back to the budget. What it may be billed still."""
        row = self._books.read_request(database, pending)
        worst = max(row["billed"], min(row["worst"], most))
        if row["state"] == "open":
            spent, reserved = self._books.spending(database)
            self._books.spend(database, spent, reserved - (row["worst"] - worst))
        database.execute(LIMIT_REQUEST, {**of_request(pending), "now_worst": worst})
        return Atoms(worst - row["billed"])

    def take_back(self, database: Connection, cost: int) -> None:
        """Was spent before this purse forgot it."""
        spent, reserved = self._books.spending(database)
        self._books.spend(database, spent + cost, reserved)


class Share:
    """What this process has spent: the costs of the receipts for requests that it made, whoever else spends
    from the purse meanwhile. Guarded by the purse's lock."""

    def __init__(self) -> None:
        self.spent = Atoms(0)
        self._nonces: set[int] = set()
        """Of the requests that it made, and that may cost something still."""
        self._waiting: dict[ChannelId, dict[int, Atoms]] = {}
        """Costs of those of its receipts that are behind a gap, by their sequence."""

    def began(self, nonce: int) -> None:
        self._nonces.add(nonce)

    def ended(self, nonce: int) -> None:
        self._nonces.discard(nonce)

    def billed(self, nonce: int, new: Sequence[Receipt], waiting: Collection[int]) -> None:
        """Receipts for that request were accepted. `waiting`: sequences behind a gap of their channel now."""
        if nonce not in self._nonces:
            return
        for receipt in new:
            self.spent = Atoms(self.spent + receipt.cost)
            behind = self._waiting.get(receipt.channel_id, {}) | {receipt.sequence: receipt.cost}
            self._waiting[receipt.channel_id] = {at: behind[at] for at in behind if at in waiting}

    def dropped(self, channel_id: ChannelId) -> None:
        """What is behind its gap will never be acknowledged."""
        self.spent = Atoms(self.spent - sum(self._waiting.pop(channel_id, {}).values()))
