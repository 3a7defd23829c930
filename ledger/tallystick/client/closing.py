"""The end of channels: with the provider's signature at once, or by the payer's own request and a notice.

What others send meanwhile (the provider its grant, its settlement, its own close; another process a request)
may make a transaction one that reverts: the channel is looked at anew then, and signed for again.
"""

import logging
import time
from dataclasses import dataclass
from typing import Final

import httpx2
import orjson

from tallystick.chain.errors import TransactionFailed, TransactionReplaced
from tallystick.chain.transaction import Mined
from tallystick.client.clerk import Closer
from tallystick.client.drivers import run_blocking
from tallystick.client.flow import Endpoint, Flow, Sleep
from tallystick.client.mending import hand_over
from tallystick.client.purse import OpenChannel
from tallystick.client.refusals import Refusal
from tallystick.client.session import Session
from tallystick.crash import point
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.errors import ChannelLost, MarketError
from tallystick.protocol.signed import Signed, verify
from tallystick.protocol.units import Atoms, to_hex
from tallystick.protocol.voucher import Close
from tallystick.protocol.wire import CLOSE_PATH, signed_from_json

_LOOKS: Final = 20
_LOOK_S: Final = 0.25
"""How often, and with what pause, a provider is asked for its consent while requests run."""
_TRIES: Final = 4
"""Closes that are sent of one channel, at most, each signed anew."""
_OPENING_LOOKS: Final = 120
"""How often, with the same pause, the chain is asked for a channel that its provider has yet to open."""
_RUNNING: Final = "requests-running"
"""A gateway's code for that."""
_LOG: Final = logging.getLogger("tallystick.client")


@dataclass(frozen=True, slots=True)
class ClosedChannel:
    """A channel that takes no more requests."""

    key: ChannelKey
    paid: Atoms
    """Atoms acknowledged over its whole life."""
    close: Signed[Close] | None
    """The provider's consent, which the payer may submit; None: it did not answer, or another amount."""
    submitted: bool
    """The transaction is mined: the close itself, or the request that starts its notice. Where it is not, the
    next call tries again."""


def close_channels(session: Session) -> list[ClosedChannel]:
    """All that this process has or can lease; what is owed is acknowledged first."""
    session.purse.adopt_all()
    leased = list(session.purse.leased.values())
    return [
        close_channel(session, channel) for channel in leased if channel.granted and channel.state != "closed"
    ]


def close_channel(session: Session, channel: OpenChannel) -> ClosedChannel:
    """One that is leased here."""
    signed, closer, submitted = agreed(session, channel), session.closer, False
    if channel.state == "closed":  # its provider had lost it, and has closed it itself
        return ClosedChannel(channel.key, channel.tally.amount, None, submitted=True)
    if closer is not None:
        try:
            if signed is not None:
                end(session, channel, signed, closer)
            else:
                session.clerk.settling.ask_back(channel, closer)
            submitted = True
        except MarketError as error:
            _LOG.warning("close.failed channel=%s code=%s", to_hex(channel.id), error.code)
    if channel.refused and submitted:
        session.purse.mark_close_requested(channel)
    elif submitted or (closer is None and signed is not None):
        session.purse.retire(channel, "closed")
    return ClosedChannel(channel.key, channel.tally.amount, signed, submitted)


def agreed(session: Session, channel: OpenChannel) -> Signed[Close] | None:
    """The provider's signature to the channel's end at what is acknowledged; None: there is none. Either way
    the channel takes no more requests."""
    try:
        run_blocking(session.pools, session.clerk.settling.settle(channel))
        signed = _consent(session, channel)
    except (httpx2.TransportError, MarketError, orjson.JSONDecodeError) as error:
        _LOG.info("close.refused channel=%s error=%s", to_hex(channel.id), type(error).__name__)
        signed = None
    session.purse.retire(channel)
    return signed


def end(session: Session, channel: OpenChannel, signed: Signed[Close], closer: Closer) -> Mined | None:
    """Sends what both sides have signed; None: another transaction has ended the channel meanwhile. A close
    that something has overtaken is signed and sent once more, and a few times at most.

    Raises
    ------
    ChainError :
        The chain does not take it, or is away. The channel can be closed later.
    """
    tries = 1
    while True:
        point("close.consented")
        try:
            mined = closer.close(channel.key, signed)
        except (TransactionFailed, TransactionReplaced) as error:
            now = _looked_at(session, channel)
            if now.key.epoch > channel.key.epoch:
                return None
            again = agreed(session, channel) if now.cap and tries < _TRIES else None
            if channel.state == "closed":
                return None
            if again is None:
                raise
            _LOG.info("close.overtaken channel=%s code=%s", to_hex(channel.id), error.code)
            signed, tries = again, tries + 1
        else:
            point("close.mined")
            return mined


def _looked_at(session: Session, channel: OpenChannel) -> Channel:
    """As the chain has it. One that owes something and is not there yet is about to be: nobody but its
    provider, which holds the grant, has anything from opening it."""
    looks = _OPENING_LOOKS if channel.tally.amount else 0
    while True:
        now = session.payer.sender.on_chain(channel)
        if now.cap or now.key.epoch > channel.key.epoch or not looks:
            return now
        looks -= 1
        time.sleep(_LOOK_S)


def _consent(session: Session, channel: OpenChannel) -> Signed[Close] | None:
    endpoint = run_blocking(session.pools, session.clerk.settling.endpoint(channel))
    key = session.payer.listing.receipt_key(channel.key.provider)
    if endpoint is None or key is None or channel.refused:
        return None
    answer = run_blocking(session.pools, _asked(session, channel, endpoint))
    if isinstance(answer, Refusal):
        raise answer.error()
    signed = signed_from_json(Close, orjson.loads(answer))
    verify(signed, session.purse.domain, signer=key)
    right = (channel.id, channel.tally.amount)
    return signed if (signed.message.channel_id, signed.message.cumulative_amount) == right else None


def _asked(session: Session, channel: OpenChannel, endpoint: Endpoint) -> Flow[bytes | Refusal]:
    """The provider's answer, once nothing runs on the channel any more, by its own account."""
    sender = session.payer.sender
    for _ in range(_LOOKS):
        answer = yield from sender.ask(channel, endpoint, CLOSE_PATH, b"{}")
        if not isinstance(answer, Refusal):
            break
        if answer.code == ChannelLost.code:
            yield from hand_over(sender, channel, endpoint)
            break
        if answer.code != _RUNNING:
            break
        yield Sleep(_LOOK_S)
    return answer
