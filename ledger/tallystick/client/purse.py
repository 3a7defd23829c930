"""Where a payer keeps its channels: session keys, receipts, open requests, and what is left of the budget.

One SQLite file for each wallet and market, shared by all the processes of that wallet. A channel is leased by
one process at a time (an OS lock, so a dead process leases nothing); the budget is shared by all, and every
change of it is one transaction. At all times

    spent = Σ costs of the receipts accepted,   spent + reserved ≤ budget.total

and a voucher never pays for more than accepted receipts, so that nothing is ever signed above the budget. A
request is in the file before it is sent, and a receipt before it is acknowledged. It opens no socket.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import RLock

from sqlalchemy.engine import Connection

from tallystick.client.books import Books, not_over, unsettled
from tallystick.client.budget import Budget
from tallystick.client.evidence import Evidence, contradiction
from tallystick.client.findings import Findings
from tallystick.client.holdings import OVER, PAYING, HeldReceipt, OpenChannel, Pending
from tallystick.client.leases import Leases
from tallystick.client.pairs import Pairs
from tallystick.client.sealing import Seal
from tallystick.client.spending import Share, Spending
from tallystick.client.tables import Durability
from tallystick.crash import point
from tallystick.ports import PostedOffer, Signer
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import ChannelNotOpen, MarketError, ReceiptError
from tallystick.protocol.grant import Grant
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, Verified, sign
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, ChannelId, Hash32, Milliseconds
from tallystick.protocol.voucher import Voucher, require_acknowledges

__all__ = ["HeldReceipt", "OpenChannel", "Pending", "Purse"]


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
        folder: Path,
        *,
        wallet: Signer,
        domain: Domain,
        budget: Budget,
        now: Callable[[], Milliseconds],
        durability: Durability = "process",
    ):
        self.folder = folder / f"{domain.chain_id}-{domain.contract.hex()}" / wallet.address.hex()
        self.domain = domain
        self.payer = payer = wallet.address
        self.budget = budget
        self.lock = RLock()
        """Guards the channels' fields. Held for microseconds, and never over a request."""
        self.active: set[int] = set()
        """Nonces of the requests that a flow of this process is busy with."""
        self._now = now
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        seal = Seal(wallet, domain)
        self._books = Books(self.folder / "purse.db", payer=self.payer, seal=seal, durability=durability)
        self._spending = Spending(self._books, budget)
        self.share = Share()
        books, leases = self._books, self.folder / "leases"
        self._leases = Leases(books, leases, payer=payer, seal=seal, lock=self.lock, now=now)
        self.evidence = Evidence(self._books, payer=self.payer, lock=self.lock, now=now)
        self.pairs = Pairs(self._books, seal, self.folder / "busy", now=now)
        self.findings = Findings(self._books, seal, now=now)

    def close(self) -> None:
        """Gives the leases back. What is not settled stays for the next process."""
        with self.lock:
            for held in (self._leases, self.pairs, self._books):
                held.close()

    @property
    def leased(self) -> dict[ChannelId, OpenChannel]:
        """Of this process."""
        return self._leases.channels

    # ------------------------------------------------------------------------------------------- channels

    def open_channel(self, provider: Address) -> OpenChannel:
        """One that is leased here already, else one that nobody leases, else a new one without a grant."""
        return self._leases.channel_to(provider)

    def adopt_unsettled(self, *, refused: bool = False) -> list[OpenChannel]:
        """Leases what a process left to settle, and `refused` channels whose rest it did not ask back."""
        return self._leases.adopt_every(unsettled(refused=refused))

    def adopt_all(self) -> list[OpenChannel]:
        """Leases every channel that nobody leases and that is not closed."""
        return self._leases.adopt_every(not_over())

    def keep_grant(self, channel: OpenChannel, grant: Signed[Grant]) -> None:
        """From now on the channel's vouchers may go up to the grant's cap."""
        with self.lock:
            self._books.keep_grant(channel, grant)
            point("grant.kept")
            channel.grant, channel.granted, channel.grant_delivered = grant, grant.message.cap, False

    def granted_elsewhere(self, channel: OpenChannel) -> Atoms:
        """Atoms that the other channels may still be made to pay, and those that all have paid."""
        return Atoms(
            sum(
                granted if state in PAYING else amount
                for key, state, granted, amount in self._books.grants()
                if key.id != channel.id
            )
        )

    def open_keys(self) -> list[tuple[ChannelKey, Atoms]]:
        """The channels that a grant may be drawn for, with what was granted."""
        return [(key, granted) for key, state, granted, _ in self._books.grants() if state not in OVER]

    def take_back(self, keys: Sequence[ChannelKey]) -> list[OpenChannel]:
        """Those channels that are ours and that this purse does not know, leased, and empty."""
        return self._leases.take_back(keys)

    def note_cap(self, channel: OpenChannel, cap: Atoms) -> None:
        """The chain holds so much for it, by a grant that this purse does not have."""
        with self.lock:
            self._books.change_channel(channel, granted=cap)
            channel.granted = cap

    def retire(self, channel: OpenChannel, state: str = "retired") -> None:
        """No new request goes over it: `retired`, or `closed`."""
        with self.lock:
            if channel.state in PAYING:
                self._books.change_channel(channel, state=state)
                channel.state = state
                self.evidence.avoidance.look_again()

    def reopen(self, channel: OpenChannel) -> None:
        """The same key in its next epoch, in which nothing is issued yet. One that a process began before it
        died stays as that one left it. What waited behind a gap of the epoch before can never be
        acknowledged, and is given back to the budget."""
        with self.lock:
            with self._books.begin() as database:
                self._books.drop_waiting(database, channel)
            self.share.dropped(channel.id)
            channel.waiting.clear()
            key = replace(channel.key, epoch=channel.key.epoch + 1)
            if key.id not in {known.id for known, *_ in self._books.grants()}:
                following = OpenChannel(key=key, id=key.id, session=channel.session, lease=channel.lease)
                self._books.add_channel(following, self._now())
                point("channel.reopened")
                self.leased[following.id] = following
            self.retire(channel, "closed")

    def acknowledged(self, channel: OpenChannel, start: int, limit: int) -> list[Signed[Receipt]]:
        """Receipts of the contiguous ones, from sequence `start` on."""
        return self._books.acknowledged(channel, start, limit)

    def mark_close_requested(self, channel: OpenChannel) -> None:
        """A refused channel's rest has been asked back."""
        with self.lock:
            self._books.change_channel(channel, state="abandoned")
            channel.state = "abandoned"

    def mark_delivered(
        self, channel: OpenChannel, count: int, *, grant: Signed[Grant] | None, durable: bool = False
    ) -> None:
        """The provider has an acknowledgement of `count` receipts, and the grant where one went along."""
        with self.lock:
            if grant is not None and grant is channel.grant:
                channel.grant_delivered = True
            channel.delivered = max(channel.delivered, count)
            if durable:
                self._books.change_channel(channel, delivered=channel.delivered)

    def voucher(
        self, channel: OpenChannel, *, request_hash: Hash32 = ZERO_HASH, nonce: int = 0
    ) -> Verified[Voucher]:
        """Acknowledges all that is contiguous, signed with the session key."""
        with self.lock:
            message = channel.tally.voucher(channel.id, request_hash=request_hash, request_nonce=nonce)
        return sign(message, self.domain, channel.session)

    def last_voucher(self, channel_id: ChannelId) -> Signed[Voucher] | None:
        """What the channel's vouchers have come to, signed anew; None: nothing is acknowledged on it."""
        tally, session = self._books.acknowledgement_of(channel_id)
        return sign(tally.voucher(channel_id), self.domain, session).signed if tally.count else None

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
        pair: int | None = None,
    ) -> Pending:
        """A request with a fresh nonce, durable and active, and its worst case taken out of the budget.

        Raises
        ------
        RequestBudgetExceeded :
            The worst case is more than one request may cost.
        TotalBudgetExceeded :
            It is more than what is left; `actual` says what is.
        """
        self.budget.require_affordable(worst)
        pending = Pending(
            channel=channel,
            nonce=secrets.randbits(63) | 1,
            request_hash=request_hash,
            posted=posted,
            path=path,
            model=model,
            body=body,
            streamed=streamed,
            worst=worst,
            sent_at=self._now(),
            pair=pair,
        )
        with self.lock:
            with self._books.begin() as database:
                self._spending.reserve(database, worst)
                self._books.add_request(database, pending)
            channel.running[pending.nonce] = worst
            self.share.began(pending.nonce)
            self.active.add(pending.nonce)
        point("request.reserved")
        return pending

    def accept(self, pending: Pending, accepted: Sequence[Verified[Receipt]], *, final: bool) -> None:
        """Receipts that were checked against their answer; the budget pays for them, vouchers may.

        Taking one in again changes nothing.

        Raises
        ------
        ReceiptError :
            One does not follow from those before, contradicts one already held, or costs more than was
            reserved. Nothing of the call is kept then.
        TotalBudgetExceeded :
            They are true for all we know, and the budget has no room for them now.
        ChannelNotOpen :
            An earlier receipt of the channel was refused.
        """
        channel = pending.channel
        false_earlier: tuple[Receipt, ReceiptError] | None = None
        with self.lock:
            if channel.refused:
                raise ChannelNotOpen("An earlier receipt of the channel was refused.", actual=channel.state)
            with self._books.begin() as database:
                new = [item for item in accepted if not self._holds(database, channel, item.message)]
                waiting = channel.waiting | {item.message.sequence: item.message for item in new}
                tally = channel.tally
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
                self._spending.bill(database, pending, cost, ended="done" if final else None)
                signed = [item.signed for item in new]
                self._books.add_receipts(
                    database, channel, signed, nonce=pending.nonce, received_at=self._now()
                )
                if tally.count > channel.tally.count:
                    self._books.write_tally(database, channel, tally)
            self.share.billed(pending.nonce, [item.message for item in new], waiting)
            channel.tally, channel.waiting = tally, waiting
            channel.billed(pending.nonce, cost, ended=final)
            if final:
                self.share.ended(pending.nonce)
            point("receipt.accepted")
            if false_earlier is not None:
                false, reason = false_earlier
                with self._books.begin() as database:
                    signed_false = self._books.held(database, channel, false.sequence)
                self.evidence.refuse(channel, signed_false, reason)

    def limit(self, pending: Pending, most: Atoms) -> None:
        """It costs no more than that from now on; the rest is the budget's again."""
        with self.lock, self._books.begin() as database:
            left = self._spending.limit(database, pending, most)
            if pending.nonce in pending.channel.running:
                pending.channel.running[pending.nonce] = left

    def settle_unpaid(self, pending: Pending, state: str) -> None:
        """Ends a request that has no (more) receipt: `void` was never worked on, `unbilled` was answered in
        full without a final receipt or is unknown to its provider, `refused` had a false one."""
        with self.lock:
            with self._books.begin() as database:
                self._spending.bill(database, pending, 0, ended=state)
            pending.channel.billed(pending.nonce, 0, ended=True)
            if state != "unbilled":
                self.share.ended(pending.nonce)

    def adopt(self, channel: OpenChannel, held: Voucher, listed: Sequence[Verified[Receipt]]) -> bool:
        """Takes receipts back that this purse has forgotten and `held`, which this channel's own key signed,
        acknowledges; False where they are not exactly those, or one contradicts a receipt that waits."""
        with self.lock:
            tally, count = channel.tally, held.acknowledgement.receipt_count
            taken = [item for item in listed if tally.count <= item.message.sequence < count]
            if count <= tally.count:
                return False
            try:
                for item in taken:
                    tally = tally.append(item.message)
                require_acknowledges(held, tally)
            except MarketError:
                return False
            for item in taken:
                if (other := self.waiting_there(channel, item.message)) is not None:
                    self.evidence.refuse(channel, item.signed, contradiction(item.message, other))
                    return False
            known = {item.message.sequence for item in taken} & channel.waiting.keys()
            unknown = [item for item in taken if item.message.sequence not in known]
            cost = sum(item.message.cost for item in unknown)
            with self._books.begin() as database:
                self._spending.take_back(database, cost)
                signed = [item.signed for item in unknown]
                self._books.add_receipts(database, channel, signed, nonce=0, received_at=self._now())
                self._books.write_tally(database, channel, tally)
            channel.tally = tally
            point("receipts.adopted")
            for sequence in known:
                del channel.waiting[sequence]
        return True

    def holds(self, channel: OpenChannel, sequence: int) -> bool:
        """Whether the receipt in that place is accepted."""
        with self.lock:
            return sequence < channel.tally.count or sequence in channel.waiting

    def waiting_there(self, channel: OpenChannel, receipt: Receipt) -> Receipt | None:
        """Another receipt that waits in its place."""
        with self.lock:
            held = channel.waiting.get(receipt.sequence)
        return held if held != receipt else None

    def open_requests(self, channel: OpenChannel) -> list[Pending]:
        """Those that may have been billed without our knowing, oldest first."""
        return self._books.open_requests(channel)

    def was_given_up(self, channel: OpenChannel, request_hash: Hash32) -> bool:
        """Whether such a request was made on it, and ended without work as far as we were told."""
        return self._books.has_void(channel, request_hash)

    def lost_requests(self, channel: OpenChannel) -> list[Pending]:
        """Those that hold a part of the budget though nobody waits for them any more, oldest first."""
        with self.lock:
            if channel.running.keys() <= self.active:
                return []
            lost = channel.running.keys() - self.active
            return [pending for pending in self._books.open_requests(channel) if pending.nonce in lost]

    # ------------------------------------------------------------------------------------------- questions

    def spending(self) -> tuple[Atoms, Atoms]:
        """(spent, reserved), of all processes."""
        with self._books.begin() as database:
            return self._books.spending(database)

    def held_receipts(self) -> list[HeldReceipt]:
        """All that were accepted, oldest first."""
        return self._books.held_receipts()

    def asked(self) -> list[tuple[ChannelId, Hash32, int]]:
        """(channel, request hash, nonce) of every request ever made: what its vouchers may have carried."""
        return self._books.asked()

    def _holds(self, database: Connection, channel: OpenChannel, receipt: Receipt) -> bool:
        """Whether this very receipt is held already; raises where another one has its place."""
        if not self.holds(channel, receipt.sequence):
            return False
        held = self._books.held(database, channel, receipt.sequence).message
        if held != receipt:
            raise contradiction(receipt, held)
        return True
