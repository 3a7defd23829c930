"""This wallet's own half as documents: receipts that it paid, proven to be what its vouchers acknowledged."""

from collections.abc import Iterable, Sequence

from tallystick.chain.record import Record
from tallystick.client.purse import HeldReceipt, Purse
from tallystick.protocol.acknowledgements import find_settled
from tallystick.protocol.audit import Verdict, check, verdict
from tallystick.protocol.documents import ChannelDocument, ReceiptDocument, proofs
from tallystick.protocol.errors import ChannelUnknown
from tallystick.protocol.facts import Facts
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import ChannelId, to_hex
from tallystick.protocol.voucher import Acknowledgement


class Halves:
    """What the purse holds, beside what the chain has settled."""

    def __init__(self, purse: Purse, record: Record):
        self._purse = purse
        self._record = record
        self._held = purse.held_receipts()
        self._asked = purse.asked()

    def documents(self, chosen: Iterable[HeldReceipt]) -> list[ReceiptDocument]:
        """One for each of these: proven under what was settled, else under what vouchers acknowledge now."""
        wanted = {(item.receipt.message.channel_id, item.receipt.message.sequence) for item in chosen}
        return [
            document
            for channel_id in sorted({channel_id for channel_id, _ in wanted})
            for document in self.documents_of(channel_id)
            if (channel_id, document.signed.message.sequence) in wanted
        ]

    def channel(self, text: str) -> ChannelDocument:
        """The channel whose id begins so, whole; raises ChannelUnknown."""
        ids = {item.receipt.message.channel_id for item in self._held}
        named = [item for item in ids if to_hex(item).startswith(text.lower())]
        if len(named) != 1:
            raise ChannelUnknown(
                f"{text} is the beginning of {len(named)} channels that receipts are held of."
            )
        (channel_id,) = named
        facts = self._record.facts(channel_id, ())
        if facts.channel is None:
            raise ChannelUnknown(f"The chain has not seen the channel {to_hex(channel_id)} yet.")
        receipts = self._receipts(channel_id)
        return ChannelDocument(
            domain=self._purse.domain,
            channel=facts.channel,
            receipts=receipts,
            acknowledgements=self._acknowledged(receipts, facts),
            voucher=self._purse.last_voucher(channel_id),
        )

    def documents_of(self, channel_id: ChannelId) -> list[ReceiptDocument]:
        """Of a whole channel. What comes after a gap is not acknowledged yet, and is shown without proof."""
        receipts = self._receipts(channel_id)
        whole = [item for place, item in enumerate(receipts) if item.message.sequence == place]
        settled = self._acknowledged(whole, self._record.facts(channel_id, ()))
        documents = proofs(self._purse.domain, whole, settled, self._purse.last_voucher(channel_id))
        rest = receipts[len(whole) :]
        return documents + [ReceiptDocument(signed=item, domain=self._purse.domain) for item in rest]

    def _receipts(self, channel_id: ChannelId) -> list[Signed[Receipt]]:
        found = [item.receipt for item in self._held if item.receipt.message.channel_id == channel_id]
        return sorted(found, key=lambda signed: signed.message.sequence)

    def _acknowledged(self, receipts: Sequence[Signed[Receipt]], facts: Facts) -> list[Acknowledgement]:
        if not receipts:
            return []
        channel_id = receipts[0].message.channel_id
        requests = [(hashed, nonce) for channel, hashed, nonce in self._asked if channel == channel_id]
        return find_settled([item.message for item in receipts], requests, facts.settlements)


def only_paid(record: Record, documents: Iterable[ReceiptDocument]) -> list[ReceiptDocument]:
    """Those that are proven to be paid: what an explorer takes."""
    found = []
    for document in documents:
        receipt = document.signed.message
        facts = record.facts(receipt.channel_id, (receipt.offer_hash,))
        if verdict(check(document, facts)) is Verdict.PAID:
            found.append(document)
    return found
