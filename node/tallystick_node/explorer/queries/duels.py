"""Duels: who duelled, who judged, what was said and what it moved."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Row, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick.protocol.panel import seed_of
from tallystick.protocol.units import Hash32
from tallystick.protocol.vote import appeal_id
from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.listed import listed
from tallystick_node.explorer.queries.rows import Event, Record
from tallystick_node.explorer.values import Address, Amount, Hash, Listing, shown

_TABLE = schema.duels.c
EVENTS: Final = 200
"""Of one duel and its appeal: each judge says at most three things."""
CHOICES: Final = ("none", "first", "second", "tie", "declined")
"""As the contract numbers them."""

Choice = Literal["none", "first", "second", "tie", "declined"]


@shown
class Seat:
    """One place of a panel, and what was said from it."""

    judge: Address | None
    """None: nobody could be drawn for it."""
    choice: Choice


@shown
class Duel:
    """One panel: a duel's first, or that of its appeal, whose `root` is the duel."""

    duel: Hash
    root: Hash
    state: str
    """Open, committing, revealing, counting, appealable, appealed, settleable or lapsing (nobody decided it
    in time): it follows from the rest and the time. Ended or lapsed, once that is said on the chain."""
    challenger: Address
    """Of an appeal, who appealed."""
    fee: Amount
    seats: int
    draw_block: int
    """Its hash draws the judges."""
    decide_by: int
    """Unless its judges are summoned."""
    opened_block: int
    opened_log_index: int
    opened_at: int
    seed: Hash | None
    """None: it was not sealed."""
    reveal_from: int
    """Zero: its judges were not summoned."""
    first: Address | None
    """The two duellists, once it is decided."""
    second: Address | None
    first_receipt: Hash | None
    second_receipt: Hash | None
    price: Amount
    """Of the dearer of the two answers."""
    known: Choice
    """The known verdict: what the challenger knew beforehand."""
    panel: tuple[Seat, ...]
    """Once it is decided."""
    verdict: Choice
    """Of this panel; none while there is none."""
    decided_block: int
    decided_at: int
    appeal_by: int
    """Zero: nobody may appeal."""
    final_verdict: Choice
    """None: its money has not moved, or it lapsed."""
    prize: Amount
    to_winner: Amount
    burnt: Amount
    ended_block: int
    ended_at: int

    @property
    def winner(self) -> bytes | None:
        return {"first": self.first, "second": self.second}.get(self.final_verdict)

    @property
    def period(self) -> int:
        """Seconds that each party has for each of its steps."""
        return self.decide_by - self.opened_at


@shown
class Only:
    """Which duels of a list; all that is given must hold."""

    challenger: Address | None = None
    provider: Address | None = None
    """One of the duellists."""
    judge: Address | None = None
    open: bool = False
    """Those whose money has not moved."""


async def duels(connection: AsyncConnection, cut: Cut, only: Only, now: int) -> Listing[Duel]:
    """Newest first; an appeal is part of the duel that it appeals."""
    where: list[ColumnElement[bool]] = [_TABLE.root == _TABLE.duel]
    asked = [
        (role, address)
        for role, address in (
            ("duellist", only.provider),
            ("judge", only.judge),
            ("challenger", only.challenger),
        )
        if address is not None
    ]
    statement, order = select(schema.duels), (_TABLE.opened_block, _TABLE.opened_log_index)
    for number, (role, address) in enumerate(asked):
        parties = schema.duel_parties.alias()
        on = (parties.c.duel == _TABLE.duel, parties.c.role == role, parties.c.address == address)
        statement = statement.join(parties, and_(*on))
        if number == 0:  # By what is one's own: others may have had a million.
            order = (parties.c.opened_block, parties.c.opened_log_index)
    if only.open:
        where.append(_TABLE.ended_block == 0)
    statement = statement.where(*where, *cut.below(*order))
    statement = statement.order_by(*(column.desc() for column in order)).limit(cut.asked)
    rows = [_read(row, now) for row in await connection.execute(statement)]
    return cut.listing(rows, lambda duel: (duel.opened_block, duel.opened_log_index))


async def duel(connection: AsyncConnection, name: Hash, now: int) -> tuple[Duel, Duel | None] | None:
    """By its own id or its appeal's: the duel, and its appeal, if there is one."""
    found = (await connection.execute(select(schema.duels).where(_TABLE.duel == name))).first()
    if found is None:
        return None
    panels = {
        row.duel: _read(row, now)
        for row in await connection.execute(select(schema.duels).where(_TABLE.root == found.root))
    }
    return panels[found.root], panels.get(appeal_id(Hash32(found.root)))


def _read(row: Row[Any], now: int) -> Duel:
    columns = dict(row._mapping)
    appealed, judges, choices = columns.pop("appealed"), columns.pop("judges"), columns.pop("choices")
    for name in ("known", "verdict", "final_verdict"):
        columns[name] = CHOICES[columns[name]]
    seats = [judges[at : at + 20] for at in range(0, len(judges), 20)]
    panel = tuple(
        Seat(judge=judge if any(judge) else None, choice=CHOICES[choice])
        for judge, choice in zip(seats, choices, strict=True)
    )
    return Duel(**columns, panel=panel, state=_state(row, bool(appealed), now))


def _state(row: Row[Any], appealed: bool, now: int) -> str:
    """As the contract derives it."""
    if row.ended_block:
        return "ended" if row.final_verdict else "lapsed"
    if row.decided_block:
        if appealed:
            return "appealed"
        return "appealable" if now < row.appeal_by else "settleable"
    if not row.reveal_from:
        return "open" if now < row.decide_by else "lapsing"
    period = row.decide_by - row.opened_at
    for until, state in (
        (row.reveal_from, "committing"),
        (row.reveal_from + period, "revealing"),
        (row.reveal_from + 2 * period, "counting"),
    ):
        if now < until:
            return state
    return "lapsing"


async def events(connection: AsyncConnection, root: Hash) -> tuple[Event, ...]:
    """Of a duel and its appeal, and of the money that it moved, in order."""
    table = schema.events.c
    statement = Event.select().where(table.duel == root).order_by(table.block, table.log_index)
    return tuple(Event.of(row) for row in await connection.execute(statement.limit(EVENTS)))


async def calls(connection: AsyncConnection, events: Sequence[Event]) -> Mapping[bytes, bytes]:
    """What the transactions that logged these were sent with to the duels' contract, by hash."""
    hashes = {event.transaction_hash for event in events if event.name.startswith("Duels.")}
    table = schema.transactions.c
    statement = select(table.hash, table.input).where(table.hash.in_(hashes), table.call.startswith("Duels."))
    return {row.hash: row.input for row in await connection.execute(statement)}


@shown
class Judge(Record):
    """A provider that enlisted as a judge."""

    TABLE = schema.judges
    address: Address
    owner: Address
    """Whose judge it is: panels have one of an owner."""
    slot: int
    enlisted_block: int
    weight: Amount
    """Atoms that draws go by; zero: it is not drawn."""
    seats: int
    """Of panels that were decided."""
    agreed: int
    """Of those, in which it said what its panel said."""
    silent: int
    declined: int
    earned: Amount
    penalties: Amount
    last_block: int


async def judges(connection: AsyncConnection, cut: Cut) -> Listing[Judge]:
    """The weightiest first."""
    table = schema.judges.c
    return await listed(connection, cut, Judge, table.weight, table.address)


async def judge(connection: AsyncConnection, address: Address) -> Judge | None:
    row = (await connection.execute(Judge.select().where(schema.judges.c.address == address))).first()
    return None if row is None else Judge.of(row)


async def draw(connection: AsyncConnection, panel: Duel) -> tuple[bytes | None, bytes | None]:
    """The hash of the block that draws a panel, and the seed that it makes; none where it is not there
    yet."""
    table = schema.draws.c
    found = await connection.scalar(select(table.hash).where(table.block == panel.draw_block))
    return found, panel.seed if found is None else seed_of(Hash32(found), Hash32(panel.duel))
