"""A channel whose two halves differ, because one side has forgotten, put together from what both signed.

`catch_up` is for us: the provider shows the largest voucher that carries our own signature, and the receipts
under it. `hand_over` is for the provider: it gets our voucher and its own receipts, settles, and the channel
goes on in its next epoch, because no provider may issue a receipt twice under one sequence.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import httpx2
import orjson

from tallystick.client.errors import ProviderUnreachable
from tallystick.client.flow import Endpoint, Flow, Sleep, run
from tallystick.client.holdings import OpenChannel
from tallystick.client.refusals import Refusal
from tallystick.client.replies import object_in
from tallystick.client.resync import PAGE, Half, ask_half
from tallystick.crash import point
from tallystick.protocol.errors import (
    ChannelNotOpen,
    ChannelUnknown,
    MalformedMessage,
    SignatureError,
    WrongEpoch,
)
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, Verified
from tallystick.protocol.voucher import Close
from tallystick.protocol.wire import RESTORE_PATH, signed_from_json, signed_to_json

if TYPE_CHECKING:
    from tallystick.client.sending import Sender

_AT_A_TIME: Final = 200
"""Receipts handed over in one call: what a provider takes."""
_LOOKS: Final = 240
_LOOK_S: Final = 0.25
"""How often, and with what pause, the chain is asked whether the epoch is over."""


def catch_up(sender: "Sender", channel: OpenChannel, endpoint: Endpoint) -> Flow[bool]:
    """Whether we took back what we had acknowledged on this channel and forgotten.

    Where receipts after that are for requests that we do not know, the channel takes no more requests: what
    we cannot check we do not pay. Nobody is accused of them, we may have forgotten those too. Nor does it
    where the provider does not show all that our voucher acknowledges, each signed by itself.

    Raises
    ------
    ProviderUnreachable :
        It does not say what it holds: the channel takes no request before it has said so.
    ChainUnavailable :
        Nobody says whose signatures they are.
    """
    purse = sender.purse
    try:
        half = yield from _whole_half(sender, channel, endpoint)
    except httpx2.TransportError as error:
        raise ProviderUnreachable(f"{endpoint.url}: {error}") from error
    adopted = False
    if half.voucher is not None and half.count > channel.tally.count:
        proven = yield from _proven(sender, channel, half)
        adopted = proven is not None and purse.adopt(channel, half.voucher, proven)
    asked = {pending.request_hash for pending in purse.open_requests(channel)}
    forgotten = [
        item
        for item in half.receipts
        if not purse.holds(channel, item.message.sequence) and item.message.request_hash not in asked
    ]
    if channel.tally.count < half.count or (forgotten and not channel.confirmed):
        purse.retire(channel)
    channel.confirmed = True
    return adopted


def _whole_half(sender: "Sender", channel: OpenChannel, endpoint: Endpoint) -> Flow[Half]:
    """All that our voucher acknowledges and we lack, if the provider shows it, and what comes after on the
    last page. Each page but the last is full, so there are never more than the voucher makes necessary."""
    start = channel.tally.count
    half = yield from ask_half(sender, channel, endpoint, start)
    if isinstance(half, Refusal):
        yield from _require_nothing_held(sender, channel, endpoint, half)
        return Half(None, ())
    receipts, last = [*half.receipts], len(half.receipts) < PAGE
    while not last and start + len(receipts) < half.count:
        more = yield from ask_half(sender, channel, endpoint, start + len(receipts))
        if isinstance(more, Refusal):
            raise _untold(endpoint, more)
        receipts += more.receipts
        last = len(more.receipts) < PAGE
    return Half(half.voucher, receipts)


def _require_nothing_held(
    sender: "Sender", channel: OpenChannel, endpoint: Endpoint, refusal: Refusal
) -> Flow[None]:
    """Raises ProviderUnreachable, unless the refusal says that there is nothing to take back."""
    if refusal.code in (ChannelNotOpen.code, WrongEpoch.code):
        sender.purse.retire(channel)
        return
    if refusal.code == ChannelUnknown.code:
        now = yield from run(lambda: sender.on_chain(channel))
        if now.key.epoch != channel.key.epoch:
            sender.purse.retire(channel, "closed")
            return
        if not now.cap:
            return  # one that the chain knows it ought to know too: it has not looked yet, perhaps
    raise _untold(endpoint, refusal)


def _untold(endpoint: Endpoint, refusal: Refusal) -> ProviderUnreachable:
    why = refusal.code or refusal.status
    return ProviderUnreachable(f"{endpoint.url} does not say now what it holds of the channel ({why}).")


def _proven(sender: "Sender", channel: OpenChannel, half: Half) -> Flow[list[Verified[Receipt]] | None]:
    """What the voucher acknowledges, if a key that the provider ever named signed all of it."""
    purse, listing, proven = sender.purse, sender.listing, []
    try:
        for item in half.receipts:
            if item.message.sequence < half.count:
                proven.append((yield from listing.proven(purse.domain, channel.key.provider, item)))
                yield Sleep(0)  # others get their turn
    except SignatureError:
        return None
    return proven


def hand_over(sender: "Sender", channel: OpenChannel, endpoint: Endpoint) -> Flow[bool]:
    """Whether the provider had forgotten, and the channel has gone on to its next epoch since."""
    purse = sender.purse
    with purse.lock:
        first = channel.id not in sender.mending
        sender.mending.add(channel.id)
    if not first:
        while channel.id in sender.mending:
            yield Sleep(_LOOK_S)
        return not channel.usable
    try:
        if not channel.usable:
            return True
        if not (yield from _handed(sender, channel, endpoint)):
            return False
        point("half.handed-over")
        provider = channel.key.provider
        for _ in range(1 if provider in sender.slow_to_close else _LOOKS):
            if (yield from sender.is_over(channel)):
                sender.slow_to_close.discard(provider)
                return True
            yield Sleep(_LOOK_S)
        sender.slow_to_close.add(provider)
        return False
    finally:
        sender.mending.discard(channel.id)


def _handed(sender: "Sender", channel: OpenChannel, endpoint: Endpoint) -> Flow[bool]:
    """Our whole half; whether the provider signed the epoch's end at what our voucher says."""
    voucher = sender.purse.voucher(channel)
    sender.renew_grant(channel)
    expected = 0
    listed: list[Signed[Receipt]] = []
    while True:
        body = {
            "voucher": signed_to_json(voucher.signed),
            "receipts": [signed_to_json(item) for item in listed],
        }
        answer = yield from sender.ask(
            channel, endpoint, RESTORE_PATH, orjson.dumps(body), grant=channel.grant
        )
        data = {} if isinstance(answer, Refusal) else object_in(answer)
        if data.get("close") is not None:
            end = Close(channel_id=channel.id, cumulative_amount=voucher.message.cumulative_amount)
            return (yield from _signed(sender, channel, data["close"], end))
        start = _count(data)
        if start < expected:  # it does not take what it gets
            return False
        listed = sender.purse.acknowledged(channel, start, _AT_A_TIME)
        if not listed:
            return False
        expected = start + len(listed)


def _signed(sender: "Sender", channel: OpenChannel, data: object, end: Close) -> Flow[bool]:
    """Whether this is `end`, under a key that the provider named."""
    try:
        signed = signed_from_json(Close, data)
        close = yield from sender.listing.proven(sender.purse.domain, channel.key.provider, signed)
    except (MalformedMessage, SignatureError):
        return False
    return close.message == end


def _count(data: Mapping[str, Any]) -> int:
    text = str(data.get("receiptCount"))
    return int(text) if text.isdecimal() and len(text) < 20 else -1
