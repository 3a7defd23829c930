"""A provider's gateway without HTTP: the order in which a request is checked (docs/spec.md, section 3), and
what the payer may ask for beside inference.

Each step is cheaper than the ones after it. From the look-up of the nonce to the reservation nothing else
runs, so that admission is one step whatever arrives in parallel.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tallystick.chain.errors import ChainDisputed
from tallystick.crash import point
from tallystick.ports import Head
from tallystick.protocol.case import read_body
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.channel import Status as ChannelStatus
from tallystick.protocol.errors import (
    AnswerDropped,
    AnswerUnknown,
    ChannelUnknown,
    MalformedMessage,
    MarketError,
    NonceReused,
    QuoteError,
    VoucherNotGreater,
    WrongEpoch,
)
from tallystick.protocol.expect import Inquiry
from tallystick.protocol.grant import Grant
from tallystick.protocol.message import read_value
from tallystick.protocol.signed import Signed, Verified, verify
from tallystick.protocol.status import Status
from tallystick.protocol.units import ZERO_HASH, Atoms, ChannelId, Hash32, Timestamp, to_hex
from tallystick.protocol.voucher import Voucher, request_hash, require_names
from tallystick.protocol.wire import Credential, read_authorization, read_text, signed_to_json
from tallystick_node.gateway.admission import Refuse, Serve, admit, bounds
from tallystick_node.gateway.ask import Ask
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.errors import (
    Bounced,
    ChainStale,
    Draining,
    PaymentRequired,
    Refused,
    RequestsRunning,
    Unready,
)
from tallystick_node.gateway.grants import Grants
from tallystick_node.gateway.metering import Meter
from tallystick_node.gateway.promises import Claims, Expectation, Promises
from tallystick_node.gateway.relay import Running
from tallystick_node.gateway.restoring import Restorer
from tallystick_node.gateway.tab import Tab
from tallystick_node.store.records import Change, RequestStarted, StoredAnswer, VoucherSaved

RESYNC_LIMIT: Final = 1000
"""Receipts in one answer."""
_RESYNC_AT_A_TIME: Final = 100
"""Receipts read before others get their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    running: int
    """Requests at a time."""
    unsecured: Atoms
    head_age_s: int
    """A chain whose newest block is older is not sold by."""
    minimum_stake: Atoms = Atoms(0)
    """With less, payers do not see the provider's offers, and what it signs has little behind it."""
    clocks_apart_s: int = 30
    """What this machine's clock and the chain's may differ by: a new database is dated so much later."""


class Gateway:
    def __init__(self, books: Books, grants: Grants, limits: Limits, claims: Claims = Claims()):
        self.books = books
        self._grants = grants
        self._restorer = Restorer(books, grants)
        self.limits = limits
        self.running: dict[tuple[ChannelId, int], Running] = {}
        self.promises = Promises(books, self.running, limits.running, claims)
        self.draining = False
        self.key_revoked = False
        """The provider named another receipt key on chain: what this node signs is worth nothing to a
        payer."""
        self.staked = Atoms(0)
        """By the provider, without what is on its way out."""
        self.slashed = Atoms(0)
        """Ever: rewards and what was burnt."""
        self.chain_disputed = False
        """The chain's node and its witnesses contradict one another."""
        self.head = Head(number=0, timestamp=Timestamp(0))
        """The newest block that is acted on."""
        self.head_at = Timestamp(0)
        """When it was made."""
        self.rewinds = 0
        """How often the chain took blocks back."""

    # -------------------------------------------------------------------------------------------- requests

    def credential(self, header: str | None) -> Credential:
        """What the header says, for a channel that there may be: all that can be known before a body is
        read. Raises PaymentRequired, FormatError, AnswerUnknown or ChannelUnknown."""
        credential = _decoded(header)
        if credential.voucher.message.channel_id not in self.books.tabs:
            if credential.fetch:
                raise AnswerUnknown("This provider knows no such channel, and so no answer.")
            if credential.grant is None:
                raise ChannelUnknown(
                    "This provider knows no such channel. Send a grant, or wait until it is mined."
                )
        return credential

    async def is_new(self, credential: Credential, body: bytes) -> bool:
        """Whether `admit` would read the body, as far as channel, signature and nonce go; raises what that
        raises of them."""
        hashed = request_hash(credential.offer_hash, body)
        tab, voucher = await self._authenticate(credential, hashed)
        nonce = voucher.message.acknowledgement.request_nonce
        return not credential.fetch and self._known(tab, nonce, hashed) is None

    async def admit(
        self,
        credential: Credential,
        body: bytes,
        expectation: Expectation | None = None,
        reads: Callable[[bytes], Ask] = Ask.read,
    ) -> Running | StoredAnswer:
        """A new request to be served, one that runs already, or the answer to one that has ended.

        A new one is reserved for and saved, together with the voucher that came with it. `expectation`: what
        its payer says of the time that it may take.

        Raises
        ------
        MarketError :
            Whatever is wrong with it.
        Refused :
            There is no room for it, and these are the terms.
        """
        received_at = self.books.clock.milliseconds()
        hashed = request_hash(credential.offer_hash, body)
        tab, voucher = await self._authenticate(credential, hashed)
        nonce = voucher.message.acknowledgement.request_nonce
        known = self._known(tab, nonce, hashed)
        if known is not None:
            return known
        if credential.fetch:
            raise AnswerUnknown("There is no answer under this nonce.", actual=nonce)
        self._require_ready(expectation)
        ask = reads(body)
        offer = self.books.offer(credential.offer_hash, ask.model)
        within = bounds(offer, ask)
        self.promises.require_taken(expectation, ask)
        acknowledged = self.books.acknowledge(tab, voucher)
        account, unsecured = self.books.account(tab), self.limits.unsecured
        decision = admit(account, tab, offer, within, streamed=ask.streamed, unsecured_limit=unsecured)
        promise = None
        if expectation is not None and isinstance(decision, Serve):
            promise = await self._promised(acknowledged, expectation, tab, ask, credential.offer_hash, hashed)
        changes: list[Change] = []
        if not tab.kept and not isinstance(decision, Refuse):
            changes.append(self.books.saved(tab))
        if acknowledged is not None:
            changes.append(acknowledged)
        if not isinstance(decision, Serve):
            await self.books.store.save(*changes)
            raise Refused(decision.error, decision.terms, mined=tab.channel.status is not ChannelStatus.NONE)
        meter = Meter(
            offer=offer,
            offer_hash=credential.offer_hash,
            request_hash=hashed,
            bounds=within,
            received_at=received_at,
        )
        running = Running(
            tab=tab,
            nonce=nonce,
            request_hash=hashed,
            ask=ask,
            meter=meter,
            reservation=decision.reservation,
        )
        running.promise = promise
        self._register(running)
        changes.append(RequestStarted(channel_id=tab.id, nonce=nonce, request_hash=hashed))
        point("request.admitted")
        await self.books.store.save(*changes)
        point("request.saved")
        return running

    async def _promised(
        self,
        acknowledged: VoucherSaved | None,
        expectation: Expectation,
        tab: Tab,
        ask: Ask,
        offer_hash: Hash32,
        hashed: Hash32,
    ) -> str | None:
        """The quote; raises Bounced or QuoteError, when nothing is kept but the voucher."""
        try:
            return self.promises.weigh(expectation, tab, ask, offer_hash, hashed)
        except (Bounced, QuoteError):
            if acknowledged is not None:
                await self.books.store.save(acknowledged)
            raise

    async def _authenticate(self, credential: Credential, hashed: Hash32) -> tuple[Tab, Verified[Voucher]]:
        """The channel, open, and its session key's voucher for what hashes so."""
        key, grant = self._grants.named(credential)
        if grant is None:
            self.books.require_open(self.books.tabs[key.id])
        tab, verified = await self._opened(credential, key, grant, hashed)
        self.books.require_open(tab)
        return tab, verified

    async def _opened(
        self, credential: Credential, key: ChannelKey, grant: Signed[Grant] | None, hashed: Hash32
    ) -> tuple[Tab, Verified[Voucher]]:
        """The channel that the credential named, whatever its status."""
        require_names(credential.voucher.message, hashed)
        verified = verify(credential.voucher, self.books.domain, signer=key.session_key)
        if grant is not None:
            self.require_chain()
        return await self._grants.opened(key, grant), verified

    def _known(self, tab: Tab, nonce: int, hashed: Hash32) -> Running | StoredAnswer | None:
        """What this nonce means already; raises NonceReused where it means another request, and
        AnswerDropped where its answer is long past."""
        known = self.running.get((tab.id, nonce)) or self.books.store.answer(tab.id, nonce)
        if known is None:
            return None
        if known.request_hash != hashed:
            raise NonceReused(
                "The nonce names another request.", required=to_hex(known.request_hash), actual=to_hex(hashed)
            )
        if isinstance(known, StoredAnswer) and known.content is None:
            raise AnswerDropped("The answer is acknowledged, and no longer kept.", actual=nonce)
        return known

    def _require_ready(self, expectation: Expectation | None) -> None:
        if self.draining:
            raise Draining("The node is shutting down.")
        if self.key_revoked:
            raise Unready("The provider has named another receipt key than this node's.")
        self.require_chain()
        if not self.is_staked:
            raise Unready(
                "The provider's stake is below the market's minimum.",
                required=self.limits.minimum_stake,
                actual=self.staked,
            )
        self.promises.require_room(expectation)

    def require_chain(self) -> None:
        """What the chain says is fresh and undisputed; raises ChainDisputed or
        ChainStale."""
        if self.chain_disputed:
            raise ChainDisputed("The chain's nodes contradict one another.")
        if (age := self.head_age_s) > self.limits.head_age_s:
            raise ChainStale(
                "The newest block this node knows is too old to sell by.",
                required=self.limits.head_age_s,
                actual=age,
            )

    @property
    def is_staked(self) -> bool:
        return self.staked >= self.limits.minimum_stake

    @property
    def head_age_s(self) -> int:
        return max(0, self.books.now - self.head_at)

    def _register(self, running: Running) -> None:
        key = running.tab.id, running.nonce
        running.tab.running[running.nonce] = running.reservation
        self.running[key] = running
        running.company = self.promises.company()
        running.answer.add_done_callback(lambda _: self._leave(running))

    def _leave(self, running: Running) -> None:
        self.running.pop((running.tab.id, running.nonce), None)
        self.promises.note(running)

    # -------------------------------------------------------------------------------------------- the rest

    async def take_voucher(self, credential: Credential) -> dict[str, str]:
        """A bare voucher: what is held afterwards. Raises VoucherNotGreater where it acknowledges nothing
        new."""
        tab, voucher = await self._authenticate(credential, ZERO_HASH)
        saved = self.books.acknowledge(tab, voucher)
        if saved is None:
            raise VoucherNotGreater(
                "The voucher acknowledges no more than the one held.",
                required=tab.acknowledged.amount,
                actual=voucher.message.cumulative_amount,
            )
        point("voucher.taken")
        await self.books.store.save(saved)
        point("voucher.saved")
        return {
            "cumulativeAmount": str(tab.acknowledged.amount),
            "receiptCount": str(tab.acknowledged.count),
        }

    async def quote(self, credential: Credential, body: bytes) -> dict[str, Any]:
        """How long a request would take now, signed, with room held for it."""
        tab, _ = await self._authenticate(credential, request_hash(ZERO_HASH, body))
        asked = Inquiry.from_json(read_body(body))
        self.promises.release(tab)
        self._require_ready(None)
        return signed_to_json(self.promises.answer(tab, asked))

    def statuses(self, *, engine_up: bool) -> list[Status]:
        """What this node says of itself, one for each model, not signed and without a sequence."""
        try:
            self._require_ready(None)
        except MarketError:
            engine_up = False
        return self.promises.statuses(ready=engine_up)

    async def resync(self, credential: Credential, body: bytes) -> dict[str, Any]:
        """Both sides' signed state, for a payer that lost its own."""
        tab, _ = self._own(credential, body)
        asked = read_value("uint64", read_body(body).get("fromSequence"), "fromSequence")
        start = min(asked, tab.issued.count)
        receipts: list[orjson.Fragment] = []
        while len(receipts) < RESYNC_LIMIT:
            texts = self.books.store.texts(tab.id, start + len(receipts), _RESYNC_AT_A_TIME)
            receipts += [orjson.Fragment(read_text(text)) for text in texts]
            if len(texts) < _RESYNC_AT_A_TIME:
                break
            await asyncio.sleep(0)
        return {
            "voucher": signed_to_json(tab.voucher) if tab.voucher else None,
            "receipts": receipts,
        }

    async def restore(self, credential: Credential, body: bytes) -> dict[str, Any]:
        """The payer's half of a channel of which we have forgotten something."""
        key, grant = self._grants.named(credential)
        known = self.books.tabs.get(key.id)
        if known is not None and known.channel.status is ChannelStatus.CLOSING:
            grant = None  # The chain raises no cap of it any more; the half is worth no less.
        tab, _ = await self._opened(credential, key, grant, request_hash(ZERO_HASH, body))
        if tab.closed:
            raise WrongEpoch("This epoch of the channel was closed.", actual=tab.channel.key.epoch)
        return await self._restorer.put_together(tab, await self._restorer.half(tab, read_body(body)))

    async def close(self, credential: Credential, body: bytes) -> dict[str, Any]:
        """Our signature to the end of the channel at what is acknowledged. No voucher is accepted from here
        on: one above the signed amount would be worth nothing. Raises RequestsRunning, because what ends
        later could be acknowledged by none."""
        tab, voucher = self._own(credential, body)
        if read_body(body):
            raise MalformedMessage("The body is {}.")
        if tab.running:
            raise RequestsRunning(
                "Requests run on this channel: close it when they have ended.",
                required=0,
                actual=len(tab.running),
            )
        if not tab.refusing:
            self.books.require_whole(tab)
        changes: list[Change] = []
        if not tab.refusing and not tab.closed and (saved := self.books.acknowledge(tab, voucher)):
            changes.append(saved)
        tab.refusing = True
        point("close.begun")
        await self.books.store.save(*changes, self.books.saved(tab))
        point("close.saved")
        return signed_to_json(self.books.sign_close(tab))

    def _own(self, credential: Credential, body: bytes) -> tuple[Tab, Verified[Voucher]]:
        """A channel, whatever its status, for its own payer."""
        voucher = credential.voucher.message
        tab = self.books.tabs.get(voucher.channel_id)
        if tab is None:
            raise ChannelUnknown("This provider knows no such channel.")
        require_names(voucher, request_hash(ZERO_HASH, body))
        return tab, verify(credential.voucher, self.books.domain, signer=tab.channel.key.session_key)


def _decoded(header: str | None) -> Credential:
    if header is None or header[:8].lower() != "payment ":
        raise PaymentRequired(
            "This provider is paid by request: send a voucher.", required="Authorization: Payment"
        )
    return read_authorization(header)
