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
from tallystick.protocol.channel import Status
from tallystick.protocol.errors import (
    AcknowledgementMismatch,
    ChannelUnknown,
    MalformedMessage,
    ReceiptError,
    WrongSigner,
)
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, Verified, verify
from tallystick.protocol.units import ZERO_HASH
from tallystick.protocol.voucher import Voucher
from tallystick.protocol.wire import receipt_text, signed_from_json, signed_to_json
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
        self._earlier: set[str] = set()
        """Receipt keys that are ours on chain, and not today's."""

    async def half(self, tab: Tab, data: Mapping[str, Any]) -> Half:
        """What the body says, once every signature is checked.

        Raises
        ------
        MalformedMessage, AcknowledgementMismatch :
            It is no half of this channel, or does not begin where ours ends.
        SignatureError, ChainStale :
            Somebody else signed it; or it cannot be said who did.
        """
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
        receipts = [signed_from_json(Receipt, item) for item in listed]
        self._require_dense(tab, [signed.message for signed in receipts])
        for number, signed in enumerate(receipts):
            await self._require_ours(signed)
            if number % _AT_A_TIME == _AT_A_TIME - 1:
                await asyncio.sleep(0)
        return Half(voucher, receipts)

    @staticmethod
    def _require_dense(tab: Tab, receipts: Sequence[Receipt]) -> None:
        """They are of this channel and follow one another, and ours: cheaper to see than a signature."""
        if any(receipt.channel_id != tab.id for receipt in receipts):
            raise MalformedMessage("The receipts are those of this channel.", required="receipts")
        first = receipts[0].sequence if receipts else 0
        expected = range(first, first + len(receipts))
        if first > tab.issued.count or [receipt.sequence for receipt in receipts] != list(expected):
            raise AcknowledgementMismatch(
                "The receipts do not follow ours.", required=tab.issued.count, actual=first
            )

    async def _require_ours(self, signed: Signed[Receipt]) -> None:
        """Raises SignatureError; the chain is asked only about a key that is not today's, and once."""
        try:
            verify(signed, self._books.domain, signer=self._books.receipt_key)
        except WrongSigner as error:
            key = str(error.actual)
            if key not in self._earlier and not await self._grants.was_receipt_key(key):
                raise
            self._earlier.add(key)

    async def put_together(self, tab: Tab, half: Half) -> dict[str, Any]:
        """How far our receipts go now, and our signature to the epoch's end once they reach the voucher.

        Raises
        ------
        RequestsRunning :
            There is nothing to restore while work is done on the channel.
        AcknowledgementMismatch, VoucherExceedsCap :
            The two halves do not fit together.
        ChannelUnknown :
            There is nothing to put together, and we have opened such channels for this account already.
        ChainStale :
            It cannot be said yet whether anything is forgotten.
        """
        if tab.running:
            raise RequestsRunning("Requests run on this channel.", required=0, actual=len(tab.running))
        forgotten = [item for item in half.receipts if item.message.sequence >= tab.issued.count]
        count = half.voucher.message.acknowledgement.receipt_count
        if forgotten:
            await self._take_back(tab, forgotten, count)
        ends = count <= tab.issued.count and self._books.is_lost(tab)
        if ends:
            self._require_worth_opening(tab)
            saved = self._books.acknowledge(tab, half.voucher)
            tab.lost = tab.refusing = True
            await self._books.store.save(self._books.saved(tab), *([saved] if saved else []))
            point("restore.saved")
        return {
            "receiptCount": str(tab.issued.count),
            "close": signed_to_json(self._books.sign_close(tab)) if ends else None,
        }

    def _require_worth_opening(self, tab: Tab) -> None:
        """What the chain does not know we open and close at our own cost. Session keys cost a payer nothing:
        we do it once an account, and once more for each of its channels that has paid what makes one worth
        opening."""
        if tab.issued.count or tab.channel.status is not Status.NONE:
            return
        others = [other for other in self._books.account(tab).tabs.values() if other is not tab]
        unused = sum(other.lost and other.refusing and not other.issued.count for other in others)
        paying = sum(other.paid >= self._grants.policy.minimum_cap for other in others)
        if unused > paying:
            raise ChannelUnknown(
                "The chain knows no such channel, and you show no receipt of it. Go on with your other "
                "channels until one more has paid its way, or open this one yourself.",
                required=unused,
                actual=paying,
            )

    async def _take_back(self, tab: Tab, forgotten: Sequence[Signed[Receipt]], wanted: int) -> None:
        tally = tab.issued
        try:
            for signed in forgotten:
                tally = tally.append(signed.message)
        except ReceiptError as error:
            raise AcknowledgementMismatch(
                "The receipts do not follow ours.", required=tab.issued.count, actual=error.actual
            ) from error
        changes: list[Change] = [
            self._books.restore(tab, signed.message, receipt_text(signed), wanted=wanted)
            for signed in forgotten
        ]
        point("restore.taken")
        await self._books.store.save(self._books.saved(tab), *changes)
