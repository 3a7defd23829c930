"""How a request is put to a gateway: credential, grant, and what to do about a refusal.

Nothing that a refusal says is believed without a signature. It may only make the payer show a grant, raise a
cap within the budget, or look for receipts that it lacks.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import httpx2

from tallystick.chain.errors import ChainError
from tallystick.client.attempts import Attempt, Call
from tallystick.client.errors import DepositTooSmall, TotalBudgetExceeded
from tallystick.client.flow import Endpoint, Exchange, Flow, Send, read_all, run, send
from tallystick.client.listing import Listing
from tallystick.client.mending import catch_up, hand_over
from tallystick.client.purse import OpenChannel, Purse
from tallystick.client.refusals import Refusal, read_refusal
from tallystick.crash import point
from tallystick.ports import ChainReader, PostedOffer, Signer
from tallystick.protocol.channel import Channel
from tallystick.protocol.eip712 import digest
from tallystick.protocol.errors import (
    AcknowledgementMismatch,
    AnswerDropped,
    AnswerUnknown,
    CapExceeded,
    ChannelLost,
    ChannelNotOpen,
    ChannelUnknown,
    GrantExpired,
    VoucherExceedsCap,
    VoucherNotGreater,
    WrongEpoch,
)
from tallystick.protocol.expect import expect_text
from tallystick.protocol.grant import Grant
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Signed, Verified
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, ChannelId, Milliseconds, Timestamp
from tallystick.protocol.voucher import Voucher, request_hash
from tallystick.protocol.wire import (
    AUTHORIZATION,
    EXPECT,
    VOUCHERS_PATH,
    Credential,
    authorization,
)

UNSENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
"""Errors before a byte of the request has left."""
BODY_LIMIT: Final = 1 << 26
"""Bytes of one answer that the payer is ready to hold."""
GRANT_LIFE: Final = 24 * 3600
"""Seconds in which a provider can submit a grant."""
BACKGROUND: Final = {"connect": 5.0, "read": 30.0, "write": 10.0, "pool": 5.0}
"""Timeouts of what no caller waits for, in seconds."""
_MAX_CAP: Final = (1 << 96) - 1


FORGETFUL: Final = (ChannelLost.code, AcknowledgementMismatch.code)
"""What a provider says that has lost its memory, or part of it."""


class ChannelGone(Exception):
    """The channel was closed under the request; it has to go over another one."""


class Sender:
    """Puts requests to gateways on behalf of one purse."""

    def __init__(
        self,
        *,
        purse: Purse,
        wallet: Signer,
        chain: ChainReader,
        listing: Listing,
        now: Callable[[], Milliseconds],
    ):
        self.purse = purse
        self.listing = listing
        self._wallet = wallet
        self._chain = chain
        self._now = now
        self.mending: set[ChannelId] = set()
        """Channels that somebody hands over now."""
        self.slow_to_close: set[Address] = set()
        """Providers that signed an epoch's end and did not bring it about in time: nobody waits again."""

    # ------------------------------------------------------------------------------------------- requests

    def accepted(self, attempt: Attempt, call: Call) -> Flow[Exchange]:
        """The head of the answer, once the provider serves.

        Raises
        ------
        ProviderRefused :
            It does not, and no remedy is left. The request is void, unless it was lost on its way before:
            then it stays open until its provider says that it knows nothing of it.
        ChannelGone :
            As it says. The request is void.
        httpx2.TransportError :
            The answer did not come.
        """
        pending = attempt.pending
        channel = pending.channel
        tried: Counter[str] = Counter()
        lost = attempt.sent
        attempt.resent = attempt.resent or lost
        while True:
            headers, voucher, grant = self._headers(attempt)
            was_sent, attempt.sent, began_at = attempt.sent, True, self._now()
            attempt.asked_at = began_at
            exchange = yield from self._sending(attempt, was_sent, Send(
                endpoint=endpoint_of(pending.posted.offer),
                path=pending.path,
                body=pending.body,
                headers=headers,
                timeout=call.timeout,
                head_s=attempt.leave_s if pending.streamed and not attempt.shown else None,
            ))  # fmt: skip
            point("answer.begun")
            if exchange.status < 300:
                count = voucher.message.acknowledgement.receipt_count
                self.purse.mark_delivered(channel, count, grant=grant)
                attempt.wait(self._now() - began_at, 0)
                return exchange
            refusal = read_refusal(exchange.status, (yield from read_all(exchange, BODY_LIMIT, self._now)))
            tried[refusal.code] += 1
            if refusal.code in FORGETFUL and (yield from self._mended(attempt, refusal, tried)):
                self.purse.settle_unpaid(pending, "void")
                raise ChannelGone
            if tried.total() > 6 or not (yield from self._remedied(attempt, refusal, tried)):
                closed = refusal.code in (ChannelNotOpen.code, WrongEpoch.code)
                if not lost:
                    self.purse.settle_unpaid(pending, "void")
                elif closed or (yield from self._holds_nothing(channel, refusal)):
                    self.purse.settle_unpaid(pending, "unbilled")
                if closed:
                    yield from self._go_on(channel, refusal)
                    raise ChannelGone
                if refusal.code == AcknowledgementMismatch.code:
                    self.purse.retire(channel)  # one of the two has lost its memory: start afresh
                    raise ChannelGone
                raise refusal.error(channel.granted)

    def _holds_nothing(self, channel: OpenChannel, refusal: Refusal) -> Flow[bool]:
        """Whether its provider will show no more of a request. If it is found all the same, it is paid. A
        channel that the chain holds it ought to know too: it has not looked yet, perhaps."""
        if refusal.code == ChannelUnknown.code:
            with suppress(ChainError):
                now = yield from run(lambda: self.on_chain(channel))
                return now.key.epoch != channel.key.epoch or not now.cap
        return refusal.code in (AnswerUnknown.code, AnswerDropped.code)

    def _go_on(self, channel: OpenChannel, refusal: Refusal) -> Flow[None]:
        """In its next epoch, where the chain has begun it: a provider that has forgotten something would have
        to take another session key for lost too."""
        if refusal.code == WrongEpoch.code:
            with suppress(ChainError):
                yield from self.is_over(channel)
        self.purse.retire(channel, "closed")

    def _sending(self, attempt: Attempt, was_sent: bool, effect: Send) -> Flow[Exchange]:
        try:
            return (yield from send(effect))
        except UNSENT:
            attempt.sent = was_sent
            raise

    def _headers(self, attempt: Attempt) -> tuple[Mapping[str, str], Verified[Voucher], Signed[Grant] | None]:
        pending = attempt.pending
        channel = pending.channel
        voucher = self.purse.voucher(channel, request_hash=pending.request_hash, nonce=pending.nonce)
        grant = None if channel.grant_delivered else channel.grant
        credential = Credential(
            voucher=voucher.signed, offer_hash=pending.posted.offer_hash, grant=grant, fetch=attempt.fetch
        )
        headers = _headers(credential)
        headers["accept"] = "text/event-stream" if pending.streamed else "application/json"
        if attempt.expect is not None:
            headers[EXPECT] = expect_text(attempt.expect)
        return headers, voucher, grant

    def _mended(self, attempt: Attempt, refusal: Refusal, tried: Counter[str]) -> Flow[bool]:
        """Whether the provider had forgotten, and got it all from us. First we look whether we have."""
        if refusal.code == AcknowledgementMismatch.code and tried[refusal.code] == 1:
            return False
        channel = attempt.pending.channel
        return (yield from hand_over(self, channel, endpoint_of(attempt.pending.posted.offer)))

    def _remedied(self, attempt: Attempt, refusal: Refusal, tried: Counter[str]) -> Flow[bool]:
        """Whether the same request may be tried again at once."""
        channel, posted = attempt.pending.channel, attempt.pending.posted
        match refusal.code:
            case ChannelUnknown.code | VoucherExceedsCap.code if channel.grant_delivered:
                channel.grant_delivered = False
                return True
            case GrantExpired.code if tried[refusal.code] == 1:
                self._sign_grant(channel, channel.granted)
                return True
            case CapExceeded.code if tried[refusal.code] <= 2 and refusal.terms is not None:
                was_shown, channel.grant_delivered = not channel.grant_delivered, False
                cap = refusal.terms.cap
                if was_shown and (cap <= channel.granted or tried[refusal.code] > 1):
                    return False  # the chain has yet to mine it
                if cap > channel.committed + 2 * posted.offer.credit:
                    return False  # no honest one needs it: credit owed, and credit for this request
                if cap > channel.granted:
                    yield from self.grant(channel, posted, Atoms(0), at_least=cap)
                return True
            case AcknowledgementMismatch.code if tried[refusal.code] == 1:
                yield from catch_up(self, channel, endpoint_of(posted.offer))
                return True
        return False

    # ------------------------------------------------------------------------------------------- grants

    def grant(
        self, channel: OpenChannel, posted: PostedOffer, worst: Atoms, *, at_least: Atoms = Atoms(0)
    ) -> Flow[None]:
        """Makes the channel good for `worst` more atoms, by a grant, if it is not already.

        Raises
        ------
        DepositTooSmall :
            The account on chain does not cover it.
        TotalBudgetExceeded :
            The budget does not.
        """
        required = max(Atoms(channel.committed + worst), at_least)
        if required <= channel.granted:
            return
        covered = yield from run(lambda: self._covered(channel))
        if channel.granted >= required:
            return  # somebody else was faster
        if required > covered:
            raise DepositTooSmall(
                "The account's free atoms do not cover the channel.", required=required, actual=covered
            )
        total = self.purse.budget.total
        if required > total:
            raise TotalBudgetExceeded("The channel would exceed the budget.", required=required, actual=total)
        comfortable = max(required + max(worst, min(posted.offer.credit, total // 8)), 2 * channel.granted)
        share = max(required, total - self.purse.granted_elsewhere(channel))
        self._sign_grant(channel, Atoms(min(comfortable, share, total, covered, _MAX_CAP)))

    def renew_grant(self, channel: OpenChannel) -> None:
        """The same cap, where the grant is about to expire."""
        grant = channel.grant
        if grant is not None and grant.message.deadline < self._now() // 1000 + GRANT_LIFE // 2:
            self._sign_grant(channel, channel.granted)

    def _covered(self, channel: OpenChannel) -> Atoms:
        """The largest cap that the account would cover, were all our grants submitted."""
        account = self._chain.account(self.purse.payer)
        own, promised = Atoms(0), Atoms(0)
        for key, granted in self.purse.open_keys():
            on_chain = self._chain.channel(key.payer, key.provider, key.session_key)
            cap = on_chain.cap if on_chain.key.epoch == key.epoch else Atoms(0)
            if key.id == channel.id:
                own = cap
            elif on_chain.key.epoch == key.epoch:
                promised = Atoms(promised + max(0, granted - cap))
        return Atoms(max(0, own + account.free + account.exiting - promised))

    def _sign_grant(self, channel: OpenChannel, cap: Atoms) -> None:
        grant = Grant(
            payer=channel.key.payer,
            provider=channel.key.provider,
            session_key=channel.key.session_key,
            epoch=channel.key.epoch,
            cap=cap,
            deadline=Timestamp(self._now() // 1000 + GRANT_LIFE),
        )
        signature = self._wallet.sign_hash(digest(self.purse.domain, grant.struct_hash()))
        self.purse.keep_grant(channel, Signed(grant, signature))

    # ------------------------------------------------------------------------------------------- bare ones

    def acknowledge(self, channel: OpenChannel, endpoint: Endpoint) -> Flow[Refusal | None]:
        """A bare voucher for all that is contiguous; the refusal, if it is refused."""
        voucher, grant = self.purse.voucher(channel), None if channel.grant_delivered else channel.grant
        point("voucher.signed")
        count = voucher.message.acknowledgement.receipt_count
        exchange = yield from send(
            self._bare(endpoint, VOUCHERS_PATH, b"", Credential(voucher=voucher.signed, grant=grant))
        )
        body = yield from read_all(exchange, BODY_LIMIT, self._now)
        point("voucher.answered")
        refusal = read_refusal(exchange.status, body) if exchange.status >= 400 else None
        if refusal is not None and refusal.code != VoucherNotGreater.code:
            if refusal.code in (ChannelUnknown.code, VoucherExceedsCap.code):
                channel.grant_delivered = False
            elif refusal.code == GrantExpired.code:
                self.renew_grant(channel)
            return refusal
        # It has one as great, and its answer was lost, or it says so and forgoes what is its own.
        self.purse.mark_delivered(channel, count, grant=grant, durable=True)
        return None

    def ask(
        self,
        channel: OpenChannel,
        endpoint: Endpoint,
        path: str,
        body: bytes,
        *,
        grant: Signed[Grant] | None = None,
    ) -> Flow[bytes | Refusal]:
        """The answer to a question that only the channel's session key may ask."""
        voucher = self.purse.voucher(
            channel, request_hash=request_hash(ZERO_HASH, body), nonce=secrets.randbits(63) | 1
        )
        credential = Credential(voucher=voucher.signed, grant=grant)
        exchange = yield from send(self._bare(endpoint, path, body, credential))
        answer = yield from read_all(exchange, BODY_LIMIT, self._now)
        return answer if exchange.status < 400 else read_refusal(exchange.status, answer)

    def on_chain(self, channel: OpenChannel) -> Channel:
        """In its current epoch, which may be another than ours."""
        key = channel.key
        return self._chain.channel(key.payer, key.provider, key.session_key)

    def is_over(self, channel: OpenChannel) -> Flow[bool]:
        """Whether the chain has ended this epoch. A channel that took requests goes on in the next; raises
        ChainError."""
        now = yield from run(lambda: self.on_chain(channel))
        if now.key.epoch <= channel.key.epoch:
            return False
        point("epoch.over")
        with self.purse.lock:
            if channel.usable:
                self.purse.reopen(channel)
            self.purse.retire(channel, "closed")
        return True

    def _bare(self, endpoint: Endpoint, path: str, body: bytes, credential: Credential) -> Send:
        return Send(endpoint=endpoint, path=path, body=body, headers=_headers(credential), timeout=BACKGROUND)


def endpoint_of(offer: Offer) -> Endpoint:
    return Endpoint(offer.endpoint, offer.endpoint_key)


def _headers(credential: Credential) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "user-agent": "tallystick",
        AUTHORIZATION: authorization(credential),
    }
