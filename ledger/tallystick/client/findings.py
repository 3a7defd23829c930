"""What auditors said of a payer's providers, as the purse keeps it.

asking ──▶ said ──▶ filed
   ├────▶ clear (it is no strike, and nobody's business but the payer's)
   └────▶ void (the auditor said nothing)

It shares the purse's file. What an audit may cost is written before anything is signed for it; what was shown
is kept, sealed, where the finding is a strike: whoever is to decide on it has to see it. It knows no lottery.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import func, insert, select, update

from tallystick.client.books import Books, receipt_of
from tallystick.client.outlays import Outlay
from tallystick.client.sealing import Seal
from tallystick.client.tables import audits, channels, receipts, requests
from tallystick.crash import point
from tallystick.protocol.dossier import Dossier
from tallystick.protocol.finding import Finding, Verdict
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Address, Atoms, ChannelId, Milliseconds
from tallystick.protocol.wire import signed_from_json, signed_to_json

HELD: Final = ("clear", "said", "filed")
"""States in which an auditor has said something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFinding:
    """One auditor's, as the purse keeps it."""

    number: int
    """Of this purse's audits, from 1."""
    finding: Signed[Finding]
    channel_id: ChannelId
    """Of the receipts that it was shown."""
    state: str
    """`clear`; of strikes `said`, or `filed` where it is on chain."""
    cost: Atoms
    asked_at: Milliseconds

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.finding.message.verdict)


class Findings:
    """Of one purse."""

    def __init__(self, books: Books, seal: Seal, *, now: Callable[[], Milliseconds]):
        self._books = books
        self._seal = seal
        self._now = now
        self._outlay = Outlay("audits", audits)

    def begin(self, auditor: Address, dossier: Dossier, most: Atoms, budget: Atoms | int) -> int:
        """An audit's number, with `most` atoms taken out of the budget; raises TotalBudgetExceeded."""
        with self._books.begin() as database:
            self._outlay.take(database, most, budget)
            row = {"state": "asking", "cost": most, "channel_id": dossier.last.channel_id, "auditor": auditor}
            row |= {"receipt": dossier.last.struct_hash(), "asked_at": self._now()}
            key = database.execute(insert(audits).values(**row)).inserted_primary_key
            assert key is not None
            number = int(key[0])
        point("audit.begun")
        return number

    def void(self, number: int, cost: Atoms) -> None:
        """The auditor said nothing that holds. What was begun may have cost something."""
        self._change(number, cost, state="void")

    def hold(self, number: int, finding: Signed[Finding], dossier: Dossier, cost: Atoms) -> None:
        """What it said, and, where that is a strike, of what."""
        state, sealed = "clear", None
        if finding.message.verdict == Verdict.STRIKE:
            state = "said"
            sealed = self._seal.close_over(orjson.dumps(dossier.to_json()), name=_name(number))
        text = orjson.dumps(signed_to_json(finding)).decode()
        self._change(number, cost, state=state, finding=text, sealed=sealed)
        point("audit.held")

    def file(self, number: int) -> None:
        """It is on chain, or on its way there."""
        with self._books.begin() as database:
            database.execute(update(audits).where(audits.c.id == number).values(state="filed"))

    def all(self, *states: str) -> list[HeldFinding]:
        """Those in one of these states, or all that are here, oldest first."""
        query = select(audits).where(audits.c.state.in_(states or HELD)).order_by(audits.c.id)
        with self._books.begin(reads=True) as database:
            rows = database.execute(query).mappings().all()
        return [_held(dict(row)) for row in rows]

    def shown(self, number: int) -> Dossier:
        """What a strike was found of."""
        with self._books.begin(reads=True) as database:
            sealed = database.execute(select(audits.c.sealed).where(audits.c.id == number)).scalar_one()
        return Dossier.from_json(orjson.loads(self._seal.open(sealed, name=_name(number))))

    def cost(self) -> Atoms:
        """Of all audits so far, at most."""
        with self._books.begin(reads=True) as database:
            return self._outlay.spent(database)

    # ------------------------------------------------------------------------------------------ of a channel

    def has_stretch(self, channel_id: ChannelId, start: int, last: int) -> bool:
        """Whether all of the channel's receipts from `start` to `last` are here."""
        query = select(func.count()).where(
            receipts.c.channel_id == channel_id, receipts.c.sequence.between(start, last)
        )
        with self._books.begin(reads=True) as database:
            return database.execute(query).scalar_one() == last + 1 - start

    def stretch(self, channel_id: ChannelId, start: int, last: int) -> list[Signed[Receipt]]:
        """The channel's receipts from `start` to `last`, as far as they are here, in sequence."""
        query = (
            select(receipts.c.signed)
            .where(receipts.c.channel_id == channel_id, receipts.c.sequence.between(start, last))
            .order_by(receipts.c.sequence)
        )
        with self._books.begin(reads=True) as database:
            texts = database.execute(query).scalars().all()
        return [receipt_of(text) for text in texts]  # when no caller waits for the purse any more

    def channel(self, channel_id: ChannelId) -> tuple[Address, int]:
        """Its session key, and its epoch."""
        query = select(channels.c.session_key, channels.c.epoch).where(channels.c.id == channel_id)
        with self._books.begin(reads=True) as database:
            row = database.execute(query).one()
        return Address(row.session_key), row.epoch

    def offers(self, channel_id: ChannelId, start: int, last: int) -> list[Offer]:
        """Under which the receipts from `start` to `last` were bought."""
        bought = select(receipts.c.nonce).where(
            receipts.c.channel_id == channel_id, receipts.c.sequence.between(start, last)
        )
        query = (
            select(requests.c.offer)
            .where(requests.c.channel_id == channel_id, requests.c.nonce.in_(bought))
            .distinct()
        )
        with self._books.begin(reads=True) as database:
            texts = database.execute(query).scalars().all()
        return [Offer.from_json(orjson.loads(text)) for text in texts]

    def _change(self, number: int, cost: Atoms, **values: object) -> None:
        with self._books.begin() as database:
            self._outlay.correct(database, number, cost)
            database.execute(update(audits).where(audits.c.id == number).values(cost=cost, **values))


def _held(row: dict[str, Any]) -> HeldFinding:
    return HeldFinding(
        number=row["id"],
        finding=signed_from_json(Finding, orjson.loads(row["finding"])),
        channel_id=ChannelId(row["channel_id"]),
        state=row["state"],
        cost=Atoms(row["cost"]),
        asked_at=Milliseconds(row["asked_at"]),
    )


def _name(number: int) -> bytes:
    return b"audit %d" % number
