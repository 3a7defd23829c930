"""Checking receipts after the fact, with nothing but the parties' own signatures and the posted offer.

What a payer checks while an answer comes in needs the answer; this needs it no more. It reads no chain.
"""

from collections.abc import Iterable

from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import ReceiptDoesNotAddUp, ReceiptMismatch
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, Verified, verify
from tallystick.protocol.units import Address, to_hex
from tallystick.protocol.voucher import Tally


def audited(
    signed: Signed[Receipt], offer: Offer, domain: Domain, *, receipt_key: Address
) -> Verified[Receipt]:
    """The receipt, once it is proven to be the provider's, under this offer, at its price.

    Raises
    ------
    SignatureError :
        `receipt_key` did not sign it.
    ReceiptMismatch :
        It names another offer.
    ReceiptDoesNotAddUp :
        Its cost is not the offer's price of its counts.
    """
    receipt = signed.message
    verified = verify(signed, domain, signer=receipt_key)
    if receipt.offer_hash != (offer_hash := offer.struct_hash()):
        raise ReceiptMismatch(
            "The receipt is under another offer.",
            required=to_hex(offer_hash),
            actual=to_hex(receipt.offer_hash),
        )
    require_price(receipt, offer)
    return verified


def require_price(receipt: Receipt, offer: Offer) -> None:
    """Cost = price · counts, rounded up once; raises ReceiptDoesNotAddUp."""
    if receipt.cached_input_tokens > receipt.input_tokens:
        raise ReceiptDoesNotAddUp(
            "More input is billed as cached than there was.",
            required=receipt.input_tokens,
            actual=receipt.cached_input_tokens,
        )
    required = cost_up(
        offer,
        input_tokens=receipt.input_tokens,
        cached_input_tokens=receipt.cached_input_tokens,
        output_tokens=receipt.output_tokens,
    )
    if receipt.cost != required:
        raise ReceiptDoesNotAddUp(
            "The receipt's cost is not the offer's price of its counts.",
            required=required,
            actual=receipt.cost,
        )


def tally_of(receipts: Iterable[Receipt]) -> Tally:
    """Of one channel's receipts, in any order: dense from the first, each sum right.

    Raises
    ------
    ReceiptNotContiguous, ReceiptDoesNotAddUp :
        One is missing, or a sum is off.
    """
    tally = Tally()
    for receipt in sorted(receipts, key=lambda receipt: receipt.sequence):
        tally = tally.append(receipt)
    return tally
