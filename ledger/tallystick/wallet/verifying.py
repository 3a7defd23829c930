"""What can be said of a receipt by everybody: from its own signature, and from what the chain recorded."""

from dataclasses import dataclass
from pathlib import Path

from tallystick.chain.history import opening_of, posted_offer
from tallystick.chain.market import Market
from tallystick.protocol.audit import require_price
from tallystick.protocol.eip712 import digest
from tallystick.protocol.errors import MarketError, OfferUnknown, WrongSigner
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, recover
from tallystick.protocol.units import Address, to_hex
from tallystick.protocol.wire import signed_from_json
from tallystick.wallet.json_file import read_json_file


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one receipt."""

    signed: Signed[Receipt]
    provider: Address | None
    """Whose offer it is under; None: nobody's on this market."""
    trouble: str | None
    """None: it is the provider's word, under its offer, at its price."""
    channel_opened: bool
    """False: the chain has not seen its channel (yet): a grant may be on its way."""


def read_receipts(path: Path) -> list[Signed[Receipt]]:
    """Raises MalformedMessage."""
    data = read_json_file(path)
    return [signed_from_json(Receipt, entry) for entry in (data if isinstance(data, list) else [data])]


def verdict(market: Market, signed: Signed[Receipt]) -> Verdict:
    """Asks the chain; raises ChainUnavailable."""
    receipt = signed.message
    opening = opening_of(market, receipt.channel_id)
    posted = posted_offer(market, receipt.offer_hash)
    provider = posted.provider if posted is not None else None
    try:
        if posted is None:
            raise OfferUnknown("No provider of this market has posted the offer that it names.")
        signer = recover(digest(market.deployment.domain, receipt.struct_hash()), signed.signature)
        if not market.is_receipt_key(posted.provider, signer):
            raise WrongSigner(
                f"It is signed by {to_hex(signer)}, which is no receipt key of {to_hex(posted.provider)}."
            )
        if opening is not None and opening.provider != posted.provider:
            raise WrongSigner(
                f"Its channel pays {to_hex(opening.provider)}, and its offer is another provider's."
            )
        require_price(receipt, posted.offer)
    except MarketError as error:
        return Verdict(signed, provider, str(error), opening is not None)
    return Verdict(signed, provider, None, opening is not None)
