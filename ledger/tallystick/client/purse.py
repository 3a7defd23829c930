"""Where a payer keeps its channels: session keys, receipts, open requests, and what is left of the budget.

One SQLite file for each wallet and market, shared by all the processes of that wallet. A channel is leased by
one process at a time (an OS lock, so a dead process leases nothing); the budget is shared by all, and every
change of it is one transaction. At all times

    spent = Σ costs of the receipts accepted,   spent + reserved ≤ budget.total

and a voucher never pays for more than accepted receipts, so that nothing is ever signed above the budget. A
request is in the file before it is sent, and a receipt before it is acknowledged. It opens no socket.

    channel   open ──▶ retired (no new requests) ──▶ closed
                └────▶ refused (a false receipt: no more acknowledgements) ──▶ abandoned (and closing)

    request   open ──▶ done | void (no work) | refused (not paid) | abandoned (never will be)
                └────▶ unbilled (answered, no receipt yet) ──▶ done
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Final

import orjson
from sqlalchemy import ColumnElement, RowMapping, delete, insert, select, update
from sqlalchemy.engine import Connection

from tallystick.client.budget import Budget
from tallystick.client.errors import PurseError
from tallystick.client.lease import Lease
from tallystick.client.sealing import Seal
from tallystick.client.tables import (
    ACKNOWLEDGE_RECEIPTS,
    ADD_RECEIPT,
    ADD_REQUEST,
    BILL_REQUEST,
    END_REQUEST,
    READ_REQUEST,
    READ_SPENDING,
    VERSION,
    WRITE_SPENDING,
    WRITE_TALLY,
    channels,
    evidence,
    metadata,
    open_database,
    receipts,
    requests,
    spending,
)
from tallystick.ports import PostedOffer, Signer
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import (
    ChannelNotOpen,
    MarketError,
    ReceiptError,
    ReceiptMismatch,
    RequestBudgetExceeded,
    TotalBudgetExceeded,
)
from tallystick.protocol.grant import Grant
from tallystick.protocol.merkle import Mountains
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed, Verified, sign
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import (
    ZERO_HASH,
    Address,
    Atoms,
    ChannelId,
    Hash32,
    Milliseconds,
    Timestamp,
    to_hex,
)
from tallystick.protocol.voucher import Tally, Voucher, require_acknowledges
from tallystick.protocol.wire import signed_from_json, signed_to_json

AVOIDED_FOR: Final = 7 * 24 * 3600 * 1000
"""Milliseconds for which a provider that signed a false receipt gets no request."""


_OVER: Final = ("closed", "abandoned")
"""States of channels that are of no use any more."""


@dataclass(slots=True, eq=False)
class OpenChannel:
    """A channel that this process has leased. Only its purse changes it."""

    key: ChannelKey
    id: ChannelId
    session: Key
    lease: Lease
    granted: Atoms = Atoms(0)
    grant: Signed[Grant] | None = None
    tally: Tally = Tally()
    """The contiguous receipts, from the first: what a voucher acknowledges."""
    waiting: dict[int, Receipt] = field(default_factory=dict)
    """Checked receipts behind a gap, by sequence."""
    delivered: int = 0
    """Receipts that the provider is known to have an acknowledgement of."""
    grant_delivered: bool = False
    state: str = "open"
    running: dict[int, Atoms] = field(default_factory=dict)
    """Worst cases of this process's open requests, by nonce."""

    @property
    def usable(self) -> bool:
        return self.state == "open"

    @property
    def refused(self) -> bool:
        """A receipt of it was refused: nothing after is acknowledged."""
        return self.state in ("refused", "abandoned")

    @property
    def committed(self) -> Atoms:
        """What the channel may have to pay in all, as things stand."""
        waiting = sum(receipt.cost for receipt in self.waiting.values())
        return Atoms(self.tally.amount + waiting + sum(self.running.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A request that the purse has reserved atoms for. Asking again under its nonce never pays twice."""

    channel: OpenChannel
    nonce: int
    request_hash: Hash32
    posted: PostedOffer
    path: str
    model: str
    body: bytes
    streamed: bool
    worst: Atoms
    sent_at: Milliseconds
    """By the payer's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldReceipt:
    """A receipt as the purse keeps it."""

    receipt: Signed[Receipt]
    provider: Address
    model: str
    nonce: int
    acknowledged: bool
    """False while an earlier receipt of its channel is missing."""
    received_at: Milliseconds
    """By the payer's clock."""


class Purse:
    """One wallet's channels on one market.

    Raises
    ------
    WrongWallet :
        The file was sealed by another wallet.
    PurseError :
        The file is newer than this program.
    """

    def __init__(
        self,
        home: Path,
        *,
        wallet: Signer,
        domain: Domain,
        budget: Budget,
        now: Callable[[], Milliseconds],
    ):
        self.folder = home / f"{domain.chain_id}-{domain.contract.hex()}" / wallet.address.hex()
        self.domain = domain
        self.payer = wallet.address
        self.budget = budget
        self.lock = RLock()
        """Guards the channels' fields. Held for microseconds, and never over a request."""
        self.leased: dict[ChannelId, OpenChannel] = {}
        self._now = now
        self._avoided: frozenset[Address] = frozenset()
        self._avoided_at: Milliseconds | None = None
        self._seal = Seal(wallet, domain)
        (self.folder / "leases").mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = open_database(str(self.folder / "purse.db"))
        try:
            self._prepare()
        except BaseException:
            self._database.dispose()
            raise

    def close(self) -> None:
        """Gives the leases back. What is not settled stays for the next process."""
        with self.lock:
            for channel in self.leased.values():
                channel.lease.release()
            self.leased.clear()
            self._database.dispose()

    # ------------------------------------------------------------------------------------------- channels

    def open_channel(self, provider: Address) -> OpenChannel:
        """One that is leased here already, else one that nobody leases, else a new one without a grant."""
        with self.lock:
            for channel in self.leased.values():
                if channel.key.provider == provider and channel.usable:
                    return channel
            found = self._adopt(channels.c.provider == provider, channels.c.state == "open")
            return found or self._create(provider)

    def adopt_unsettled(self) -> list[OpenChannel]:
        """Leases the channels that a process left behind with something to settle."""
        unsettled = select(requests.c.channel_id).where(requests.c.state == "open")
        adopted: list[OpenChannel] = []
        with self.lock:
            while True:
                channel = self._adopt(
                    channels.c.state.in_(("open", "retired")),
                    channels.c.id.in_(unsettled) | (channels.c.count > channels.c.delivered),
                )
                if channel is None:
                    return adopted
                adopted.append(channel)

    def adopt_all(self) -> list[OpenChannel]:
        """Leases every channel that nobody leases and that is not closed."""
        adopted: list[OpenChannel] = []
        with self.lock:
            while (channel := self._adopt(channels.c.state.not_in(_OVER))) is not None:
                adopted.append(channel)
        return adopted

    def keep_grant(self, channel: OpenChannel, grant: Signed[Grant]) -> None:
        """From now on the channel's vouchers may go up to the grant's cap."""
        with self.lock:
            channel.grant, channel.granted = grant, grant.message.cap
            channel.grant_delivered = False
            text = orjson.dumps(signed_to_json(grant)).decode()
            self._change_channel(channel, granted=channel.granted, grant=text)

    def granted_elsewhere(self, channel: OpenChannel) -> Atoms:
        """Atoms that the other channels may still be made to pay, and those that all have paid."""
        with self._begin() as database:
            rows = database.execute(
                select(channels.c.id, channels.c.granted, channels.c.amount, channels.c.state)
            ).all()
        open_states = ("open", "retired")
        return Atoms(
            sum(
                row.granted if row.state in open_states else row.amount
                for row in rows
                if row.id != channel.id
            )
        )

    def open_keys(self) -> list[tuple[ChannelKey, Atoms]]:
        """The channels that a grant may be drawn for, with what was granted."""
        with self._begin() as database:
            rows = database.execute(select(channels).where(channels.c.state.not_in(_OVER))).mappings().all()
        return [(self._key(row), Atoms(row["granted"])) for row in rows]

    def retire(self, channel: OpenChannel, state: str = "retired") -> None:
        """No new request goes over it: `retired`, or `closed`."""
        with self.lock:
            if channel.state in ("open", "retired"):
                channel.state = state
                self._change_channel(channel, state=state)

    def mark_close_requested(self, channel: OpenChannel) -> None:
        """A refused channel's rest has been asked back."""
        with self.lock:
            channel.state = "abandoned"
            self._change_channel(channel, state=channel.state)

    def mark_delivered(
        self, channel: OpenChannel, count: int, *, grant: Signed[Grant] | None, durable: bool = False
    ) -> None:
        """The provider has an acknowledgement of `count` receipts, and the grant where one went along."""
        with self.lock:
            if grant is not None and grant is channel.grant:
                channel.grant_delivered = True
            channel.delivered = max(channel.delivered, count)
            if durable:
                self._change_channel(channel, delivered=channel.delivered)

    def voucher(
        self, channel: OpenChannel, *, request_hash: Hash32 = ZERO_HASH, nonce: int = 0
    ) -> Verified[Voucher]:
        """Acknowledges all that is contiguous, signed with the session key."""
        with self.lock:
            message = channel.tally.voucher(channel.id, request_hash=request_hash, request_nonce=nonce)
        return sign(message, self.domain, channel.session)

    # ------------------------------------------------------------------------------------------- requests

    def reserve(
        self,
        channel: OpenChannel,
        posted: PostedOffer,
        *,
        path: str,
        model: str,
        body: bytes,
        request_hash: Hash32,
        streamed: bool,
        worst: Atoms,
    ) -> Pending:
        """A request with a fresh nonce, durable, and its worst case taken out of the budget.

        Raises
        ------
        RequestBudgetExceeded :
            The worst case is more than one request may cost.
        TotalBudgetExceeded :
            It is more than what is left; `actual` says what is.
        """
        if worst > self.budget.per_request:
            raise RequestBudgetExceeded(
                "The request may cost more than the budget allows one.",
                required=worst,
                actual=self.budget.per_request,
            )
        nonce = secrets.randbits(63) | 1
        now = self._now()
        with self.lock, self._begin() as database:
            spent, reserved = self._spending(database)
            left = self.budget.total - spent - reserved
            if worst > left:
                raise TotalBudgetExceeded(
                    f"The request may cost more than is left of the budget ({reserved} atoms are reserved).",
                    required=worst,
                    actual=left,
                )
            self._spend(database, spent, reserved + worst)
            database.execute(
                ADD_REQUEST,
                {
                    "channel_id": channel.id,
                    "nonce": nonce,
                    "request_hash": request_hash,
                    "offer": orjson.dumps(posted.offer.to_json()).decode(),
                    "receipt_key": posted.stake.receipt_key,
                    "path": path,
                    "model": model,
                    "sealed_body": self._seal.close_over(body, name=channel.id),
                    "streamed": streamed,
                    "worst": worst,
                    "billed": 0,
                    "state": "open",
                    "sent_at": now,
                },
            )
            channel.running[nonce] = worst
        return Pending(
            channel=channel, nonce=nonce, request_hash=request_hash, posted=posted, path=path, model=model,
            body=body, streamed=streamed, worst=worst, sent_at=now,
        )  # fmt: skip

    def accept(self, pending: Pending, accepted: Sequence[Verified[Receipt]], *, final: bool) -> None:
        """Receipts that were checked against their answer; the budget pays for them, vouchers may.

        Taking one in again changes nothing.

        Raises
        ------
        ReceiptError :
            One does not follow from those before, contradicts one already held, or costs more than was
            reserved. Nothing of the call is kept then.
        """
        channel = pending.channel
        false_earlier: tuple[Receipt, ReceiptError] | None = None
        with self.lock, self._begin() as database:
            if channel.refused:
                raise ChannelNotOpen("An earlier receipt of the channel was refused.", actual=channel.state)
            tally, waiting = channel.tally, dict(channel.waiting)
            new = [item for item in accepted if not self._holds(database, channel, item.message)]
            waiting |= {item.message.sequence: item.message for item in new}
            while (following := waiting.get(tally.count)) is not None:
                try:
                    tally = tally.append(following)
                except ReceiptError as error:
                    if any(following is item.message for item in new):
                        raise
                    false_earlier = (following, error)
                    break
                del waiting[following.sequence]
            cost = sum(item.message.cost for item in new)
            self._bill(database, pending, cost, final=final)
            if new:
                database.execute(
                    ADD_RECEIPT, [self._receipt_row(channel, pending.nonce, item.signed) for item in new]
                )
            if tally.count > channel.tally.count:
                self._save_tally(database, channel, tally)
            channel.tally, channel.waiting = tally, waiting
            self._track(pending, cost, final=final)
        if false_earlier is not None:
            self.refuse(channel, self._held(channel, false_earlier[0].sequence), false_earlier[1])

    def settle_unpaid(self, pending: Pending, state: str) -> None:
        """Ends a request that has no (more) receipt: `void` was never worked on, `unbilled` was answered in
        full without a final receipt, `refused` had a false one, `abandoned` is not paid whatever comes."""
        with self.lock, self._begin() as database:
            self._bill(database, pending, 0, final=True, state=state)
            self._track(pending, 0, final=True)

    def adopt(self, channel: OpenChannel, held: Voucher, listed: Sequence[Signed[Receipt]]) -> bool:
        """Takes receipts back that this purse has forgotten and `held`, which this channel's own key signed,
        acknowledges; False where they are not exactly those."""
        with self.lock, self._begin() as database:
            count = held.acknowledgement.receipt_count
            taken = [item for item in listed if channel.tally.count <= item.message.sequence < count]
            if count <= channel.tally.count or len(taken) != count - channel.tally.count:
                return False
            tally = channel.tally
            try:
                for item in taken:
                    tally = tally.append(item.message)
                require_acknowledges(held, tally)
            except MarketError:
                return False
            spent, reserved = self._spending(database)
            cost = tally.amount - channel.tally.amount
            self._spend(database, spent + cost, reserved)
            rows = [self._receipt_row(channel, 0, item) for item in taken]
            database.execute(insert(receipts).prefix_with("OR IGNORE"), rows)
            self._save_tally(database, channel, tally)
            channel.tally = tally
            for sequence in [old for old in channel.waiting if old < tally.count]:
                del channel.waiting[sequence]
        return True

    def refuse(
        self, channel: OpenChannel, signed: Signed[Receipt], reason: MarketError, *, nonce: int | None = None
    ) -> None:
        """Keeps a false receipt as evidence; nothing more is acknowledged or asked for on its channel."""
        with self.lock, self._begin() as database:
            given_back = sum(receipt.cost for receipt in channel.waiting.values())
            spent, reserved = self._spending(database)
            self._spend(database, spent - given_back, reserved)
            database.execute(
                delete(receipts).where(
                    receipts.c.channel_id == channel.id, receipts.c.acknowledged.is_(False)
                )
            )
            database.execute(
                insert(evidence).values(
                    channel_id=channel.id,
                    provider=channel.key.provider,
                    nonce=nonce,
                    code=reason.code,
                    reason=orjson.dumps(
                        {"message": reason.message, "required": reason.required, "actual": reason.actual}
                    ).decode(),
                    signed=orjson.dumps(signed_to_json(signed)).decode(),
                    refused_at=self._now(),
                )
            )
            database.execute(update(channels).where(channels.c.id == channel.id).values(state="refused"))
            channel.waiting.clear()
            channel.state = "refused"
            self._avoided_at = None

    def is_abandoned(self, channel: OpenChannel, request_hash: Hash32) -> bool:
        """Whether a request was given up, which a receipt of this hash may be for."""
        where = (
            (requests.c.channel_id == channel.id)
            & (requests.c.request_hash == request_hash)
            & (requests.c.state == "abandoned")
        )
        with self._begin() as database:
            return database.execute(select(requests.c.nonce).where(where)).first() is not None

    def holds(self, channel: OpenChannel, sequence: int) -> bool:
        """Whether the receipt in that place is accepted."""
        with self.lock:
            return sequence < channel.tally.count or sequence in channel.waiting

    def open_requests(self, channel: OpenChannel) -> list[Pending]:
        """Those that may have been billed without our knowing, oldest first."""
        with self._begin() as database:
            rows = database.execute(
                select(requests)
                .where(requests.c.channel_id == channel.id, requests.c.state.in_(("open", "unbilled")))
                .order_by(requests.c.sent_at)
            )
            return [self._pending(channel, row) for row in rows.mappings()]

    # ------------------------------------------------------------------------------------------- questions

    def spending(self) -> tuple[Atoms, Atoms]:
        """(spent, reserved), of all processes."""
        with self._begin() as database:
            return self._spending(database)

    def held_receipts(self) -> list[HeldReceipt]:
        """All that were accepted, oldest first."""
        query = (
            select(receipts, channels.c.provider, requests.c.model)
            .join(channels, channels.c.id == receipts.c.channel_id)
            .outerjoin(
                requests,
                (requests.c.channel_id == receipts.c.channel_id) & (requests.c.nonce == receipts.c.nonce),
            )
            .order_by(receipts.c.received_at, receipts.c.sequence)
        )
        with self._begin() as database:
            return [
                HeldReceipt(
                    receipt=signed_from_json(Receipt, orjson.loads(row["signed"])),
                    provider=Address(row["provider"]),
                    model=row["model"] or "",
                    nonce=row["nonce"],
                    acknowledged=row["acknowledged"],
                    received_at=Milliseconds(row["received_at"]),
                )
                for row in database.execute(query).mappings()
            ]

    def avoided(self) -> frozenset[Address]:
        """Providers that signed a false receipt not long ago."""
        now = self._now()
        if self._avoided_at is None or now - self._avoided_at > 1_000:
            query = select(evidence.c.provider).where(evidence.c.refused_at > now - AVOIDED_FOR)
            with self._begin() as database:
                self._avoided = frozenset(Address(row.provider) for row in database.execute(query))
            self._avoided_at = now
        return self._avoided

    def refused_receipts(self) -> list[tuple[Signed[Receipt], str]]:
        """The evidence: each receipt that did not add up, and the code that says why."""
        with self._begin() as database:
            rows = database.execute(select(evidence.c.signed, evidence.c.code).order_by(evidence.c.id)).all()
        return [(signed_from_json(Receipt, orjson.loads(row.signed)), row.code) for row in rows]

    # ------------------------------------------------------------------------------------------- inside

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self._database.begin() as connection:
            yield connection

    def _prepare(self) -> None:
        with self._begin() as database:
            version = database.exec_driver_sql("PRAGMA user_version").scalar_one()
            if version > VERSION:
                raise PurseError("The purse is newer than this program.", required=version, actual=VERSION)
            if version == VERSION:
                sealed = database.execute(
                    select(channels.c.sealed_key, channels.c.session_key).limit(1)
                ).first()
                if sealed is not None:
                    self._seal.open(sealed.sealed_key, name=sealed.session_key)
                return
            metadata.create_all(database)
            database.execute(insert(spending).values(id=1, spent=0, reserved=0))
            database.exec_driver_sql(f"PRAGMA user_version = {VERSION}")

    def _spending(self, database: Connection) -> tuple[Atoms, Atoms]:
        row = database.execute(READ_SPENDING).one()
        return Atoms(row.spent), Atoms(row.reserved)

    def _spend(self, database: Connection, spent: int, reserved: int) -> None:
        database.execute(WRITE_SPENDING, {"now_spent": spent, "now_reserved": reserved})

    def _bill(
        self, database: Connection, pending: Pending, cost: int, *, final: bool, state: str = "done"
    ) -> None:
        """Moves `cost` from reserved to spent, and at the end gives back what is left of the reservation."""
        which: dict[str, object] = {"of_channel": pending.channel.id, "of_nonce": pending.nonce}
        row = database.execute(READ_REQUEST, which).one()
        billed = row.billed + cost
        if billed > row.worst:
            raise ReceiptMismatch(
                "The receipts cost more than was reserved.", required=row.worst, actual=billed
            )
        spent, reserved = self._spending(database)
        left = row.worst - row.billed if row.state == "open" else 0
        taken = left if final else min(cost, left)
        if cost and spent + cost + reserved - taken > self.budget.total:
            raise ReceiptMismatch(
                "The receipts cost more than is left of the budget.",
                required=self.budget.total - spent - reserved + taken,
                actual=cost,
            )
        self._spend(database, spent + cost, reserved - taken)
        if final and row.state in ("open", "unbilled"):
            ended = {"now_billed": billed, "now_state": state, "keep_body": state == "unbilled"}
            database.execute(END_REQUEST, which | ended)
        else:
            database.execute(BILL_REQUEST, which | {"now_billed": billed})

    def _track(self, pending: Pending, cost: int, *, final: bool) -> None:
        running = pending.channel.running
        if final:
            running.pop(pending.nonce, None)
        elif pending.nonce in running:
            running[pending.nonce] = Atoms(max(0, running[pending.nonce] - cost))

    def _holds(self, database: Connection, channel: OpenChannel, receipt: Receipt) -> bool:
        """Whether this very receipt is held already; raises where another one has its place."""
        if receipt.sequence >= channel.tally.count and receipt.sequence not in channel.waiting:
            return False
        held = self._held(channel, receipt.sequence, database).message
        if held != receipt:
            raise ReceiptMismatch(
                f"There is another receipt {receipt.sequence} of this channel.",
                required=to_hex(held.struct_hash()),
                actual=to_hex(receipt.struct_hash()),
            )
        return True

    def _held(
        self, channel: OpenChannel, sequence: int, database: Connection | None = None
    ) -> Signed[Receipt]:
        if database is None:
            with self._begin() as database:
                return self._held(channel, sequence, database)
        where = (receipts.c.channel_id == channel.id) & (receipts.c.sequence == sequence)
        text = database.execute(select(receipts.c.signed).where(where)).scalar_one()
        return signed_from_json(Receipt, orjson.loads(text))

    def _receipt_row(self, channel: OpenChannel, nonce: int, item: Signed[Receipt]) -> dict[str, object]:
        return {
            "channel_id": channel.id,
            "sequence": item.message.sequence,
            "nonce": nonce,
            "cost": item.message.cost,
            "signed": orjson.dumps(signed_to_json(item)).decode(),
            "acknowledged": False,
            "received_at": self._now(),
        }

    def _save_tally(self, database: Connection, channel: OpenChannel, tally: Tally) -> None:
        bounds = {"from_sequence": channel.tally.count, "to_sequence": tally.count}
        database.execute(ACKNOWLEDGE_RECEIPTS, {"of_channel": channel.id, **bounds})
        values = {
            "now_count": tally.count,
            "now_amount": tally.amount,
            "now_peaks": b"".join(tally.mountains.peaks),
        }
        database.execute(WRITE_TALLY, {"of_channel": channel.id, **values})

    def _change_channel(self, channel: OpenChannel, **values: object) -> None:
        with self._begin() as database:
            database.execute(update(channels).where(channels.c.id == channel.id).values(**values))

    def _create(self, provider: Address) -> OpenChannel:
        session = Key.generate()
        key = ChannelKey(payer=self.payer, provider=provider, session_key=session.address)
        lease = Lease.take(self._lease_path(session.address))
        assert lease is not None, "somebody has the lease of a key made just now"
        channel = OpenChannel(key=key, id=key.id, session=session, lease=lease)
        with self._begin() as database:
            database.execute(
                insert(channels).values(
                    id=channel.id,
                    provider=provider,
                    session_key=session.address,
                    epoch=key.epoch,
                    sealed_key=self._seal.close_over(session.secret, name=session.address),
                    state="open",
                    granted=0,
                    count=0,
                    amount=0,
                    peaks=b"",
                    delivered=0,
                    opened_at=self._now(),
                )
            )
        self.leased[channel.id] = channel
        return channel

    def _adopt(self, *conditions: ColumnElement[bool]) -> OpenChannel | None:
        """The first such channel that nobody leases."""
        query = select(channels).where(*conditions).order_by(channels.c.opened_at)
        with self._begin() as database:
            rows = database.execute(query).mappings().all()
        for row in rows:
            if row["id"] in self.leased:
                continue
            lease = Lease.take(self._lease_path(Address(row["session_key"])))
            if lease is not None:
                return self._load(ChannelId(row["id"]), lease)
        return None

    def _load(self, channel_id: ChannelId, lease: Lease) -> OpenChannel:
        """Read again under the lease: the process before may have changed it until its end."""
        with self._begin() as database:
            row = database.execute(select(channels).where(channels.c.id == channel_id)).mappings().one()
            behind = database.execute(
                select(receipts.c.signed).where(
                    receipts.c.channel_id == channel_id, receipts.c.acknowledged.is_(False)
                )
            ).scalars()
            waiting = [signed_from_json(Receipt, orjson.loads(text)).message for text in behind]
            running = database.execute(
                select(requests.c.nonce, requests.c.worst, requests.c.billed).where(
                    requests.c.channel_id == channel_id, requests.c.state == "open"
                )
            ).all()
        peaks = tuple(Hash32(row["peaks"][i : i + 32]) for i in range(0, len(row["peaks"]), 32))
        key = self._key(row)
        channel = OpenChannel(
            key=key,
            id=key.id,
            session=Key(self._seal.open(row["sealed_key"], name=row["session_key"])),
            lease=lease,
            granted=Atoms(row["granted"]),
            grant=None if row["grant"] is None else signed_from_json(Grant, orjson.loads(row["grant"])),
            tally=Tally(Mountains(row["count"], peaks), Atoms(row["amount"])),
            waiting={receipt.sequence: receipt for receipt in waiting},
            delivered=row["delivered"],
            state=row["state"],
            running={item.nonce: Atoms(item.worst - item.billed) for item in running},
        )
        self.leased[channel.id] = channel
        return channel

    def _key(self, row: RowMapping) -> ChannelKey:
        return ChannelKey(
            payer=self.payer,
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

    def _lease_path(self, session_key: Address) -> Path:
        return self.folder / "leases" / session_key.hex()
