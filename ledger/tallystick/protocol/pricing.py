"""What work costs: the one place where tokens become atoms.

It knows no channel and no credit.
"""

from typing import Final

from tallystick.protocol.errors import ReceiptDoesNotAddUp
from tallystick.protocol.offer import Offer
from tallystick.protocol.units import MTOK, Atoms, Tokens

MINIMUM_INTERIM_COST: Final = Atoms(100)
"""The least an interim receipt may cost, so that rounding up once a receipt adds at most 1 %."""

ATTACHMENT_ALLOWANCE: Final = Tokens(8_192)
"""Input tokens of an image, a sound or a file that a request names and does not contain, at most."""


def attachments(messages: object) -> int:
    """Parts of a chat's messages that are no text: bytes of the body say nothing of their tokens."""
    contents = (
        [item.get("content") for item in messages if isinstance(item, dict)]
        if isinstance(messages, list)
        else []
    )
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return sum(isinstance(part, dict) and part.get("type") != "text" for part in parts)


def cost_up(offer: Offer, *, input_tokens: int, cached_input_tokens: int, output_tokens: int) -> Atoms:
    """Atoms owed for one receipt, rounded up once: a provider is never short a part of an atom.

    `input_tokens` counts all of the input, `cached_input_tokens` the part of it that is billed as cached.

    Raises
    ------
    ReceiptDoesNotAddUp :
        More input was cached than there was: the counts may be those of somebody else's receipt.
    """
    assert input_tokens >= 0 <= cached_input_tokens
    assert output_tokens >= 0
    if cached_input_tokens > input_tokens:
        raise ReceiptDoesNotAddUp(
            "More input tokens are billed as cached than were billed at all.",
            required=input_tokens,
            actual=cached_input_tokens,
        )
    parts = (
        (input_tokens - cached_input_tokens) * offer.input_price
        + cached_input_tokens * offer.cached_input_price
        + output_tokens * offer.output_price
    )
    return Atoms(-(-parts // MTOK))


def output_tokens_down(offer: Offer, atoms: Atoms) -> Tokens | None:
    """How many output tokens cost at most `atoms`, rounded down; None: any number, they are free."""
    if offer.output_price == 0:
        return None
    return Tokens(max(0, atoms) * MTOK // offer.output_price)
