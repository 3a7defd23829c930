"""A channel of which this provider has forgotten something, put together again from its payer's half.

Receipts are believed because they carry our own signature, and the voucher because it carries the payer's.
What the payer hides is its gain: at most what was not settled yet. No receipt is ever issued on such an epoch
again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tallystick.crash import point
from tallystick.protocol.errors import (
    AcknowledgementMismatch,
    ChannelUnknown,
    MalformedMessage,
    ReceiptError,
    WrongEpoch,
    WrongSigner,
)
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, Verified, verify
from tallystick.protocol.units import ZERO_HASH
from tallystick.protocol.voucher import Voucher
from tallystick.protocol.wire import Credential, receipt_text, signed_from_json, signed_to_json
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.errors import RequestsRunning
from tallystick_node.gateway.grants import Grants
from tallystick_node.gateway.tab import Tab
from tallystick_node.store.records import Change

RESTORE_LIMIT: Final = 200
"""Receipts in one call: some 15 ms of checking."""
_AT_A_TIME: Final = 20
"""Receipts checked before others get their turn."""


@dataclass(frozen=True, slots=True)
class Half:
    """What a payer hands over in one call."""

    voucher: Verified[Voucher]
    receipts: Sequence[Signed[Receipt]]
    """Of our own making, in sequence."""


class Restorer:
    def __init__(self, books: Books, grants: Grants):
        self._books = books
        self._grants = grants

    async def tab(self, credential: Credential) -> Tab:
        """The channel, opened by the grant that came along where we do not know it; whose session key signed
        the credential's voucher. Raises ChannelUnknown, WrongEpoch, SignatureError or what the grant is
        refused for."""
        voucher, grant = credential.voucher.message, credential.grant
        known = self._books.tabs.get(voucher.channel_id)
        if known is None and grant is None:
            raise ChannelUnknown("This provider knows no such channel. Send a grant along.")
        if grant is not None and self._grants.worth(known, grant):
            self._grants.require_ours(grant, voucher.channel_id)
        else:
            grant = None
        key = known.channel.key if known is not None else credential.grant.message.channel  # type: ignore[union-attr]
        verify(credential.voucher, self._books.domain, signer=key.session_key)
        tab = known if grant is None else await self._grants.accept(grant)
        assert tab is not None
        if tab.closed:
            raise WrongEpoch("This epoch of the channel was closed.", actual=tab.channel.key.epoch)
        return tab

    async def half(self, tab: Tab, data: Mapping[str, Any]) -> Half:
        """What the body says, once every signature is checked."""
        domain = self._books.domain
        voucher = verify(
            signed_from_json(Voucher, data.get("voucher")), domain, signer=tab.channel.key.session_key
        )
        if voucher.message.channel_id != tab.id or voucher.message.acknowledgement.request_hash != ZERO_HASH:
            raise MalformedMessage("The voucher is a bare one of this channel.", required="voucher")
        listed = data.get("receipts")
        if not isinstance(listed, list) or len(listed) > RESTORE_LIMIT:
            raise MalformedMessage(
                "The receipts are a list, and not too many at a time.", required=RESTORE_LIMIT
            )
        receipts = []
        for number, item in enumerate(listed):
            receipts.append(signed_from_json(Receipt, item))
            await self._require_ours(receipts[-1])
            if number % _AT_A_TIME == _AT_A_TIME - 1:
                await asyncio.sleep(0)
        if any(signed.message.channel_id != tab.id for signed in receipts):
            raise MalformedMessage("The receipts are those of this channel.", required="receipts")
        return Half(voucher, receipts)

    async def _require_ours(self, signed: Signed[Receipt]) -> None:
        """Raises SignatureError; the chain is asked only about a key that is not today's."""
        try:
            verify(signed, self._books.domain, signer=self._books.receipt_key)
        except WrongSigner as error:
            if not await self._grants.was_receipt_key(str(error.actual)):
                raise

    async def put_together(self, tab: Tab, half: Half) -> dict[str, Any]:
        """How far our receipts go now, and our signature to the epoch's end once they reach the voucher.

        Raises
        ------
        RequestsRunning :
            There is nothing to restore while work is done on the channel.
        AcknowledgementMismatch, VoucherExceedsCap :
            The two halves do not fit together.
        """
        if tab.running:
            raise RequestsRunning("Requests run on this channel.", required=0, actual=len(tab.running))
        forgotten = [item for item in half.receipts if item.message.sequence >= tab.issued.count]
        if forgotten:
            await self._take_back(tab, forgotten)
        count = half.voucher.message.acknowledgement.receipt_count
        ends = tab.lost and count <= tab.issued.count
        if ends:
            saved = self._books.acknowledge(tab, half.voucher)
            tab.refusing = True
            await self._books.store.save(self._books.saved(tab), *([saved] if saved else []))
            point("restore.saved")
        return {
            "receiptCount": str(tab.issued.count),
            "close": signed_to_json(self._books.sign_close(tab)) if ends else None,
        }

    async def _take_back(self, tab: Tab, forgotten: Sequence[Signed[Receipt]]) -> None:
        tally = tab.issued
        try:
            for signed in forgotten:
                tally = tally.append(signed.message)
        except ReceiptError as error:
            raise AcknowledgementMismatch(
                "The receipts do not follow ours.", required=tab.issued.count, actual=error.actual
            ) from error
        changes: list[Change] = [
            self._books.restore(tab, signed.message, receipt_text(signed)) for signed in forgotten
        ]
        point("restore.taken")
        await self._books.store.save(self._books.saved(tab), *changes)
