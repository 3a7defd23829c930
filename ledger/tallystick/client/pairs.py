"""What duels are made of, as the purse keeps it: one request, two answers, both receipts.

asking ──▶ held ──▶ opened ──▶ appealed ──▶ over
   │                   └──────────────────────▲
   └────▶ void (nobody else answered)

It shares the purse's file. Requests and answers are sealed; what a pair costs is not, and is written before
it is spent, so that all pairs of all processes stay within one budget. It knows no judge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import insert, select, update

from tallystick.client.books import Books
from tallystick.client.errors import PurseError
from tallystick.client.outlays import Outlay
from tallystick.client.sealing import Seal
from tallystick.client.tables import pairs
from tallystick.crash import point
from tallystick.protocol.case import Case
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.units import Atoms, Hash32, Milliseconds, address, hash32, to_hex
from tallystick.protocol.vote import Choice, hidden_hash

HELD: Final = ("held", "opened", "appealed", "over")
"""States in which both answers are here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers to one request, and what the challenger hides of them."""

    number: int
    """Of this purse's pairs, from 1."""
    case: Case
    """As judges are shown it."""
    channels: tuple[ChannelKey, ChannelKey]
    """On which the first and the second answer were bought."""
    known: Choice
    """The verdict, where it is known beforehand; else `NONE`."""
    salt: Hash32
    state: str
    cost: Atoms
    """Beside the caller's own request: of the second answer, of judges and fees."""
    verdict: Choice = Choice.NONE
    """That counts, once it is over; `NONE`: there is none yet, or the duel lapsed."""

    @property
    def duel(self) -> Hash32:
        return self.case.duel


class Pairs:
    """Of one purse."""

    def __init__(self, books: Books, seal: Seal, *, now: Callable[[], Milliseconds]):
        self._books = books
        self._seal = seal
        self._now = now
        self._outlay = Outlay("duels", pairs)

    def begin(self, most: Atoms, budget: Atoms | int) -> int:
        """A pair's number, with `most` atoms taken out of the duels' budget; raises TotalBudgetExceeded."""
        with self._books.begin() as database:
            self._outlay.take(database, most, budget)
            values = {"state": "asking", "cost": most, "asked_at": self._now()}
            key = database.execute(insert(pairs).values(**values)).inserted_primary_key
            assert key is not None
            number = int(key[0])
        point("pair.begun")
        return number

    def hold(self, pair: Pair) -> None:
        """Both answers are here."""
        assert pair.case.hidden == hidden_hash(pair.known, pair.salt)
        secret = {
            "case": pair.case.to_json(),
            "channels": [[to_hex(key.session_key), key.epoch] for key in pair.channels],
            "known": int(pair.known),
            "salt": to_hex(pair.salt),
        }
        sealed = self._seal.close_over(orjson.dumps(secret), name=_name(pair.number))
        self._change(pair.number, pair.cost, state=pair.state, sealed=sealed)
        point("pair.held")

    def void(self, number: int, cost: Atoms) -> None:
        """Nobody else answered it. What was begun may have cost something."""
        self._change(number, cost, state="void")

    def open(self, pair: Pair, most: Atoms, budget: Atoms | int) -> None:
        """Its duel is about to be opened, and may cost `most` atoms more than it did before. Once more where
        that was said before, and nothing came of it.

        Raises
        ------
        TotalBudgetExceeded :
            There is no room for that.
        PurseError :
            Another process has opened it.
        """
        with self._books.begin() as database:
            query = select(pairs.c.state, pairs.c.before).where(pairs.c.id == pair.number)
            state, before = database.execute(query).one()
            if state != pair.state:
                raise PurseError("Another process has opened this duel.", required=pair.state, actual=state)
            before = pair.cost if before is None else before  # An older program's is kept at the most.
            self._outlay.correct(database, pair.number, before)
            self._outlay.take(database, most, budget)
            opened = {"state": "opened", "cost": before + most, "before": before, "duel": pair.duel}
            database.execute(update(pairs).where(pairs.c.id == pair.number).values(**opened))
        point("duel.begun")

    def add(self, pair: Pair, most: Atoms, budget: Atoms | int) -> None:
        """It may cost `most` atoms more than was thought. Raises TotalBudgetExceeded."""
        with self._books.begin() as database:
            self._outlay.take(database, most, budget)
            added = {"cost": Atoms(pair.cost + most)}
            database.execute(update(pairs).where(pairs.c.id == pair.number).values(**added))

    def appeal(self, pair: Pair, cost: Atoms, most: Atoms, budget: Atoms | int) -> None:
        """Its verdict is about to be appealed: it came to `cost` atoms so far, and the appeal may cost `most`
        more. Raises TotalBudgetExceeded."""
        with self._books.begin() as database:
            self._outlay.correct(database, pair.number, cost)
            self._outlay.take(database, most, budget)
            appealed = {"state": "appealed", "cost": cost + most}
            database.execute(update(pairs).where(pairs.c.id == pair.number).values(**appealed))
        point("appeal.begun")

    def end(self, pair: Pair, cost: Atoms, verdict: Choice = Choice.NONE) -> None:
        """Its duel is over, and came to `cost` atoms with all that it took."""
        self._change(pair.number, cost, state="over", verdict=int(verdict))

    def held(self, *states: str) -> list[Pair]:
        """Those in one of these states, or all that are here, oldest first."""
        query = select(pairs).where(pairs.c.state.in_(states or HELD)).order_by(pairs.c.id)
        with self._books.begin() as database:
            rows = database.execute(query).mappings().all()
        return [self._pair(dict(row)) for row in rows]

    def cost(self) -> Atoms:
        """Of all of them so far, at most."""
        with self._books.begin() as database:
            return self._outlay.spent(database)

    def _pair(self, row: dict[str, Any]) -> Pair:
        secret = orjson.loads(self._seal.open(row["sealed"], name=_name(row["id"])))
        case = Case.from_json(secret["case"])
        first, second = (
            ChannelKey(
                payer=case.challenger, provider=one.provider, session_key=address(session), epoch=epoch
            )
            for one, (session, epoch) in zip((case.first, case.second), secret["channels"], strict=True)
        )
        return Pair(
            number=row["id"],
            case=case,
            channels=(first, second),
            known=Choice(secret["known"]),
            salt=hash32(secret["salt"]),
            state=row["state"],
            cost=Atoms(row["cost"]),
            verdict=Choice(row["verdict"] or 0),
        )

    def _change(self, number: int, cost: Atoms, **values: object) -> None:
        with self._books.begin() as database:
            self._outlay.correct(database, number, cost)
            database.execute(update(pairs).where(pairs.c.id == number).values(cost=cost, **values))


def _name(number: int) -> bytes:
    return b"pair %d" % number
