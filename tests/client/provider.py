"""A provider to test the payer against: spec sections 2 and 3 in small.

It is written from the specification with the protocol's functions alone, shares nothing with the gateway, and
is honest. What it tells can be overridden: `tests/cheats` does.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Condition, Event, RLock, Thread
from typing import Any

from tallystick.ports import PostedOffer
from tallystick.protocol.errors import (
    AcknowledgementMismatch,
    ChannelNotOpen,
    ChannelUnknown,
    ReceiptError,
    RequestHashMismatch,
    VoucherExceedsCap,
    VoucherNotGreater,
)
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, Signed, sign, verify
from tallystick.protocol.stake import Stake
from tallystick.protocol.transcript import Transcript
from tallystick.protocol.units import ZERO_HASH, Atoms, Hash32, Milliseconds, Timestamp, Tokens
from tallystick.protocol.voucher import Close, Voucher, request_hash, require_acknowledges
from tallystick.protocol.wire import Credential, Terms, read_authorization, signed_to_json
from tests.client.echo import MODEL, chunks, whole
from tests.client.fake_chain import DOMAIN, FakeChain
from tests.client.serving import Handler, Server
from tests.client.side import Record, Side


class FakeProvider:
    """One provider: an echo engine, and a half of every channel."""

    def __init__(
        self,
        chain: FakeChain,
        *,
        price: int = 1_000_000,
        credit: int = 1_000_000,
        context: int = 100_000,
        mishap: str = "",
        tls: bool = False,
        pin: bytes | None = None,
        folder: Path | None = None,
        latency: Callable[[], None] = lambda: None,
        **prices: int,
    ):
        self.mishap = mishap
        """`engine`, `stall`, `no-receipt`, `crash`, `crash-done`, `slow-close` or `forgets-answers`."""
        self.ahead_ms = 0
        """Milliseconds that it dates its receipts ahead."""
        self.latency = latency
        self.key = Key.generate()
        self.signing_key = self.key
        self.sides: dict[bytes, Side] = {}
        self.reserved = 0
        self.worked = 0
        """Requests that the engine worked on."""
        self.seen: Counter[str] = Counter()
        self.ratings: list[Any] = []
        """That payers brought, of others."""
        self.bytes_seen = 0
        self.lock = RLock()
        self.changed = Condition(self.lock)
        self.hold = Event()
        self.hold.set()
        self.closing = False
        self.drops = 0
        """Answers to lose on the way from now on."""
        self.interim_at: int | None = None
        """Atoms at which an interim receipt is due; None: half of what is reserved."""
        self._server = Server(self, tls, folder)
        scheme = "https" if tls else "http"
        offer = Offer(
            provider=self.key.address,
            sequence=1,
            endpoint=f"{scheme}://127.0.0.1:{self._server.server_port}",
            endpoint_key=Hash32(pin or self._server.key),
            model=MODEL,
            model_hash=ZERO_HASH,
            input_price=prices.get("input_price", price),
            cached_input_price=prices.get("cached_input_price", price),
            output_price=price,
            context_length=context,
            credit=credit,
            valid_until=1 << 40,
        )
        self.stake = Stake(
            provider=self.key.address,
            staked=Atoms(1),
            exiting=Atoms(0),
            exits_at=Timestamp(0),
            receipt_key=self.key.address,
        )
        self.offer = offer
        self.offer_hash = offer.struct_hash()
        chain.posted.append(PostedOffer(offer=offer, offer_hash=self.offer_hash, stake=self.stake))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.closing = True
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # ------------------------------------------------------------------------------------------- sums

    @property
    def issued(self) -> int:
        return sum(side.tallies[-1].amount for side in self.sides.values())

    @property
    def acknowledged(self) -> int:
        return sum(side.tallies[side.acknowledged].amount for side in self.sides.values())

    @property
    def paid(self) -> int:
        """What the largest vouchers in hand would pay."""
        return sum(
            side.voucher.message.cumulative_amount for side in self.sides.values() if side.voucher is not None
        )

    # ------------------------------------------------------------------------------------------ what it tells

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        """Whether the request was answered in a way of its own, after its credential was taken."""
        return False

    def promise(self, handler: Handler) -> str | None:
        """The quote in the head of an answer."""
        return None

    def said_whole(self, body: dict[str, Any]) -> bytes:
        return whole(body)

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        """The payloads of a stream."""
        return chunks(body)

    def on_the_wire(self, payload: bytes) -> bytes | None:
        """What of a payload is really sent; None: nothing."""
        return payload

    def bills(self, transcript: Transcript, billed: list[int]) -> bool:
        """Whether a last receipt is due."""
        return transcript.output_tokens > billed[1]

    def told(self, receipt: Receipt) -> list[Signed[Receipt]]:
        """What is sent for an honest receipt."""
        return [self.signed(receipt)]

    def signed(self, receipt: Receipt) -> Signed[Receipt]:
        return sign(receipt, DOMAIN, self.signing_key).signed

    def resynced(self, side: Side, start: int) -> dict[str, Any]:
        return {
            "voucher": None if side.voucher is None else signed_to_json(side.voucher),
            "receipts": [signed_to_json(item) for item in side.receipts[start:]],
        }

    def consent(self, side: Side) -> Signed[Close]:
        total = side.tallies[side.acknowledged].amount
        return sign(Close(channel_id=side.key.id, cumulative_amount=total), DOMAIN, self.signing_key).signed

    def terms(self, side: Side, required: int) -> Terms:
        return Terms(
            offer_hash=self.offer_hash,
            credit=self.offer.credit,
            owed=Atoms(side.owed),
            reserved=Atoms(self.reserved),
            required=side.tallies[-1].amount,
            receipt_count=len(side.receipts),
            cap=Atoms(side.tallies[-1].amount + self.reserved + required),
        )

    # ------------------------------------------------------------------------------------------- admission

    def credential(self, header: str, body: bytes, *, bare: bool = False) -> tuple[Side, Voucher, Credential]:
        credential = read_authorization(header)
        voucher = credential.voucher.message
        side = self.sides.get(voucher.channel_id)
        if credential.grant is not None:
            side = self._granted(credential, side)
        if side is None:
            raise ChannelUnknown("No such channel.")
        if side.closed:
            raise ChannelNotOpen("It is closed.")
        acknowledgement = voucher.acknowledgement
        expected = ZERO_HASH if bare else request_hash(credential.offer_hash, body)
        if acknowledgement.request_hash != expected or (acknowledgement.request_nonce == 0) != bare:
            raise RequestHashMismatch("Another body.")
        verify(credential.voucher, DOMAIN, signer=side.key.session_key)
        side.vouched = max(side.vouched, voucher.cumulative_amount)
        return side, voucher, credential

    def _granted(self, credential: Credential, side: Side | None) -> Side:
        assert credential.grant is not None
        grant = verify(credential.grant, DOMAIN, signer=credential.grant.message.payer).message
        assert grant.channel.id == credential.voucher.message.channel_id
        if grant.provider != self.key.address:
            raise ChannelUnknown("The grant is for another provider.")
        if side is None:
            side = self.sides[grant.channel.id] = Side(grant.channel, 0)
        side.cap = max(side.cap, grant.cap)
        return side

    def acknowledge(self, side: Side, signed: Signed[Voucher], *, bare: bool) -> None:
        voucher = signed.message
        count = voucher.acknowledgement.receipt_count
        if count >= len(side.tallies):
            raise AcknowledgementMismatch("Receipts that were never issued.")
        require_acknowledges(voucher, side.tallies[count])
        held = side.tallies[side.acknowledged].amount
        if bare and voucher.cumulative_amount <= held:
            raise VoucherNotGreater("Not greater.", required=held + 1, actual=voucher.cumulative_amount)
        if voucher.cumulative_amount > side.cap:
            raise VoucherExceedsCap("Over the cap.", required=side.cap, actual=voucher.cumulative_amount)
        if count > side.acknowledged:
            side.acknowledged, side.voucher = count, signed
            self.changed.notify_all()

    def exposure(self) -> int:
        return sum(side.owed for side in self.sides.values()) + self.reserved

    # ------------------------------------------------------------------------------------------- receipts

    def issue(
        self, side: Side, transcript: Transcript, record: Record, billed: list[int], finish: Finish
    ) -> list[Signed[Receipt]]:
        """A receipt for what `billed` (input, output tokens so far) does not cover yet, as it is told."""
        new_input = 0 if billed[0] else transcript.input_tokens
        new_output = transcript.output_tokens - billed[1]
        cost = cost_up(self.offer, input_tokens=new_input, cached_input_tokens=0, output_tokens=new_output)
        before = side.tallies[-1]
        receipt = Receipt(
            channel_id=side.key.id,
            sequence=before.count,
            offer_hash=self.offer_hash,
            request_hash=record.request_hash,
            response_hash=transcript.response_hash,
            tokens_hash=transcript.tokens_hash,
            input_tokens=Tokens(new_input),
            cached_input_tokens=Tokens(0),
            output_tokens=Tokens(new_output),
            finish=finish,
            received_at=Milliseconds(1),
            first_token_at=Milliseconds(2),
            finished_at=Milliseconds(time.time_ns() // 1_000_000 + self.ahead_ms),
            cost=cost,
            cumulative_cost=Atoms(before.amount + cost),
        )
        told = self.told(receipt)
        for signed in told:
            try:  # A false one that could be acknowledged would be.
                side.tallies.append(side.tallies[-1].append(signed.message))
            except ReceiptError:
                continue
            side.receipts.append(signed)
        if told and len(side.tallies) == before.count + 1:
            side.tallies.append(before.append(receipt))
            side.receipts.append(told[0])
        billed[0] += new_input
        billed[1] = transcript.output_tokens
        return told
