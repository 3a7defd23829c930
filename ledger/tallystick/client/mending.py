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
from tallystick.crash import point
from tallystick.protocol.errors import MalformedMessage, SignatureError
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, verify
from tallystick.protocol.voucher import Voucher
from tallystick.protocol.wire import RESTORE_PATH, RESYNC_PATH, signed_from_json, signed_to_json

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
    we cannot check we do not pay. Nobody is accused of them, we may have forgotten those too.

    Raises
    ------
    ProviderUnreachable :
        It cannot be asked.
    """
    purse = sender.purse
    start = channel.tally.count
    try:
        held, listed = yield from _shown(sender, channel, endpoint, start)
        count = 0 if held is None else held.acknowledgement.receipt_count
        while listed and listed[-1].message.sequence + 1 < count:
            more = (yield from _shown(sender, channel, endpoint, listed[-1].message.sequence + 1))[1]
            if not more:
                break
            listed += more
    except httpx2.TransportError as error:
        raise ProviderUnreachable(f"{endpoint.url}: {error}") from error
    adopted = held is not None and purse.adopt(channel, held, listed)
    asked = {pending.request_hash for pending in purse.open_requests(channel)}
    forgotten = [
        item
        for item in listed
        if not purse.holds(channel, item.message.sequence) and item.message.request_hash not in asked
    ]
    if channel.tally.count < count or (forgotten and not channel.confirmed):
        purse.retire(channel)
    channel.confirmed = True
    return adopted


def _shown(
    sender: "Sender", channel: OpenChannel, endpoint: Endpoint, start: int
) -> Flow[tuple[Voucher | None, list[Signed[Receipt]]]]:
    """Our own largest voucher, as the provider holds it, and what it issued from `start` on."""
    answer = yield from sender.ask(channel, endpoint, RESYNC_PATH, orjson.dumps({"fromSequence": str(start)}))
    if isinstance(answer, Refusal):
        return None, []
    try:
        data = orjson.loads(answer)
        listed = [signed_from_json(Receipt, item) for item in data["receipts"]]
        if data["voucher"] is None:
            return None, listed
        shown = signed_from_json(Voucher, data["voucher"])
        held = verify(shown, sender.purse.domain, signer=channel.session.address).message
    except (orjson.JSONDecodeError, KeyError, TypeError, MalformedMessage, SignatureError):
        return None, []
    return (held if held.channel_id == channel.id else None), listed


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
        for _ in range(_LOOKS):
            if (yield from run(lambda: sender.on_chain(channel))).key.epoch > channel.key.epoch:
                point("epoch.over")
                purse.reopen(channel)
                return True
            yield Sleep(_LOOK_S)
        return False
    finally:
        sender.mending.discard(channel.id)


def _handed(sender: "Sender", channel: OpenChannel, endpoint: Endpoint) -> Flow[bool]:
    """Our whole half; whether the provider signed the epoch's end."""
    voucher = signed_to_json(sender.purse.voucher(channel).signed)
    sender.renew_grant(channel)
    start, before = 0, -1
    listed: list[Signed[Receipt]] = []
    while start > before:
        body = {"voucher": voucher, "receipts": [signed_to_json(item) for item in listed]}
        answer = yield from sender.ask(
            channel, endpoint, RESTORE_PATH, orjson.dumps(body), grant=channel.grant
        )
        data = {} if isinstance(answer, Refusal) else _object(answer)
        if data.get("close") is not None:
            return True
        before, start = start if listed else -1, _count(data)
        listed = sender.purse.acknowledged(channel, start, _AT_A_TIME)
        if not listed:
            return False
    return False


def _object(answer: bytes) -> Mapping[str, Any]:
    try:
        data = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}


def _count(data: Mapping[str, Any]) -> int:
    text = str(data.get("receiptCount"))
    return int(text) if text.isdecimal() and len(text) < 20 else -1
