"""What a payer refuses, and what it keeps of it: the receipt, its offer, and another receipt in its place.

Some of it is proof of fraud, which anybody can show the contract; that is derived from what is kept, not
stored. It shares the purse's file and lock. It asks no chain.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import RLock

import orjson
from sqlalchemy import ColumnElement, RowMapping, insert, select, update
from sqlalchemy.engine import Connection

from tallystick.client.avoidance import Avoidance
from tallystick.client.books import Books, receipt_of, text_of
from tallystick.client.holdings import OpenChannel
from tallystick.client.tables import channels, evidence, receipts, requests
from tallystick.crash import point
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.errors import MarketError, ReceiptMismatch
from tallystick.protocol.fraud import Proof, overcharge, receipt_equivocation
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Address, Hash32, Milliseconds, to_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One receipt that was refused, and what stands beside it."""

    number: int
    """Of this purse's evidence, from 1."""
    channel: ChannelKey
    """On which it came."""
    signed: Signed[Receipt]
    code: str
    reason: str
    offer: Offer | None
    """The one that it names, where this purse ever bought under it."""
    other: Signed[Receipt] | None
    """Another receipt in its place, accepted or refused before."""
    refused_at: Milliseconds

    @property
    def proofs(self) -> Sequence[Proof]:
        """What it proves, if the provider's receipt key signed it."""
        found: list[Proof] = []
        if self.offer is not None and (proof := overcharge(self.offer, self.signed)) is not None:
            found.append(proof)
        if self.other is not None:
            two = receipt_equivocation(self.channel, self.other, self.signed)
            found += () if two is None else (two,)
        return found


class Evidence:
    """Of one purse."""

    def __init__(self, books: Books, *, payer: Address, lock: RLock, now: Callable[[], Milliseconds]):
        self._books = books
        self._payer = payer
        self._lock = lock
        self._now = now
        self.avoidance = Avoidance(books, now=now)
        """Whom it makes the payer avoid, among others."""

    def refuse(
        self, channel: OpenChannel, signed: Signed[Receipt], reason: MarketError, *, nonce: int | None = None
    ) -> None:
        """Keeps a false receipt; nothing more is acknowledged or asked for on its channel."""
        with self._lock:
            with self._books.begin() as database:
                self._keep(database, channel, signed, reason, nonce)  # first: it may need what is dropped
                self._books.drop_waiting(database, channel)
                of_channel = channels.c.id == channel.id
                database.execute(update(channels).where(of_channel).values(state="refused"))
            point("receipt.refused")
            channel.waiting.clear()
            channel.state = "refused"
            self.avoidance.look_again()

    def _keep(
        self,
        database: Connection,
        channel: OpenChannel,
        signed: Signed[Receipt],
        reason: MarketError,
        nonce: int | None,
    ) -> None:
        told = {"message": reason.message, "required": reason.required, "actual": reason.actual}
        offer = _offer_named(database, channel.key.provider, signed.message.offer_hash)
        other = _in_its_place(database, channel, signed.message)
        database.execute(
            insert(evidence).values(
                channel_id=channel.id,
                provider=channel.key.provider,
                nonce=nonce,
                code=reason.code,
                reason=orjson.dumps(told).decode(),
                signed=text_of(signed),
                offer=None if offer is None else orjson.dumps(offer.to_json()).decode(),
                other=None if other is None else text_of(other),
                refused_at=self._now(),
            )
        )

    def refused(self) -> list[Refused]:
        """All of it, oldest first."""
        query = (
            select(evidence, channels.c.session_key, channels.c.epoch)
            .join(channels, channels.c.id == evidence.c.channel_id)
            .order_by(evidence.c.id)
        )
        with self._books.begin() as database:
            rows = database.execute(query).mappings().all()
        return [self._refused(row) for row in rows]

    def _refused(self, row: RowMapping) -> Refused:
        return Refused(
            number=row["id"],
            channel=ChannelKey(
                payer=self._payer,
                provider=Address(row["provider"]),
                session_key=Address(row["session_key"]),
                epoch=row["epoch"],
            ),
            signed=receipt_of(row["signed"]),
            code=row["code"],
            reason=orjson.loads(row["reason"])["message"],
            offer=None if row["offer"] is None else Offer.from_json(orjson.loads(row["offer"])),
            other=None if row["other"] is None else receipt_of(row["other"]),
            refused_at=Milliseconds(row["refused_at"]),
        )


def _offer_named(database: Connection, provider: Address, offer_hash: Hash32) -> Offer | None:
    """Among those under which this purse ever bought from the provider."""
    query = (
        select(requests.c.offer)
        .distinct()
        .join(channels, channels.c.id == requests.c.channel_id)
        .where(channels.c.provider == provider)
    )
    offers = (Offer.from_json(orjson.loads(text)) for text in database.execute(query).scalars())
    return next((offer for offer in offers if offer.struct_hash() == offer_hash), None)


def _in_its_place(database: Connection, channel: OpenChannel, receipt: Receipt) -> Signed[Receipt] | None:
    """Another receipt with its channel and sequence: one that was accepted, or else one refused before."""
    if receipt.channel_id != channel.id:
        return None
    of_channel: ColumnElement[bool] = receipts.c.channel_id == channel.id
    held = select(receipts.c.signed).where(of_channel, receipts.c.sequence == receipt.sequence)
    before = select(evidence.c.signed).where(evidence.c.channel_id == channel.id).order_by(evidence.c.id)
    for text in (*database.execute(held).scalars(), *database.execute(before).scalars()):
        other = receipt_of(text)
        place = other.message.channel_id, other.message.sequence
        if place == (receipt.channel_id, receipt.sequence) and other.message != receipt:
            return other
    return None


def contradiction(receipt: Receipt, held: Receipt) -> ReceiptMismatch:
    """Both have one place of one channel."""
    return ReceiptMismatch(
        f"There is another receipt {receipt.sequence} of this channel.",
        required=to_hex(held.struct_hash()),
        actual=to_hex(receipt.struct_hash()),
    )
