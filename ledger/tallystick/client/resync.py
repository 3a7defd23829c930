"""A provider's half of a channel, as it answers `resync`. Nobody else reads that answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from tallystick.client.errors import ProviderUnreachable
from tallystick.client.flow import Endpoint, Flow
from tallystick.client.holdings import OpenChannel
from tallystick.client.refusals import Refusal
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import MalformedMessage, SignatureError
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, verify
from tallystick.protocol.voucher import Voucher
from tallystick.protocol.wire import RESYNC_PATH, signed_from_json

if TYPE_CHECKING:
    from tallystick.client.sending import Sender

PAGE: Final = 1_000
"""Receipts in one answer; one that has fewer is the last."""


@dataclass(frozen=True, slots=True)
class Half:
    """What a provider shows."""

    voucher: Voucher | None
    """The largest of ours that it holds: this channel's own key signed it."""
    receipts: Sequence[Signed[Receipt]]
    """Of this channel, dense from the sequence that was asked for. No signature is checked."""

    @property
    def count(self) -> int:
        """Receipts that we had acknowledged."""
        return 0 if self.voucher is None else self.voucher.acknowledgement.receipt_count


def ask_half(
    sender: "Sender", channel: OpenChannel, endpoint: Endpoint, start: int
) -> Flow["Half | Refusal"]:
    """One page, from sequence `start` on.

    Raises
    ------
    ProviderUnreachable :
        The answer is none.
    httpx2.TransportError :
        It did not come.
    """
    answer = yield from sender.ask(channel, endpoint, RESYNC_PATH, orjson.dumps({"fromSequence": str(start)}))
    if isinstance(answer, Refusal):
        return answer
    try:
        return _read(answer, channel, sender.purse.domain, start)
    except (MalformedMessage, SignatureError) as error:
        raise ProviderUnreachable(f"{endpoint.url} does not say what it holds of the channel.") from error


def _read(answer: bytes, channel: OpenChannel, domain: Domain, start: int) -> Half:
    """Raises MalformedMessage or SignatureError."""
    try:
        data = orjson.loads(answer)
        listed, shown = data["receipts"], data["voucher"]
        receipts = [signed_from_json(Receipt, item) for item in listed[: PAGE + 1]]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise MalformedMessage("The answer is not of resync's shape.") from error
    places = [(item.message.channel_id, item.message.sequence) for item in receipts]
    if len(receipts) > PAGE or places != [(channel.id, start + place) for place in range(len(receipts))]:
        raise MalformedMessage("The receipts are not those that follow in this channel.", required=start)
    if shown is None:
        return Half(None, receipts)
    voucher = verify(signed_from_json(Voucher, shown), domain, signer=channel.session.address).message
    if voucher.channel_id != channel.id:
        raise MalformedMessage("The voucher is of another channel.")
    return Half(voucher, receipts)
