"""What can wait, done by one thread: bare vouchers, answers that were cut, offers that are getting old.

The caller's thread or event loop never waits for it. It runs the same flows as everybody, by blocking. What
it cannot do (the provider is away, the process ends) stays in the purse for the next time.
"""

import logging
import time
from threading import Condition, Event, Thread
from typing import Final, Protocol

import httpx2

from tallystick.chain.errors import TransactionFailed
from tallystick.chain.transaction import Mined
from tallystick.client.ask import read_ask
from tallystick.client.attempts import Attempt, Call
from tallystick.client.drivers import run_blocking
from tallystick.client.errors import ProviderUnreachable
from tallystick.client.evidence import contradiction
from tallystick.client.flow import Endpoint, Flow, read_all
from tallystick.client.listing import Listing
from tallystick.client.mending import catch_up, hand_over
from tallystick.client.outcome import Outcome
from tallystick.client.payer import Payer
from tallystick.client.pools import Pools
from tallystick.client.purse import OpenChannel, Pending, Purse
from tallystick.client.receiver import Truncated
from tallystick.client.refusals import Refusal
from tallystick.client.resync import ask_half
from tallystick.client.sending import BACKGROUND, BODY_LIMIT, FORGETFUL, ChannelGone, Sender, endpoint_of
from tallystick.client.sinks import Discard
from tallystick.crash import point
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.errors import MarketError, ReceiptMismatch, SignatureError, WrongEpoch
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Address, to_hex
from tallystick.protocol.voucher import Close
from tallystick.reach import reachable_safely

_RETRIES: Final = (0.5, 2.0, 5.0, 15.0, 60.0, 120.0, 300.0)
"""Seconds before each repetition where a provider is away or still at work; the last again and again."""
_FETCHING: Final = {**BACKGROUND, "read": 5.0}
"""Timeouts of a fetch: an answer that is not ready must not keep the clerk from its vouchers."""
_FORGOTTEN_AFTER: Final = 600_000
"""Milliseconds after which a lost request stops holding a part of the budget; it is paid if it is found."""
_CLOSING_S: Final = 5.0
"""Seconds that the end of a process waits for what is left to do, with all providers together."""
_LOG: Final = logging.getLogger("tallystick.client")


class Closer(Protocol):
    """Sends the transactions that end channels. `chain.Market` with a sender is one."""

    def close(self, key: ChannelKey, signed: Signed[Close]) -> Mined: ...

    def request_close(self, provider: Address, session_key: Address) -> object: ...


class Settling:
    """The flows: what is owed, acknowledged; what is missing, fetched and judged."""

    def __init__(self, payer: Payer):
        self._payer = payer
        self._purse: Purse = payer.purse
        self._sender: Sender = payer.sender
        self._endpoints: dict[bytes, Endpoint] = {}

    def settle(self, channel: OpenChannel) -> Flow[bool]:
        """Leaves nothing open on this channel that can be closed; False: something may be later.

        Raises
        ------
        httpx2.TransportError, MarketError :
            The provider is away, or answers nonsense.
        """
        if channel.refused or channel.state == "closed":
            for pending in self._purse.lost_requests(channel):
                self._purse.settle_unpaid(pending, "refused" if channel.refused else "void")
            return True
        endpoint = yield from self.endpoint(channel)
        if endpoint is None:
            return True
        try:
            if not channel.confirmed:
                yield from catch_up(self._sender, channel, endpoint)
            yield from self._acknowledge(channel, endpoint)
            for pending in self._purse.lost_requests(channel):
                yield from self._fetch(pending, endpoint)
            if channel.waiting or self._purse.lost_requests(channel):
                yield from self._recover(channel, endpoint)
            yield from self._acknowledge(channel, endpoint)
            yield from self._payer.ratings.publish(channel)
        finally:
            self._forget(channel)
        return not self._purse.lost_requests(channel)

    def _acknowledge(self, channel: OpenChannel, endpoint: Endpoint) -> Flow[None]:
        if channel.tally.count > channel.delivered and not channel.refused:
            refusal = yield from self._sender.acknowledge(channel, endpoint)
            if refusal is None:
                return
            _LOG.info("voucher.refused channel=%s code=%s", to_hex(channel.id), refusal.code)
            if refusal.code in FORGETFUL:
                yield from hand_over(self._sender, channel, endpoint)
            if refusal.code == WrongEpoch.code:  # what is not acknowledged by now can never be
                yield from self._sender.is_over(channel)

    def _recover(self, channel: OpenChannel, endpoint: Endpoint) -> Flow[None]:
        """Finds the receipts that are missing, and the answers that they are for."""
        for signed in (yield from self._missing(channel, endpoint)):
            held = self._purse.holds(channel, signed.message.sequence)  # with one before it, perhaps
            if not held and not (yield from self._find_answer(channel, signed, endpoint)):
                break

    def _find_answer(self, channel: OpenChannel, signed: Signed[Receipt], endpoint: Endpoint) -> Flow[bool]:
        """Whether the receipt is held afterwards."""
        receipt = signed.message
        asked = [
            item for item in self._purse.open_requests(channel) if item.request_hash == receipt.request_hash
        ]
        for pending in asked:
            if pending.nonce in self._purse.active:
                continue
            yield from self._fetch(pending, endpoint)
            if self._purse.holds(channel, receipt.sequence):
                return True
        if asked:
            return False  # still on its way: later ones have to wait
        if self._purse.holds(channel, receipt.sequence):
            return True
        if self._purse.was_given_up(channel, receipt.request_hash):
            self._purse.retire(channel)  # worked on after it was refused, for nobody: not paid, and no lie
            return False
        reason = ReceiptMismatch("The receipt is for a request that was never made.")
        yield from self._refuse(channel, signed, reason)
        return False

    def _fetch(self, pending: Pending, endpoint: Endpoint) -> Flow[None]:
        """The answer as its provider has it, for its receipts. What cannot be had now stays open."""
        ask = read_ask(pending.path, pending.body)
        attempt = Attempt(pending, ask, sent=True, fetch=True)
        outcome = Outcome(pending.posted, pending.channel.id, pending.nonce)
        reception = self._payer.receiver.reception(pending, ask)
        call = Call(path=pending.path, body=pending.body, timeout=_FETCHING)
        try:
            exchange = yield from self._sender.accepted(attempt, call)
            if exchange.headers.get("content-type", "").startswith("text/event-stream"):
                yield from self._payer.receiver.read_stream(exchange, attempt, reception, outcome, Discard())
            else:
                body = yield from read_all(exchange, BODY_LIMIT, self._payer.now)
                yield from self._payer.receiver.read_whole(exchange, body, attempt, reception, outcome)
        except Truncated:
            missing = yield from self._missing(pending.channel, endpoint)
            if all(signed.message.request_hash != pending.request_hash for signed in missing):
                self._purse.settle_unpaid(pending, "unbilled")
        except (httpx2.TransportError, MarketError, ChannelGone) as error:
            _LOG.info("fetch.failed nonce=%d error=%s", pending.nonce, type(error).__name__)
        finally:
            if (watched := self._payer.outcomes.of(pending.nonce)) is not None:
                watched.learn(outcome, done=pending.nonce not in pending.channel.running)

    def _missing(self, channel: OpenChannel, endpoint: Endpoint) -> Flow[list[Signed[Receipt]]]:
        """What the provider issued and we do not hold, in order. Nothing of it is proven."""
        half = yield from ask_half(self._sender, channel, endpoint, channel.tally.count)
        issued = () if isinstance(half, Refusal) else half.receipts
        for signed in issued:
            if (held := self._purse.waiting_there(channel, signed.message)) is not None:
                yield from self._refuse(channel, signed, contradiction(signed.message, held))
        return [signed for signed in issued if not self._purse.holds(channel, signed.message.sequence)]

    def _forget(self, channel: OpenChannel) -> None:
        for pending in self._purse.lost_requests(channel):
            if self._payer.now() - pending.sent_at > _FORGOTTEN_AFTER:
                self._purse.settle_unpaid(pending, "unbilled")

    def _refuse(self, channel: OpenChannel, signed: Signed[Receipt], reason: MarketError) -> Flow[None]:
        """If it is the provider's word at all."""
        try:
            yield from self._payer.listing.proven(self._purse.domain, channel.key.provider, signed)
        except SignatureError:
            return  # nobody's word
        self._purse.evidence.refuse(channel, signed, reason)

    def ask_back(self, channel: OpenChannel, closer: Closer) -> None:
        """The channel's rest, unless somebody has: a process that is dead since, or its provider, which ended
        it. Raises ChainError."""
        if not self._is_held(channel):
            return
        try:
            closer.request_close(channel.key.provider, channel.key.session_key)
        except TransactionFailed:
            if self._is_held(channel):
                raise
        else:
            point("close.requested")

    def _is_held(self, channel: OpenChannel) -> bool:
        """Its epoch goes on, and no notice runs."""
        now = self._sender.on_chain(channel)
        return now.key.epoch == channel.key.epoch and not now.closes_at

    def endpoint(self, channel: OpenChannel) -> Flow[Endpoint | None]:
        for posted in (yield from self._payer.listing.offers()):
            ours = posted.offer.provider == channel.key.provider
            if ours and reachable_safely(posted.offer, local=self._payer.local):
                self._endpoints[channel.key.provider] = endpoint_of(posted.offer)
        if (known := self._endpoints.get(channel.key.provider)) is not None:
            return known
        for pending in self._purse.open_requests(channel):
            return endpoint_of(pending.posted.offer)
        return None


class Clerk:
    """The thread. It starts when there is something to do."""

    def __init__(self, pools: Pools, *, closer: Closer | None = None):
        self._pools = pools
        self._closer = closer
        self._due: dict[OpenChannel, float] = {}
        self._failures: dict[OpenChannel, int] = {}
        self._refresh = False
        self._closing = False
        self._over = False
        self._changed = Condition()
        self._at_work: set[OpenChannel] = set()
        self._adopted = Event()
        """What other processes left behind is leased."""
        self._thread: Thread | None = None
        self.settling: Settling
        self._purse: Purse
        self._sender: Sender
        self._listing: Listing

    def attend(self, payer: Payer) -> None:
        """Whose clerk this is; once."""
        self.settling, self._purse = Settling(payer), payer.purse
        self._sender, self._listing = payer.sender, payer.listing

    def settle(self, channel: OpenChannel, *, within: float) -> None:
        with self._changed:
            due = time.monotonic() + within
            self._due[channel] = min(due, self._due.get(channel, due))
            self._wake()

    def refresh(self) -> None:
        with self._changed:
            self._refresh = True
            self._wake()

    def close(self) -> None:
        """Does at once what is left to do, with all providers side by side, and ends within seconds. What one
        of them holds up stays in the purse for the next process."""
        until = time.monotonic() + _CLOSING_S
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        threads = []
        if self._thread is not None:
            self._adopted.wait(_CLOSING_S)
            threads.append(self._thread)
        for channel in list(self._purse.leased.values()):
            threads.append(Thread(target=self._settle_now, args=(channel,), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._over = True

    def _wake(self) -> None:
        if self._thread is None and not self._closing:
            self._thread = Thread(target=self._work, name="tallystick-clerk", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        try:
            for channel in self._purse.adopt_unsettled(refused=self._closer is not None):
                self.settle(channel, within=0)
        finally:
            self._adopted.set()
        while True:
            with self._changed:
                while not (due := self._next()):
                    if self._closing:
                        return
                    earliest = min(self._due.values(), default=None)
                    self._changed.wait(None if earliest is None else max(0.0, earliest - time.monotonic()))
                refresh, self._refresh = self._refresh, False
            if refresh:
                self._refresh_now()
            for channel in due if isinstance(due, list) else ():
                if not self._closing:
                    self._settle_now(channel)

    def _next(self) -> list[OpenChannel] | bool:
        now = time.monotonic()
        due = [channel for channel, when in self._due.items() if when <= now]
        for channel in due:
            del self._due[channel]
        return due or self._refresh

    def _settle_now(self, channel: OpenChannel) -> None:
        with self._changed:
            self._changed.wait_for(lambda: channel not in self._at_work)
            self._at_work.add(channel)
        try:
            self._settle_alone(channel)
        finally:
            with self._changed:
                self._at_work.discard(channel)
                self._changed.notify_all()

    def _settle_alone(self, channel: OpenChannel) -> None:
        try:
            if channel.state == "refused" and self._closer is not None:
                self.settling.ask_back(channel, self._closer)
                self._purse.mark_close_requested(channel)
            if run_blocking(self._pools, self.settling.settle(channel), over=lambda: self._over):
                self._failures.pop(channel, None)
            else:
                self._settle_later(channel)
        except (httpx2.TransportError, ProviderUnreachable) as error:
            _LOG.info(
                "settle.failed provider=%s error=%s", to_hex(channel.key.provider), type(error).__name__
            )
            self._settle_later(channel)
        except MarketError as error:
            _LOG.warning("settle.failed provider=%s code=%s", to_hex(channel.key.provider), error.code)
            if error.retryable:
                self._settle_later(channel)
        except Exception:  # noqa: BLE001  # one channel's trouble must not end the clerk
            if self._over:
                return  # too late for the purse, which is closed
            _LOG.exception("settle.failed provider=%s", to_hex(channel.key.provider))

    def _settle_later(self, channel: OpenChannel) -> None:
        failures = self._failures[channel] = self._failures.get(channel, 0) + 1
        if not self._closing:
            self.settle(channel, within=_RETRIES[min(failures, len(_RETRIES)) - 1])

    def _refresh_now(self) -> None:
        try:
            self._listing.refresh()
        except Exception as error:  # noqa: BLE001  # whatever a directory raises: the old offers still serve
            _LOG.info("offers.stale error=%s", type(error).__name__)
