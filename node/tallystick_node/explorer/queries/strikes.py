"""Strikes and accusations: who struck whom, what was said of it and what became of it."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick.chain.strike_telling import unpacked
from tallystick.protocol.finding import Check
from tallystick.protocol.strikes import Outcome
from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.rows import Event
from tallystick_node.explorer.values import Address, Amount, Hash, Listing, shown

_STRIKES: Final = schema.strikes.c
_ACCUSATIONS: Final = schema.accusations.c
EVENTS: Final = 400
"""Of one accusation: what eleven say and eight lose, and what it moves."""
_OUTCOMES: Final = ("none", *(outcome.name.lower() for outcome in Outcome))
"""As the tables number them."""


@shown
class Strike:
    """One auditor's, for one receipt."""

    receipt_hash: Hash
    """A receipt counts once, ever."""
    provider: Address
    auditor: Address
    owner: Address
    """The auditor's: of one owner a strike counts at a time."""
    state: str
    """Filed, accusing or lapsed, or its outcome in its accusation: unanswered, upheld, cleared or open."""
    draw_block: int
    """Its hash drew receipt and auditor."""
    check: str
    """What the answer was held against: counts, rank, replay or logprob."""
    tokens: Amount
    """Output tokens that were compared."""
    evidence: Amount
    """A natural logarithm in millionths."""
    receipt_count: int
    """That were looked at."""
    receipts_root: Hash
    scales_hash: Hash
    found_at: Amount
    """Unix milliseconds."""
    accusation: Hash | None
    """The latest that it is a part of."""
    transaction_hash: Hash
    block: int
    log_index: int
    timestamp: int


@shown
class Seat:
    """One place of a re-audit."""

    auditor: Address | None
    """None: nobody could be drawn for it."""
    committed: bool
    opinions: tuple[str, ...]
    """Uphold, clear or none, of each strike; empty where it is silent."""


@shown
class Accusation:
    """What three strikes at least made of it."""

    accusation: Hash
    provider: Address
    state: str
    """Accused, committing, revealing or due: it follows from the rest and the time. Unanswered, upheld,
    cleared or open, once it is concluded."""
    auditors: tuple[Address, ...]
    """Whose strikes accuse."""
    strikes: tuple[Hash, ...]
    """The receipts that they struck for."""
    accused_block: int
    accused_log_index: int
    accused_at: int
    answer_by: int
    answerer: Address | None
    """None: nobody answered."""
    fee: Amount
    draw_block: int
    """Its hash draws the re-auditors."""
    answered_block: int
    answered_at: int
    reveal_from: int
    seats: tuple[Seat, ...]
    """None before they are summoned."""
    outcomes: tuple[str, ...]
    """Of each strike; none before it is concluded."""
    slashed: Amount
    rewarded: Amount
    earned: Amount
    """Of the fee, by re-auditors."""
    burnt: Amount
    """Of the fee."""
    concluded_block: int
    concluded_at: int

    @property
    def period(self) -> int:
        """Seconds that each has for each of its steps."""
        return self.answer_by - self.accused_at

    @property
    def reveal_by(self) -> int:
        return self.reveal_from + self.period


@shown
class Only:
    """Which of a list; all that is given must hold."""

    provider: Address | None = None
    auditor: Address | None = None
    reauditor: Address | None = None
    open: bool = False


async def strikes(connection: AsyncConnection, cut: Cut, only: Only) -> Listing[Strike]:
    """Newest first."""
    where: list[ColumnElement[bool]] = []
    if only.provider is not None:
        where.append(_STRIKES.provider == only.provider)
    if only.auditor is not None:
        where.append(_STRIKES.auditor == only.auditor)
    order = (_STRIKES.block, _STRIKES.log_index)
    statement = select(schema.strikes).where(*where, *cut.below(*order))
    statement = statement.order_by(*(column.desc() for column in order)).limit(cut.asked)
    rows = [_strike(row) for row in await connection.execute(statement)]
    return cut.listing(rows, lambda strike: (strike.block, strike.log_index))


async def strikes_of(connection: AsyncConnection, accusation: Accusation) -> tuple[Strike, ...]:
    """Those that it rests on, in the order of every ballot."""
    statement = select(schema.strikes).where(_STRIKES.receipt_hash.in_(accusation.strikes))
    found = {row.receipt_hash: _strike(row) for row in await connection.execute(statement)}
    return tuple(found[name] for name in accusation.strikes)


async def accusations(connection: AsyncConnection, cut: Cut, only: Only, now: int) -> Listing[Accusation]:
    """Newest first."""
    where: list[ColumnElement[bool]] = []
    statement, order = (
        select(schema.accusations),
        (_ACCUSATIONS.accused_block, _ACCUSATIONS.accused_log_index),
    )
    if only.provider is not None:
        where.append(_ACCUSATIONS.provider == only.provider)
    for role, address in (("auditor", only.auditor), ("reauditor", only.reauditor)):
        if address is not None:
            parties = schema.accusation_parties.alias()
            on = (
                parties.c.accusation == _ACCUSATIONS.accusation,
                parties.c.role == role,
                parties.c.address == address,
            )
            statement = statement.join(parties, and_(*on))
    if only.open:
        where.append(_ACCUSATIONS.concluded_block == 0)
    statement = statement.where(*where, *cut.below(*order))
    statement = statement.order_by(*(column.desc() for column in order)).limit(cut.asked)
    rows = [_accusation(row, now) for row in await connection.execute(statement)]
    return cut.listing(rows, lambda row: (row.accused_block, row.accused_log_index))


async def accusation(connection: AsyncConnection, name: Hash, now: int) -> Accusation | None:
    statement = select(schema.accusations).where(_ACCUSATIONS.accusation == name)
    row = (await connection.execute(statement)).first()
    return None if row is None else _accusation(row, now)


async def events(connection: AsyncConnection, name: Hash) -> tuple[Event, ...]:
    """Of an accusation, and of the money that it moved, in order."""
    table = schema.events.c
    statement = Event.select().where(table.accusation == name).order_by(table.block, table.log_index)
    return tuple(Event.of(row) for row in await connection.execute(statement.limit(EVENTS)))


def _strike(row: Row[Any]) -> Strike:
    columns = dict(row._mapping)
    outcome, lapsed, check = columns.pop("outcome"), columns.pop("lapsed"), columns.pop("check")
    del columns["verdict"]  # The contract takes strikes alone.
    if outcome:
        state = _OUTCOMES[outcome]
    elif columns["accusation"] is not None:
        state = "accusing"
    else:
        state = "lapsed" if lapsed else "filed"
    known = {one.value: one.name.lower() for one in Check}
    return Strike(**columns, state=state, check=known.get(check, str(check)))


def _accusation(row: Row[Any], now: int) -> Accusation:
    columns = dict(row._mapping)
    reauditors, committed = _parted(columns.pop("reauditors"), 20), columns.pop("committed")
    strikes, outcome = _parted(columns.pop("strikes"), 32), columns.pop("outcome")
    opinions = _parted(columns.pop("opinions"), len(strikes))
    seats = tuple(
        Seat(
            auditor=auditor if any(auditor) else None,
            committed=bool(committed[place]),
            opinions=tuple(one.name.lower() for one in unpacked(opinions[place])),
        )
        for place, auditor in enumerate(reauditors)
    )
    return Accusation(
        **{
            **columns,
            "strikes": strikes,
            "auditors": _parted(columns["auditors"], 20),
            "seats": seats,
            "outcomes": tuple(_OUTCOMES[one] for one in columns["outcomes"]),
            "state": _OUTCOMES[outcome] if outcome else _state(row, now),
        }
    )


def _parted(packed: bytes, width: int) -> tuple[bytes, ...]:
    return tuple(packed[at : at + width] for at in range(0, len(packed), width))


def _state(row: Row[Any], now: int) -> str:
    """As the contract derives it, while it is not concluded."""
    if not row.answered_block:
        return "accused" if now < row.answer_by else "due"
    if now < row.reveal_from:
        return "committing"
    return "revealing" if now < row.reveal_from + row.answer_by - row.accused_at else "due"
