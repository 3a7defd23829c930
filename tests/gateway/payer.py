"""A payer in a page, of protocol functions only: it signs, checks what it received, and acknowledges."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import orjson

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.grant import Grant
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import MINIMUM_INTERIM_COST, cost_up
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, Signed, sign, verify
from tallystick.protocol.transcript import Transcript
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Hash32, Timestamp
from tallystick.protocol.voucher import Tally, request_hash
from tallystick.protocol.wire import (
    CLOSE_PATH,
    RECEIPT,
    RECEIPT_COMMENT,
    RESYNC_PATH,
    VOUCHERS_PATH,
    Credential,
    authorization,
    read_receipt_text,
    reading,
)

CHAT = "/v1/chat/completions"


class Payer:
    """One payer with one channel. `tally` is what it has checked and will acknowledge."""

    def __init__(self, http: httpx2.AsyncClient, domain: Domain, offer: Offer, receipt_key: Address):
        self.http = http
        self.domain = domain
        self.offer = offer
        self.offer_hash = offer.struct_hash()
        self.receipt_key = receipt_key
        self.wallet = Key.generate()
        self.session = Key.generate()
        self.channel = ChannelKey(
            payer=self.wallet.address, provider=offer.provider, session_key=self.session.address
        )
        self.tally = Tally()
        self.nonce = 0
        self.receipts: dict[int, Receipt] = {}
        """By sequence, all that were accepted."""
        self._early: dict[int, Receipt] = {}

    # ---- signing

    def credential(
        self,
        body: bytes | None = None,
        *,
        nonce: int | None = None,
        tally: Tally | None = None,
        grant: Signed[Grant] | None = None,
        offer_hash: Hash32 | None = None,
        key: Key | None = None,
        domain: Domain | None = None,
        channel: ChannelKey | None = None,
        fetch: bool = False,
    ) -> Credential:
        """`body` None: a bare voucher."""
        offered = self.offer_hash if offer_hash is None else offer_hash
        hashed = ZERO_HASH if body is None else request_hash(offered, body)
        if body is not None and nonce is None:
            self.nonce += 1
            nonce = self.nonce
        voucher = (self.tally if tally is None else tally).voucher(
            (channel or self.channel).id, request_hash=hashed, request_nonce=nonce or 0
        )
        signed = sign(voucher, domain or self.domain, key or self.session).signed
        return Credential(
            voucher=signed,
            offer_hash=offered if body is not None else ZERO_HASH,
            grant=grant,
            fetch=fetch,
        )

    def headers(self, body: bytes | None = None, **changes: Any) -> dict[str, str]:
        return {"Authorization": authorization(self.credential(body, **changes))}

    def grant(self, cap: int, *, deadline: int, key: Key | None = None, epoch: int = 0) -> Signed[Grant]:
        grant = Grant(
            payer=self.wallet.address,
            provider=self.offer.provider,
            session_key=self.session.address,
            epoch=epoch,
            cap=Atoms(cap),
            deadline=Timestamp(deadline),
        )
        return sign(grant, self.domain, key or self.wallet).signed

    # ---- asking

    def body(self, **fields: Any) -> bytes:
        messages = [{"role": "user", "content": "Say something."}]
        return orjson.dumps({"model": self.offer.model, "messages": messages, "max_tokens": 8} | fields)

    async def post(self, body: bytes, path: str = CHAT, **changes: Any) -> httpx2.Response:
        """One request as it is, nothing checked."""
        return await self.http.post(path, content=body, headers=self.headers(body, **changes))

    async def complete(self, body: bytes | None = None, **changes: Any) -> dict[str, Any]:
        """A whole answer, its receipt checked and taken into the tally."""
        body = self.body() if body is None else body
        response = await self.post(body, **changes)
        assert response.status_code == 200, response.text
        self.take_whole(body, response)
        return orjson.loads(response.content)  # type: ignore[no-any-return]

    def take_whole(self, body: bytes, response: httpx2.Response) -> Receipt:
        transcript = Transcript(request_hash(self.offer_hash, body))
        transcript.add_payload(response.content)
        transcript.add_counts(orjson.loads(response.content))
        receipt = self.check(response.headers[RECEIPT], transcript, body, billed=0)
        assert receipt.finish != Finish.INTERIM
        return receipt

    @asynccontextmanager
    async def stream(self, body: bytes, path: str = CHAT, **changes: Any) -> AsyncIterator["Stream"]:
        async with self.http.stream(
            "POST", path, content=body, headers=self.headers(body, **changes)
        ) as response:
            yield Stream(self, body, response)

    async def acknowledge(self, **changes: Any) -> httpx2.Response:
        return await self.http.post(VOUCHERS_PATH, headers=self.headers(**changes))

    async def resync(self, start: int = 0, **changes: Any) -> httpx2.Response:
        body = orjson.dumps({"fromSequence": str(start)})
        changes = {"offer_hash": ZERO_HASH} | changes
        return await self.http.post(RESYNC_PATH, content=body, headers=self.headers(body, **changes))

    async def read(self, start: int = 0, *, until: int, **changes: Any) -> httpx2.Response:
        asked = reading(self.channel.id, start, Timestamp(until))
        headers = self.headers(asked, **{"offer_hash": ZERO_HASH, "tally": Tally()} | changes)
        path = asked.decode().removeprefix("GET ")
        return await self.http.get(path, headers=headers)

    async def close(self, **changes: Any) -> httpx2.Response:
        changes = {"offer_hash": ZERO_HASH} | changes
        return await self.http.post(CLOSE_PATH, content=b"{}", headers=self.headers(b"{}", **changes))

    # ---- checking (docs/spec.md, section 4)

    def check(self, text: str, transcript: Transcript, body: bytes, *, billed: int) -> Receipt:
        """The receipt, once it says no more than what was received; `billed` are output tokens on earlier
        ones."""
        receipt = verify(read_receipt_text(text), self.domain, signer=self.receipt_key).message
        assert receipt.channel_id == self.channel.id
        assert receipt.offer_hash == self.offer_hash
        assert receipt.request_hash == request_hash(self.offer_hash, body)
        assert receipt.response_hash == transcript.response_hash
        assert receipt.tokens_hash == transcript.tokens_hash
        assert billed + receipt.output_tokens <= transcript.output_tokens
        assert receipt.input_tokens <= transcript.input_tokens
        expected = cost_up(
            self.offer,
            input_tokens=receipt.input_tokens,
            cached_input_tokens=receipt.cached_input_tokens,
            output_tokens=receipt.output_tokens,
        )
        assert receipt.cost == expected
        if receipt.finish == Finish.INTERIM:
            assert receipt.cost >= MINIMUM_INTERIM_COST
        assert receipt.sequence not in self.receipts
        self.receipts[receipt.sequence] = receipt
        self._early[receipt.sequence] = receipt
        while (following := self._early.pop(self.tally.count, None)) is not None:
            self.tally = self.tally.append(following)
        return receipt


class Stream:
    """One streamed answer: payloads as they come, receipts checked as they pass."""

    def __init__(self, payer: Payer, body: bytes, response: httpx2.Response):
        self.response = response
        self.payer = payer
        self.body = body
        self.transcript = Transcript(request_hash(payer.offer_hash, body))
        self.receipts: list[Receipt] = []
        self.payloads: list[bytes] = []
        self.done = False
        self.comments: list[str] = []
        self._lines = response.aiter_lines()

    @property
    def billed(self) -> int:
        return sum(receipt.output_tokens for receipt in self.receipts)

    async def next_event(self) -> bytes | Receipt | None:
        """A payload, a receipt, or None at the end."""
        async for line in self._lines:
            raw = line.encode()
            if raw.startswith(RECEIPT_COMMENT):
                text = raw[len(RECEIPT_COMMENT) :].decode()
                receipt = self.payer.check(text, self.transcript, self.body, billed=self.billed)
                self.receipts.append(receipt)
                return receipt
            if raw.startswith(b":"):
                self.comments.append(line)
            elif raw == b"data: [DONE]":
                self.done = True
            elif raw.startswith(b"data: "):
                payload = raw[6:]
                self.payloads.append(payload)
                self.transcript.add_payload(payload)
                self.transcript.add_counts(_object(payload))
                return payload
        return None

    async def finish(self) -> None:
        """Reads to the end, acknowledging nothing on the way."""
        while await self.next_event() is not None:
            pass


def _object(payload: bytes) -> Mapping[str, Any]:
    data = orjson.loads(payload)
    return data if isinstance(data, dict) else {}
