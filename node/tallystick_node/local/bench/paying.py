"""A payer for load: it signs, checks what it received, and acknowledges, as docs/spec.md says, and no more.

It keeps nothing on disk, so that what is measured is the gateway.
"""

from dataclasses import dataclass, field
from typing import Final

import orjson

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, sign, verify
from tallystick.protocol.transcript import Transcript
from tallystick.protocol.units import Address, Hash32
from tallystick.protocol.voucher import Tally, request_hash
from tallystick.protocol.wire import (
    RECEIPT,
    RECEIPT_COMMENT,
    Credential,
    authorization,
    read_receipt_text,
)
from tallystick_node.local.bench.wire import Reply, Server

CHAT: Final = "/v1/chat/completions"
_RECEIPT_HEADER: Final = RECEIPT.lower().encode()


class Unpaid(Exception):
    """An answer that is not what was paid for: the run is worth nothing."""


@dataclass(slots=True, kw_only=True)
class LoadPayer:
    """One channel of one payer."""

    domain: Domain
    offer: Offer
    receipt_key: Address
    session: Key
    channel: ChannelKey
    tally: Tally = Tally()
    nonce: int = 0
    answered: int = 0
    output_tokens: int = 0
    """On receipts."""
    _early: dict[int, Receipt] = field(default_factory=dict)
    _offer_hash: Hash32 = field(init=False)

    def __post_init__(self) -> None:
        self._offer_hash = self.offer.struct_hash()

    async def buy(self, server: Server, body: bytes) -> Reply:
        """One answer, checked against its receipts; raises Unpaid."""
        hashed = request_hash(self._offer_hash, body)
        self.nonce += 1
        voucher = self.tally.voucher(self.channel.id, request_hash=hashed, request_nonce=self.nonce)
        signed = sign(voucher, self.domain, self.session).signed
        header = authorization(Credential(voucher=signed, offer_hash=self._offer_hash))
        reply = await server.post(CHAT, body, authorization=header)
        if reply.status != 200:
            raise Unpaid(f"{reply.status}: {reply.body[:300]!r}")
        transcript = Transcript(hashed)
        text = reply.header(_RECEIPT_HEADER)
        if text is not None:
            transcript.add_payload(reply.body)
            transcript.add_counts(orjson.loads(reply.body))
            self._take(text.decode(), transcript)
        else:
            self._read(reply.body, transcript)
        self.answered += 1
        return reply

    def require_complete(self) -> None:
        """Every answer is on a receipt, and every receipt is counted; raises Unpaid."""
        if self._early or self.tally.count < self.answered or not self.answered:
            raise Unpaid(f"{self.answered} answers, {self.tally.count} receipts, {len(self._early)} early")

    def _read(self, stream: bytes, transcript: Transcript) -> None:
        for event in stream.split(b"\n\n"):
            if event.startswith(RECEIPT_COMMENT):
                self._take(event[len(RECEIPT_COMMENT) :].decode(), transcript)
            elif event.startswith(b"data: {"):
                transcript.add_payload(event[6:])
                transcript.add_counts(orjson.loads(event[6:]))

    def _take(self, text: str, transcript: Transcript) -> None:
        receipt = verify(read_receipt_text(text), self.domain, signer=self.receipt_key).message
        if receipt.response_hash != transcript.response_hash:
            raise Unpaid("The receipt is for other bytes.")
        self.output_tokens += receipt.output_tokens
        self._early[receipt.sequence] = receipt
        while (following := self._early.pop(self.tally.count, None)) is not None:
            self.tally = self.tally.append(following)


async def ask(server: Server, body: bytes) -> Reply:
    """The same without paying; raises Unpaid."""
    reply = await server.post(CHAT, body)
    if reply.status != 200:
        raise Unpaid(f"{reply.status}: {reply.body[:300]!r}")
    return reply
