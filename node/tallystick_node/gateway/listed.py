"""What a provider's books tell anybody: its offers, and on what terms it sells."""

from typing import Any

from tallystick.protocol.units import ZERO_HASH, Atoms, to_hex
from tallystick.protocol.wire import Terms, signed_to_json
from tallystick_node.gateway.books import Books


def models(books: Books) -> dict[str, Any]:
    """OpenAI's list, with what each costs and on what terms."""
    listed = [
        {
            "id": signed.message.model,
            "object": "model",
            "created": 0,
            "owned_by": to_hex(signed.message.provider),
            "max_model_len": signed.message.context_length,
            "tallystick": {"offerHash": to_hex(offer_hash)} | signed_to_json(signed),
        }
        for offer_hash, signed in books.posted_offers()
    ]
    return {"object": "list", "data": listed}


def offers(books: Books) -> list[dict[str, Any]]:
    return [signed_to_json(signed) for _, signed in books.posted_offers()]


def blank_terms(books: Books) -> Terms:
    """What a 402 says to somebody without a channel."""
    holding = books.holding()
    zero = Atoms(0)
    offer_hash, credit = (holding[-1][0], holding[-1][1].credit) if holding else (ZERO_HASH, zero)
    return Terms(
        offer_hash=offer_hash,
        credit=credit,
        owed=zero,
        reserved=zero,
        required=zero,
        receipt_count=0,
        cap=zero,
    )
