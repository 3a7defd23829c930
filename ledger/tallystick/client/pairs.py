"""What duels are made of, as the purse keeps it: one request, two answers, both receipts.

asking ──▶ held ◀─▶ opened ──▶ appealed ──▶ over ──▶ bare (its request and answers are forgotten)
   │        │          └──────────────────────▲
   └────────┴▶ void (nobody else answered, or nobody opened its duel)

It shares the purse's file. Requests and answers are sealed, and kept for no longer than they are of use; what
a pair costs is neither, and is written before it is spent, so that all pairs of all processes stay within one
budget. It knows no judge.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from tallystick.client.books import Books
from tallystick.client.errors import PurseError, TotalBudgetExceeded
from tallystick.client.holder import Holder
from tallystick.client.outlays import Outlay
from tallystick.client.sealing import Seal
from tallystick.client.tables import pairs, requests
from tallystick.crash import point
from tallystick.protocol.case import Case
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.units import Atoms, Hash32, Milliseconds, address, hash32, to_hex
from tallystick.protocol.vote import Choice, hidden_hash

HELD: Final = ("held", "opened", "appealed", "over")
"""States in which both answers are here, or were: `bare` is told as `over`."""
KEPT_MS: Final = 7 * 86_400_000
"""Since it was asked, for which the request and answers of a duel that is over are kept."""
OPENABLE_MS: Final = 30 * 86_400_000
"""The same for a pair whose duel nobody opened."""
_AT_A_TIME: Final = 100
"""Pairs whose texts are forgotten in one transaction: callers wait for the purse meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers to one request, and what the challenger hides of them."""

    number: int
    """Of this purse's pairs, from 1."""
    case: Case
    """As judges are shown it; once it is over for a while, without request and answers."""
    channels: tuple[ChannelKey, ChannelKey]
    """On which the first and the second answer were bought."""
    known: Choice
    """The verdict, where it is known beforehand; else `NONE`."""
    salt: Hash32
    state: str
    cost: Atoms
    """Beside the caller's own request: of the second answer, of judges and fees."""
    shuns: frozenset[str] = frozenset()
    """Names of whom the request's caller does not deal with: they are not asked to judge."""
    verdict: Choice = Choice.NONE
    """That counts, once it is over; `NONE`: there is none yet, or the duel lapsed."""

    @property
    def duel(self) -> Hash32:
        return self.case.duel


class Pairs:
    """Of one purse. What one process is busy with no other one changes, until that one is gone."""

    def __init__(self, books: Books, seal: Seal, folder: Path, *, now: Callable[[], Milliseconds]):
        """`folder`: of the locks by which processes know of each other."""
        self._books = books
        self._seal = seal
        self._now = now
        self._outlay = Outlay("duels", pairs)
        self._holder = Holder(folder)

    def begin(self, most: Atoms, budget: Atoms | int) -> int:
        """A pair's number, with `most` atoms taken out of the duels' budget; raises TotalBudgetExceeded."""
        holder = self._holder.name
        with self._books.begin() as database:
            self._outlay.take(database, most, budget)
            values = {"state": "asking", "cost": most, "asked_at": self._now(), "holder": holder}
            key = database.execute(insert(pairs).values(**values)).inserted_primary_key
            assert key is not None
            number = int(key[0])
        point("pair.begun")
        return number

    def hold(self, pair: Pair) -> None:
        """Both answers are here."""
        assert pair.case.hidden == hidden_hash(pair.known, pair.salt)
        sealed = self._sealed(pair)
        with self._books.begin() as database:
            self._change(database, pair.number, "asking", cost=pair.cost, state=pair.state, sealed=sealed)
        point("pair.held")

    def _sealed(self, pair: Pair) -> bytes:
        secret = {
            "case": pair.case.to_json(),
            "channels": [[to_hex(key.session_key), key.epoch] for key in pair.channels],
            "known": int(pair.known),
            "salt": to_hex(pair.salt),
            "shuns": sorted(pair.shuns),
        }
        return self._seal.close_over(orjson.dumps(secret), name=_name(pair.number))

    def void(self, number: int, cost: Atoms) -> None:
        """Nobody else answered it. What was begun may have cost something."""
        with self._books.begin() as database:
            self._change(database, number, "asking", cost=cost, state="void")

    def open(self, pair: Pair, fee: Atoms, judges: Atoms, budget: Atoms | int) -> Pair:
        """Its duel is about to be opened, and may cost a fee and what judges may come to more than it did
        before. Once more where that was said before, and nothing came of it.

        Raises
        ------
        TotalBudgetExceeded :
            There is no room for that.
        PurseError :
            Another process has it.
        """
        with self._books.begin() as database:
            query = select(pairs.c.cost, pairs.c.before).where(pairs.c.id == pair.number)
            cost, before = database.execute(query).one()
            before = cost if before is None else before  # An older program's is kept at the most.
            self._change(database, pair.number, pair.state, cost=before)
            self._outlay.take(database, Atoms(fee + judges), budget)
            opened = {"state": "opened", "cost": before + fee + judges, "before": before, "duel": pair.duel}
            self._put(database, pair.number, **opened, judging=judges, hearings=0, heard=None)
        point("duel.begun")
        return replace(pair, state="opened", cost=Atoms(before + fee + judges))

    def leave(self, pair: Pair) -> None:
        """Its duel was not opened, and nothing was sent: it costs what it did before."""
        with self._books.begin() as database:
            query = select(pairs.c.before).where(pairs.c.id == pair.number)
            before = database.execute(query).scalar_one()
            self._change(database, pair.number, "opened", cost=before, state="held", judging=None)

    def hear(self, pair: Pair, judges: Atoms, budget: Atoms | int) -> Atoms:
        """What the panel may cost that is about to be asked. The first time it is what was taken for it. Once
        more, where a process died as it asked, it is what judges may come to now, which is taken beside; then
        nothing, nor where the budget has no room: those that judged say so on chain."""
        with self._books.begin() as database:
            query = select(pairs.c.cost, pairs.c.judging, pairs.c.hearings).where(pairs.c.id == pair.number)
            cost, judging, hearings = database.execute(query).one()
            if judging is not None:
                self._change(database, pair.number, pair.state, cost=cost, judging=None, hearings=1)
                return Atoms(judging)
            if (hearings or 0) > 1:
                return Atoms(0)
            self._change(database, pair.number, pair.state, cost=cost, hearings=2)
            try:
                self._outlay.take(database, judges, budget)
            except TotalBudgetExceeded:
                return Atoms(0)
            self._put(database, pair.number, cost=cost + judges)
        return judges

    def keep(self, pair: Pair, heard: bytes, spare: Atoms) -> None:
        """What its judges said, who took `spare` atoms less than they might have."""
        sealed = self._seal.close_over(heard, name=_heard_name(pair.number))
        with self._books.begin() as database:
            cost = database.execute(select(pairs.c.cost).where(pairs.c.id == pair.number)).scalar_one()
            self._change(database, pair.number, pair.state, cost=cost - spare, heard=sealed)
        point("duel.heard")

    def heard(self, pair: Pair) -> bytes | None:
        """Of its panel, so that nobody is paid twice for it; None: it was not asked to the end."""
        with self._books.begin(reads=True) as database:
            sealed = database.execute(select(pairs.c.heard).where(pairs.c.id == pair.number)).scalar_one()
        return None if sealed is None else self._seal.open(sealed, name=_heard_name(pair.number))

    def appeal(self, pair: Pair, fee: Atoms, judges: Atoms, budget: Atoms | int) -> Pair:
        """Its verdict is about to be appealed, which may cost a fee and what judges may come to more. Raises
        TotalBudgetExceeded."""
        with self._books.begin() as database:
            cost = database.execute(select(pairs.c.cost).where(pairs.c.id == pair.number)).scalar_one()
            self._outlay.take(database, Atoms(fee + judges), budget)
            self._require(database, pair.number, pair.state)
            appealed = {"state": "appealed", "cost": cost + fee + judges}
            self._put(database, pair.number, **appealed, judging=judges, hearings=0, heard=None)
        point("appeal.begun")
        return replace(pair, state="appealed", cost=Atoms(cost + fee + judges))

    def end(self, pair: Pair, verdict: Choice = Choice.NONE) -> None:
        """Its duel is over, and came to what it was counted at."""
        with self._books.begin() as database:
            self._require(database, pair.number, pair.state)
            self._put(database, pair.number, state="over", verdict=int(verdict), heard=None)

    def forget(self) -> None:
        """The requests and answers that are too old to be of use; receipts, verdicts and costs stay."""
        now = self._now()
        with self._books.begin() as database:
            unopened = (pairs.c.state == "held") & (pairs.c.asked_at < now - OPENABLE_MS)
            database.execute(update(pairs).where(unopened).values(state="void", sealed=None))
        while self._bared(now) == _AT_A_TIME:
            pass

    def _bared(self, now: Milliseconds) -> int:
        """How many of those over that are too old have been forgotten, of the first ones."""
        old = (pairs.c.state == "over") & (pairs.c.asked_at < now - KEPT_MS)
        with self._books.begin() as database:
            rows = database.execute(select(pairs).where(old).limit(_AT_A_TIME)).mappings().all()
            for row in rows:
                sealed = self._sealed(_bare(self._pair(dict(row))))
                self._put(database, row["id"], state="bare", sealed=sealed)
        return len(rows)

    # ------------------------------------------------------------------------------------------- processes

    def take_over(self, *states: str) -> list[int]:
        """What processes that are gone were busy with: those in one of these states are this one's now, and
        what they asked second providers for is void, at what that may cost. The numbers of all that are this
        one's then, oldest first."""
        with self._books.begin() as database:
            left = pairs.c.state.in_(("asking", *states))
            for (name,) in database.execute(select(pairs.c.holder).where(left).distinct()).all():
                if self._holder.is_gone(name):
                    its = left & pairs.c.holder.is_not_distinct_from(name)
                    asking = select(pairs.c.id).where(its, pairs.c.state == "asking")
                    numbers = database.execute(asking).scalars().all()
                    database.execute(update(pairs).where(its).values(holder=self._holder.name))
                    for number in numbers:
                        cost = asked_for(database, number)
                        self._change(database, number, "asking", cost=cost, state="void")
        return self.mine(*states)

    def mine(self, *states: str) -> list[int]:
        """The numbers of those in one of these states that this process is busy with, oldest first."""
        query = select(pairs.c.id).where(pairs.c.state.in_(states), pairs.c.holder == self._holder.name)
        with self._books.begin(reads=True) as database:
            return [int(number) for number in database.execute(query.order_by(pairs.c.id)).scalars()]

    def close(self) -> None:
        """Whatever is under way is anybody's."""
        self._holder.release()

    # ------------------------------------------------------------------------------------------- questions

    def held(self, *states: str) -> list[Pair]:
        """Those in one of these states, or all that are here, oldest first."""
        wanted = states or HELD
        wanted = (*wanted, "bare") if "over" in wanted else wanted
        query = select(pairs).where(pairs.c.state.in_(wanted)).order_by(pairs.c.id)
        with self._books.begin(reads=True) as database:
            rows = database.execute(query).mappings().all()
        return [self._pair(dict(row)) for row in rows]

    def pair(self, number: int) -> Pair:
        """One that is here."""
        with self._books.begin(reads=True) as database:
            row = database.execute(select(pairs).where(pairs.c.id == number)).mappings().one()
        return self._pair(dict(row))

    def cost(self) -> Atoms:
        """Of all of them so far, at most."""
        with self._books.begin(reads=True) as database:
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
            state="over" if row["state"] == "bare" else row["state"],
            cost=Atoms(row["cost"]),
            shuns=frozenset(secret.get("shuns", ())),  # An older program kept none.
            verdict=Choice(row["verdict"] or 0),
        )

    def _change(self, database: Connection, number: int, was: str, /, *, cost: int, **values: object) -> None:
        """From that state, to what comes to so much. Raises PurseError where another process has it."""
        self._require(database, number, was)
        self._outlay.correct(database, number, Atoms(cost))
        self._put(database, number, cost=cost, **values)

    def _require(self, database: Connection, number: int, was: str) -> None:
        query = select(pairs.c.state, pairs.c.holder).where(pairs.c.id == number)
        actual, holder = database.execute(query).one()
        if (actual, holder) != (was, self._holder.name):
            raise PurseError("Another process has this duel.", required=was, actual=actual)

    def _put(self, database: Connection, number: int, **values: object) -> None:
        database.execute(update(pairs).where(pairs.c.id == number).values(**values))


def asked_for(database: Connection, number: int) -> Atoms:
    """What the requests that were made for a pair have cost, or may."""
    query = select(requests.c.state, requests.c.worst, requests.c.billed).where(requests.c.pair == number)
    rows = database.execute(query).all()
    return Atoms(sum(worst if state == "open" else billed for state, worst, billed in rows))


def _bare(pair: Pair) -> Pair:
    """Without request and answers. Its receipts are those that name the duel."""
    first, second = (replace(one, payloads=()) for one in (pair.case.first, pair.case.second))
    return replace(pair, case=replace(pair.case, body=b"", first=first, second=second))


def _name(number: int) -> bytes:
    return b"pair %d" % number


def _heard_name(number: int) -> bytes:
    return b"heard %d" % number
