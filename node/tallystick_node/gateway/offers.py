"""Keeping the offers that the configuration names posted: whatever differs, or is half over, is posted
anew."""

from dataclasses import replace
from typing import Protocol

import structlog

from tallystick.crash import point
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import (
    Address,
    Atoms,
    AtomsPerMTok,
    Hash32,
    Timestamp,
    Tokens,
    hash32,
    to_hex,
)
from tallystick_node.config import OfferConfig
from tallystick_node.gateway.books import Books

log = structlog.get_logger("tallystick.offers")


class OfferBoard(Protocol):
    """Where offers are posted. Raises ChainError."""

    def offers_of(self, provider: Address) -> tuple[int, int]:
        """(latest sequence, minimum sequence)."""

    def post_offer(self, signed: Signed[Offer]) -> object: ...


def post_missing(
    books: Books, board: OfferBoard, wanted: tuple[OfferConfig, ...], *, endpoint: str, endpoint_key: Hash32
) -> list[Signed[Offer]]:
    """Posts what is wanted and not posted; raises ChainError. The follower brings it into the books."""
    holding = {offer.model: offer for _, offer in books.holding()}
    posted = []
    for item in wanted:
        offer = _offer(item, books.provider, endpoint, endpoint_key)
        if _stands(holding.get(item.model), offer, books.now, item.valid_s):
            continue
        latest, minimum = board.offers_of(books.provider)
        # Anew each time: what became of one that may have been posted, nobody here has to know.
        signed = books.sign_offer(
            replace(offer, valid_until=Timestamp(books.now + item.valid_s)), latest=latest, minimum=minimum
        )
        point("offer.signed")
        board.post_offer(signed)
        point("offer.posted")
        sequence, offer_hash = signed.message.sequence, signed.message.struct_hash()
        log.info("offer.posted", model=item.model, sequence=sequence, offer=to_hex(offer_hash))
        posted.append(signed)
    return posted


def _offer(item: OfferConfig, provider: Address, endpoint: str, endpoint_key: Hash32) -> Offer:
    cached = item.input_price if item.cached_input_price is None else item.cached_input_price
    return Offer(
        provider=provider,
        sequence=0,
        endpoint=endpoint,
        endpoint_key=endpoint_key,
        model=item.model,
        model_hash=hash32(item.model_hash),
        input_price=AtomsPerMTok(item.input_price),
        cached_input_price=AtomsPerMTok(cached),
        output_price=AtomsPerMTok(item.output_price),
        context_length=Tokens(item.context_length),
        credit=Atoms(item.credit),
        valid_until=Timestamp(0),
    )


def _stands(posted: Offer | None, wanted: Offer, now: Timestamp, valid_s: int) -> bool:
    """The same promise, and not half over."""
    if posted is None or posted.valid_until - now < valid_s // 2:
        return False
    return replace(posted, sequence=wanted.sequence, valid_until=wanted.valid_until) == wanted
