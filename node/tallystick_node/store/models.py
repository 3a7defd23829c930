"""The tables of a provider's database, as SQLAlchemy models. Migrations make them; a test holds the two
together.

Amounts are decimal text, because 128 bits do not fit SQLite's integers; ids, hashes and nonces are bytes.
Vouchers, receipts and grants are kept as they went over the wire.
"""

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Model(DeclarativeBase):
    type_annotation_map = {bytes: LargeBinary, str: String}  # noqa: RUF012  SQLAlchemy's own convention


class ChannelRow(Model):
    __tablename__ = "channels"

    channel_id: Mapped[bytes] = mapped_column(primary_key=True)
    payer: Mapped[bytes]
    provider: Mapped[bytes]
    session_key: Mapped[bytes]
    epoch: Mapped[int]
    grant: Mapped[str | None] = mapped_column("signed_grant")
    """JSON of the signed grant."""
    closed: Mapped[bool]
    refusing: Mapped[bool]
    lost: Mapped[bool] = mapped_column(server_default=text("0"))


class BirthRow(Model):
    """One row: at which block the database was made; −1: not known yet, and it is a copy."""

    __tablename__ = "birth"

    id: Mapped[int] = mapped_column(primary_key=True)
    block: Mapped[int]


class VoucherRow(Model):
    """The largest of each channel."""

    __tablename__ = "vouchers"
    __table_args__ = (ForeignKeyConstraint(["channel_id"], ["channels.channel_id"]),)

    channel_id: Mapped[bytes] = mapped_column(primary_key=True)
    voucher: Mapped[str]
    """JSON of the signed voucher."""
    receipt_count: Mapped[int]
    amount: Mapped[str]
    peaks: Mapped[bytes]
    """Of the mountain range over the acknowledged receipts, 32 bytes each."""


class PresentedRow(Model):
    """What vouchers acknowledged that were sent to be settled."""

    __tablename__ = "presented"
    __table_args__ = ({"sqlite_with_rowid": False},)

    channel_id: Mapped[bytes] = mapped_column(primary_key=True)
    receipt_count: Mapped[int] = mapped_column(primary_key=True)
    acknowledgement_hash: Mapped[bytes] = mapped_column(primary_key=True)
    acknowledgement: Mapped[str]
    """JSON."""


class RequestRow(Model):
    __tablename__ = "requests"
    __table_args__ = ({"sqlite_with_rowid": False},)

    channel_id: Mapped[bytes] = mapped_column(primary_key=True)
    nonce: Mapped[bytes] = mapped_column(primary_key=True)
    """8 bytes, big-endian."""
    request_hash: Mapped[bytes]
    media_type: Mapped[str | None]
    ended_at: Mapped[int | None]
    """Unix milliseconds; null while it runs."""
    pruned: Mapped[bool]


class ReceiptRow(Model):
    __tablename__ = "receipts"
    __table_args__ = (UniqueConstraint("channel_id", "sequence"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    """Rows as long as these are appended far cheaper than they are sorted in."""
    channel_id: Mapped[bytes]
    sequence: Mapped[int]
    nonce: Mapped[bytes]
    text: Mapped[str]
    """As in the header `Payment-Receipt`."""


class PartRow(Model):
    """What was sent in answer to a request, up to a receipt each."""

    __tablename__ = "parts"

    id: Mapped[int] = mapped_column(primary_key=True)
    channel_id: Mapped[bytes]
    nonce: Mapped[bytes]
    sequence: Mapped[int | None]
    """Of the receipt that covers it; null after the last one."""
    content: Mapped[bytes]

    __table_args__ = (Index("parts_by_request", "channel_id", "nonce"),)


class BallotRow(Model):
    """What this provider found as a judge."""

    __tablename__ = "ballots"

    duel: Mapped[bytes] = mapped_column(primary_key=True)
    ballot: Mapped[str]
    """JSON."""
    panel: Mapped[str]
    """JSON: addresses of all judges."""
    shown: Mapped[str | None]
    """JSON: the signed commitments for which it was first told; null while it was not."""
