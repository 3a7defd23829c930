"""The end of channels: with the provider's signature at once, or by the payer's own request and a notice."""

import logging
from dataclasses import dataclass
from typing import Final

import httpx2
import orjson

from tallystick.client.drivers import run_blocking
from tallystick.client.flow import Endpoint, Flow, Sleep
from tallystick.client.mending import hand_over
from tallystick.client.purse import OpenChannel
from tallystick.client.refusals import Refusal
from tallystick.client.session import Session
from tallystick.crash import point
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.errors import ChannelLost, MarketError
from tallystick.protocol.signed import Signed, verify
from tallystick.protocol.units import Atoms, to_hex
from tallystick.protocol.voucher import Close
from tallystick.protocol.wire import CLOSE_PATH, signed_from_json

_LOOKS: Final = 20
_LOOK_S: Final = 0.25
"""How often, and with what pause, a provider is asked for its consent while requests run."""
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
    """The provider's consent, which anyone may submit; None: it did not answer, or another amount."""
    submitted: bool
    """The transaction is mined: the close itself, or the request that starts its notice."""


def close_channels(session: Session) -> list[ClosedChannel]:
    """All that this process has or can lease; what is owed is acknowledged first."""
    session.purse.adopt_all()
    leased = list(session.purse.leased.values())
    return [
        close_channel(session, channel) for channel in leased if channel.granted and channel.state != "closed"
    ]


def close_channel(session: Session, channel: OpenChannel) -> ClosedChannel:
    """One that is leased here."""
    try:
        run_blocking(session.pools, session.clerk.settling.settle(channel))
        signed = _consent(session, channel)
    except (httpx2.TransportError, MarketError, orjson.JSONDecodeError) as error:
        _LOG.info("close.refused channel=%s error=%s", to_hex(channel.id), type(error).__name__)
        signed = None
    if channel.state == "closed":  # its provider had lost it, and has closed it itself
        return ClosedChannel(channel.key, channel.tally.amount, None, submitted=True)
    submitted = _submitted(session, channel, signed)
    if channel.refused and submitted:
        session.purse.mark_close_requested(channel)
    else:
        session.purse.retire(channel, "closed" if signed is not None or submitted else "retired")
    return ClosedChannel(channel.key, channel.tally.amount, signed, submitted)


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


def _submitted(session: Session, channel: OpenChannel, signed: Signed[Close] | None) -> bool:
    if session.closer is None:
        return False
    try:
        if signed is not None:
            point("close.consented")
            session.closer.close(channel.key, signed)
            point("close.mined")
        else:
            session.closer.request_close(channel.key.provider, channel.key.session_key)
    except MarketError as error:
        _LOG.warning("close.failed channel=%s code=%s", to_hex(channel.id), error.code)
        return False
    return True
