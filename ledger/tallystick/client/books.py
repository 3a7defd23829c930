"""The purse's file: every statement, and how rows become what they stand for. It decides nothing.

Methods take the connection of a transaction that the purse has begun.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import getpid
from pathlib import Path

import orjson
from sqlalchemy import ColumnElement, RowMapping, delete, insert, select, update
from sqlalchemy.engine import Connection

from tallystick.client.errors import PurseError
from tallystick.client.holdings import OVER, PAYING, HeldReceipt, OpenChannel, Pending
from tallystick.client.lease import Lease
from tallystick.client.sealing import Seal
from tallystick.client.tables import (
    ACKNOWLEDGE_RECEIPTS,
    ADD_RECEIPT,
    ADD_REQUEST,
    BILL_REQUEST,
    END_REQUEST,
    MIGRATIONS,
    READ_REQUEST,
    READ_SPENDING,
    VERSION,
    WRITE_SPENDING,
    WRITE_TALLY,
    Durability,
    channels,
    metadata,
    open_database,
    receipts,
    requests,
    spending,
)
from tallystick.ports import PostedOffer
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.grant import Grant
from tallystick.protocol.merkle import Mountains
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import Address, Atoms, ChannelId, Hash32, Milliseconds, Timestamp
from tallystick.protocol.voucher import Tally
from tallystick.protocol.wire import signed_from_json, signed_to_json


class Books:
    """One SQLite file, of one payer."""

    def __init__(self, path: Path, *, payer: Address, seal: Seal, durability: Durability = "process"):
        self._payer = payer
        self._seal = seal
        self._process = getpid()
        self._closed = False
        self._database = open_database(str(path), durability)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._closed = True
        self._database.dispose()

    @contextmanager
    def begin(self, *, reads: bool = False) -> Iterator[Connection]:
        """One transaction, which may only read once the purse is closed: others may have leased its channels
        since. `reads`: and waits for nobody that writes. Raises PurseError in a process that was forked."""
        if getpid() != self._process:
            raise PurseError(
                "The purse was opened before this process was forked; open one in each process.",
                required=self._process,
                actual=getpid(),
            )
        with self._database.execution_options(reads=reads).begin() as connection:
            if not self._closed:
                yield connection
                return
            connection.exec_driver_sql("PRAGMA query_only = ON")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("PRAGMA query_only = OFF")  # or no transaction could begin

    def _prepare(self) -> None:
        with self.begin() as database:
            version = database.exec_driver_sql("PRAGMA user_version").scalar_one()
            if version > VERSION:
                raise PurseError("The purse is newer than this program.", required=version, actual=VERSION)
            if version == 0:
                metadata.create_all(database)
                database.execute(insert(spending).values(id=1, spent=0, reserved=0))
            for older in range(version or VERSION, VERSION):
                for statement in MIGRATIONS[older]:
                    database.exec_driver_sql(statement)
            if version < VERSION:
                database.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
            sealed = select(channels.c.sealed_key, channels.c.session_key).limit(1)
            if (row := database.execute(sealed).first()) is not None:
                self._seal.open(row.sealed_key, name=row.session_key)

    # ------------------------------------------------------------------------------------------- spending

    def spending(self, database: Connection) -> tuple[Atoms, Atoms]:
        """(spent, reserved)."""
        row = database.execute(READ_SPENDING).one()
        return Atoms(row.spent), Atoms(row.reserved)

    def spend(self, database: Connection, spent: int, reserved: int) -> None:
        database.execute(WRITE_SPENDING, {"now_spent": spent, "now_reserved": reserved})

    # ------------------------------------------------------------------------------------------- channels

    def add_channel(self, channel: OpenChannel, opened_at: Milliseconds) -> None:
        session = channel.session
        with self.begin() as database:
            database.execute(
                insert(channels).values(
                    id=channel.id,
                    provider=channel.key.provider,
                    session_key=session.address,
                    epoch=channel.key.epoch,
                    sealed_key=self._seal.close_over(session.secret, name=session.address),
                    state=channel.state,
                    granted=0,
                    count=0,
                    amount=0,
                    peaks=b"",
                    delivered=0,
                    opened_at=opened_at,
                )
            )

    def change_channel(self, channel: OpenChannel, **values: object) -> None:
        with self.begin() as database:
            database.execute(update(channels).where(channels.c.id == channel.id).values(**values))

    def keep_grant(self, channel: OpenChannel, grant: Signed[Grant]) -> None:
        self.change_channel(channel, granted=grant.message.cap, grant=text_of(grant))

    def keys_where(self, *conditions: ColumnElement[bool]) -> Sequence[tuple[ChannelId, Address]]:
        """(channel, session key), the oldest first."""
        query = (
            select(channels.c.id, channels.c.session_key).where(*conditions).order_by(channels.c.opened_at)
        )
        with self.begin() as database:
            return [(ChannelId(row.id), Address(row.session_key)) for row in database.execute(query)]

    def fulfils(self, channel_id: ChannelId, *conditions: ColumnElement[bool]) -> bool:
        """It is one of `keys_where`'s still."""
        return bool(self.keys_where(channels.c.id == channel_id, *conditions))

    def grants(self) -> Sequence[tuple[ChannelKey, str, Atoms, Atoms]]:
        """(key, state, granted, acknowledged) of every channel."""
        with self.begin() as database:
            rows = database.execute(select(channels)).mappings().all()
        return [(self._key(row), row["state"], Atoms(row["granted"]), Atoms(row["amount"])) for row in rows]

    def load_channel(self, channel_id: ChannelId, lease: Lease) -> OpenChannel:
        """Read under the lease: the process before may have changed it until its end."""
        of_channel = receipts.c.channel_id == channel_id
        still_open = (requests.c.channel_id == channel_id) & (requests.c.state == "open")
        with self.begin() as database:
            row = database.execute(select(channels).where(channels.c.id == channel_id)).mappings().one()
            behind = select(receipts.c.signed).where(of_channel, receipts.c.acknowledged.is_(False))
            waiting = [receipt_of(text).message for text in database.execute(behind).scalars()]
            running = database.execute(
                select(requests.c.nonce, requests.c.worst, requests.c.billed).where(still_open)
            ).all()
        key = self._key(row)
        return OpenChannel(
            key=key,
            id=key.id,
            session=Key(self._seal.open(row["sealed_key"], name=row["session_key"])),
            lease=lease,
            granted=Atoms(row["granted"]),
            grant=None if row["grant"] is None else signed_from_json(Grant, orjson.loads(row["grant"])),
            tally=_tally(row),
            waiting={receipt.sequence: receipt for receipt in waiting},
            delivered=row["delivered"],
            confirmed=False,
            state=row["state"],
            running={item.nonce: Atoms(item.worst - item.billed) for item in running},
        )

    def acknowledgement_of(self, channel_id: ChannelId) -> tuple[Tally, Key]:
        """What it comes to, and the key that signs for it."""
        with self.begin() as database:
            row = database.execute(select(channels).where(channels.c.id == channel_id)).mappings().one()
        return _tally(row), Key(self._seal.open(row["sealed_key"], name=row["session_key"]))

    def write_tally(self, database: Connection, channel: OpenChannel, tally: Tally) -> None:
        """The channel's tally becomes this one; what it has more is acknowledged."""
        bounds = {"from_sequence": channel.tally.count, "to_sequence": tally.count}
        database.execute(ACKNOWLEDGE_RECEIPTS, {"of_channel": channel.id, **bounds})
        peaks = b"".join(tally.mountains.peaks)
        values = {"now_count": tally.count, "now_amount": tally.amount, "now_peaks": peaks}
        database.execute(WRITE_TALLY, {"of_channel": channel.id, **values})

    # ------------------------------------------------------------------------------------------- requests

    def add_request(self, database: Connection, pending: Pending) -> None:
        offer = pending.posted.offer
        database.execute(
            ADD_REQUEST,
            {
                "channel_id": pending.channel.id,
                "nonce": pending.nonce,
                "request_hash": pending.request_hash,
                "offer": orjson.dumps(offer.to_json()).decode(),
                "receipt_key": pending.posted.stake.receipt_key,
                "path": pending.path,
                "model": pending.model,
                "sealed_body": self._seal.close_over(pending.body, name=pending.channel.id),
                "streamed": pending.streamed,
                "worst": pending.worst,
                "billed": 0,
                "state": "open",
                "sent_at": pending.sent_at,
                "pair": pending.pair,
            },
        )

    def read_request(self, database: Connection, pending: Pending) -> RowMapping:
        """(billed, worst, state)."""
        return database.execute(READ_REQUEST, of_request(pending)).mappings().one()

    def bill_request(self, database: Connection, pending: Pending, billed: int, *, ended: str | None) -> None:
        """What it has cost so far, and how it ended, if it did."""
        values: dict[str, object] = {**of_request(pending), "now_billed": billed}
        if ended is not None:
            values |= {"now_state": ended, "keep_body": ended == "unbilled"}
        database.execute(BILL_REQUEST if ended is None else END_REQUEST, values)

    def open_requests(self, channel: OpenChannel) -> list[Pending]:
        """Those that may have been billed without our knowing, oldest first."""
        query = (
            select(requests)
            .where(requests.c.channel_id == channel.id, requests.c.state.in_(("open", "unbilled")))
            .order_by(requests.c.sent_at)
        )
        with self.begin() as database:
            rows = database.execute(query).mappings().all()
        return [self._pending(channel, row) for row in rows]

    def has_void(self, channel: OpenChannel, request_hash: Hash32) -> bool:
        of_hash = (requests.c.channel_id == channel.id) & (requests.c.request_hash == request_hash)
        with self.begin() as database:
            found = database.execute(select(requests.c.nonce).where(of_hash, requests.c.state == "void"))
            return found.first() is not None

    # ------------------------------------------------------------------------------------------- receipts

    def add_receipts(
        self,
        database: Connection,
        channel: OpenChannel,
        items: Sequence[Signed[Receipt]],
        *,
        nonce: int,
        received_at: Milliseconds,
    ) -> None:
        rows = [
            {
                "channel_id": channel.id,
                "sequence": item.message.sequence,
                "nonce": nonce,
                "cost": item.message.cost,
                "signed": text_of(item),
                "acknowledged": False,
                "received_at": received_at,
            }
            for item in items
        ]
        if rows:
            database.execute(ADD_RECEIPT, rows)

    def held(self, database: Connection, channel: OpenChannel, sequence: int) -> Signed[Receipt]:
        where = (receipts.c.channel_id == channel.id) & (receipts.c.sequence == sequence)
        return receipt_of(database.execute(select(receipts.c.signed).where(where)).scalar_one())

    def acknowledged(self, channel: OpenChannel, start: int, limit: int) -> list[Signed[Receipt]]:
        where = (receipts.c.channel_id == channel.id) & (receipts.c.sequence >= start)
        query = select(receipts.c.signed).where(where, receipts.c.acknowledged)
        with self.begin() as database:
            texts = database.execute(query.order_by(receipts.c.sequence).limit(limit)).scalars().all()
        return [receipt_of(text) for text in texts]

    def drop_waiting(self, database: Connection, channel: OpenChannel) -> None:
        """Gives the receipts behind a gap back to the budget: they will never be acknowledged."""
        given_back = sum(receipt.cost for receipt in channel.waiting.values())
        spent, reserved = self.spending(database)
        self.spend(database, spent - given_back, reserved)
        of_channel = receipts.c.channel_id == channel.id
        database.execute(delete(receipts).where(of_channel, receipts.c.acknowledged.is_(False)))

    def held_receipts(self) -> list[HeldReceipt]:
        """All that were accepted, oldest first."""
        same = (requests.c.channel_id == receipts.c.channel_id) & (requests.c.nonce == receipts.c.nonce)
        query = (
            select(receipts, channels.c.provider, requests.c.model)
            .join(channels, channels.c.id == receipts.c.channel_id)
            .outerjoin(requests, same)
            .order_by(receipts.c.received_at, receipts.c.sequence)
        )
        with self.begin() as database:
            rows = database.execute(query).mappings().all()
        return [
            HeldReceipt(
                receipt=receipt_of(row["signed"]),
                provider=Address(row["provider"]),
                model=row["model"] or "",
                nonce=row["nonce"],
                acknowledged=row["acknowledged"],
                received_at=Milliseconds(row["received_at"]),
            )
            for row in rows
        ]

    def asked(self) -> list[tuple[ChannelId, Hash32, int]]:
        """(channel, request hash, nonce) of every request ever made, oldest first."""
        of = requests.c
        query = select(of.channel_id, of.request_hash, of.nonce).order_by(of.sent_at)
        with self.begin() as database:
            rows = database.execute(query).all()
        return [(ChannelId(row.channel_id), Hash32(row.request_hash), row.nonce) for row in rows]

    # ------------------------------------------------------------------------------------------- rows

    def _key(self, row: RowMapping) -> ChannelKey:
        return ChannelKey(
            payer=self._payer,
            provider=Address(row["provider"]),
            session_key=Address(row["session_key"]),
            epoch=row["epoch"],
        )

    def _pending(self, channel: OpenChannel, row: RowMapping) -> Pending:
        offer = Offer.from_json(orjson.loads(row["offer"]))
        stake = Stake(
            provider=offer.provider,
            staked=Atoms(0),
            exiting=Atoms(0),
            exits_at=Timestamp(0),
            receipt_key=Address(row["receipt_key"]),
        )
        return Pending(
            channel=channel,
            nonce=row["nonce"],
            request_hash=Hash32(row["request_hash"]),
            posted=PostedOffer(offer=offer, offer_hash=offer.struct_hash(), stake=stake),
            path=row["path"],
            model=row["model"],
            body=self._seal.open(row["sealed_body"], name=channel.id),
            streamed=row["streamed"],
            worst=Atoms(row["worst"]),
            sent_at=Milliseconds(row["sent_at"]),
        )


def _tally(row: RowMapping) -> Tally:
    peaks = tuple(Hash32(row["peaks"][i : i + 32]) for i in range(0, len(row["peaks"]), 32))
    return Tally(Mountains(row["count"], peaks), Atoms(row["amount"]))


def free_for(provider: Address) -> tuple[ColumnElement[bool], ...]:
    """Channels to a provider that take new requests."""
    return channels.c.provider == provider, channels.c.state == "open"


def unsettled(*, refused: bool) -> tuple[ColumnElement[bool], ...]:
    """Channels that a process left behind with something to settle: requests that hold a part of the budget,
    whatever became of their channel, or an acknowledgement that its provider does not have; or `refused`."""
    of_open = select(requests.c.channel_id).where(requests.c.state == "open")
    behind = channels.c.state.in_(PAYING) & (channels.c.count > channels.c.delivered)
    return (channels.c.id.in_(of_open) | behind | ((channels.c.state == "refused") & refused),)


def not_over() -> tuple[ColumnElement[bool], ...]:
    return (channels.c.state.not_in(OVER),)


def of_request(pending: Pending) -> dict[str, object]:
    return {"of_channel": pending.channel.id, "of_nonce": pending.nonce}


def text_of(signed: Signed[Receipt] | Signed[Grant]) -> str:
    """As a row has it."""
    return orjson.dumps(signed_to_json(signed)).decode()


def receipt_of(text: str) -> Signed[Receipt]:
    """What `text_of` wrote."""
    return signed_from_json(Receipt, orjson.loads(text))
