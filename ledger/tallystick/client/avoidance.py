"""Whom a payer goes elsewhere from for a while, why, and until when.

All of it is derived from what the purse keeps, whichever process kept it. False receipts, channels that were
ended unpaid and strikes leave a provider out. A date that is off may be the payer's own clock's fault, and an
answer that cannot be audited an honest engine's: who gave one is asked after all others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Select,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    union_all,
)

from tallystick.client.books import Books
from tallystick.client.tables import audits, channels, evidence, lapses, requests
from tallystick.protocol.finding import Verdict
from tallystick.protocol.units import Address, Milliseconds

UNPAID: Final = 3
"""Channels in a row that a provider's word ended before a receipt on them was paid, and that are not known to
have ended on chain: each leaves it a grant, which keeps a part of the deposit from others."""
_KNOWN_FOR: Final = 1_000
"""Milliseconds before what another process keeps is looked for."""
_HOUR_MS: Final = 3_600_000
_Row = Select[bytes, str, int]


class Reason(StrEnum):
    FALSE_RECEIPT = "false-receipt"
    """It signed one that does not add up."""
    UNPAID = "unpaid"
    """It ended one channel after another unpaid."""
    STRUCK = "struck"
    """The latest auditor that said clear or strike of its answers said strike."""
    MISDATED = "misdated"
    """It dated a receipt before its answer was there, or after: such answers cannot be audited."""
    UNAUDITABLE = "unauditable"
    """It left out of a whole answer what an audit takes and was asked for."""


FORGIVEN_AFTER: Final = {
    Reason.FALSE_RECEIPT: 7 * 24 * _HOUR_MS,
    Reason.UNPAID: 24 * _HOUR_MS,
    Reason.STRUCK: 7 * 24 * _HOUR_MS,
    Reason.MISDATED: 24 * _HOUR_MS,
    Reason.UNAUDITABLE: 24 * _HOUR_MS,
}
"""Milliseconds."""
_ASKED_LAST: Final = frozenset({Reason.MISDATED, Reason.UNAUDITABLE})
"""Those that are kept as they are seen; the others follow from what is kept anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Avoided:
    """A provider that gets no request, or none that anybody else takes."""

    provider: Address
    reason: Reason
    since: Milliseconds
    """The last time, by the payer's clock."""

    @property
    def until(self) -> Milliseconds:
        """By then it is forgiven, unless it does so again."""
        return Milliseconds(self.since + FORGIVEN_AFTER[self.reason])

    @property
    def is_last(self) -> bool:
        """It is asked, after all others."""
        return self.reason in _ASKED_LAST


class Avoidance:
    """Of one purse."""

    def __init__(self, books: Books, *, now: Callable[[], Milliseconds]):
        self._books = books
        self._now = now
        self._found: tuple[Avoided, ...] = ()
        self._out, self._last = frozenset[Address](), frozenset[Address]()
        self._looked_at: Milliseconds | None = None

    def look_again(self) -> None:
        """Something was kept."""
        self._looked_at = None

    def note(self, provider: Address, reason: Reason) -> None:
        """It has just given this one, by which it is asked last."""
        assert reason in _ASKED_LAST
        before = (lapses.c.provider == provider) & (lapses.c.reason == reason.value)
        with self._books.begin() as database:
            database.execute(delete(lapses).where(before))
            database.execute(
                insert(lapses).values(provider=provider, reason=reason.value, seen_at=self._now())
            )
        self.look_again()

    @property
    def out(self) -> frozenset[Address]:
        """Those who get no request."""
        self.all()
        return self._out

    @property
    def last(self) -> frozenset[Address]:
        """Those who get what nobody else takes."""
        self.all()
        return self._last

    def all(self) -> tuple[Avoided, ...]:
        """By provider; one may be there for several reasons."""
        now = self._now()
        if self._looked_at is None or now - self._looked_at > _KNOWN_FOR:
            since = {reason.name: now - life for reason, life in FORGIVEN_AFTER.items()}
            with self._books.begin() as database:
                rows = database.execute(_AVOIDED, since).all()
            found = [
                Avoided(
                    provider=Address(row.provider), reason=Reason(row.reason), since=Milliseconds(row.since)
                )
                for row in rows
            ]
            self._found = tuple(sorted(found, key=lambda one: (one.provider, one.reason)))
            self._out = frozenset(one.provider for one in found if not one.is_last)
            self._last = frozenset(one.provider for one in found if one.is_last)
            self._looked_at = now
        return self._found


def _false_receipts() -> _Row:
    return _kept(Reason.FALSE_RECEIPT, evidence.c.provider, evidence.c.refused_at)


def _lapsed(reason: Reason) -> _Row:
    return _kept(reason, lapses.c.provider, lapses.c.seen_at).where(lapses.c.reason == reason.value)


def _kept(reason: Reason, provider: Column[bytes], at: Column[int]) -> _Row:
    return (
        select(provider.label("provider"), literal(reason.value).label("reason"), func.max(at).label("since"))
        .where(at > bindparam(reason.name))
        .group_by(provider)
    )


def _unpaid() -> _Row:
    """Providers with so many unpaid channels, opened after the last one that was paid on."""
    following, paying = channels.alias(), channels.alias()
    went_on = exists().where(
        following.c.session_key == channels.c.session_key, following.c.epoch == channels.c.epoch + 1
    )
    last_paid = (
        select(func.max(paying.c.opened_at))
        .where(paying.c.provider == channels.c.provider, paying.c.count > 0)
        .scalar_subquery()
    )
    return (
        _kept(Reason.UNPAID, channels.c.provider, channels.c.opened_at)
        .where(
            channels.c.state != "open",
            channels.c.count == 0,
            channels.c.opened_at > func.coalesce(last_paid, 0),
            exists().where(requests.c.channel_id == channels.c.id),
            ~went_on,
        )
        .having(func.count() >= UNPAID)
    )


def _struck() -> _Row:
    """Providers of whose answers an auditor said strike, and none since that they are clear."""
    later, its_channel = audits.alias(), channels.alias()
    cleared = exists().where(
        later.c.id > audits.c.id,
        _verdict(later) == Verdict.CLEAR,
        its_channel.c.id == later.c.channel_id,
        its_channel.c.provider == channels.c.provider,
    )
    return (
        _kept(Reason.STRUCK, channels.c.provider, audits.c.asked_at)
        .join(audits, audits.c.channel_id == channels.c.id)
        .where(_verdict(audits) == Verdict.STRIKE, ~cleared)
    )


def _verdict(table: FromClause) -> ColumnElement[int]:
    """Of a finding, which JSON has as text; NULL while there is none."""
    return cast(func.json_extract(table.c.finding, "$.finding.verdict"), Integer)


_AVOIDED: Final[CompoundSelect[bytes, str, int]] = union_all(
    _false_receipts(), _unpaid(), _struck(), *map(_lapsed, sorted(_ASKED_LAST))
)
"""Made once: each request asks it."""
