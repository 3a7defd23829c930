"""`/receipts`: what was published; `/receipt/…`: one of them, its price worked out line by line, and the
settlement that paid it."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Protocol

import orjson
from fastapi import Query

from tallystick.protocol.receipt import Finish
from tallystick.protocol.units import MTOK
from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.pages.asking import Sequence
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import channels, settlements
from tallystick_node.explorer.queries import receipts as queries
from tallystick_node.explorer.queries.rows import Channel, Offer, PublishedReceipt, Settlement
from tallystick_node.explorer.values import Amount, Hash, Listing, shown

pages = Pages()
SIGNED: Final = ("requestHash", "responseHash", "tokensHash", "signature")
"""Members of a published document that no column has."""


@shown
class PriceLine:
    """So many tokens at a price."""

    tokens: str
    """Which: new input, cached input or output."""
    count: int
    price: Amount
    """Atoms per million tokens."""
    product: Amount
    """Millionths of an atom."""


@shown
class Working:
    """How the offer's prices make the receipt's cost."""

    lines: tuple[PriceLine, ...]
    sum: Amount
    """Millionths of an atom."""
    cost: Amount
    """Atoms, rounded up once."""
    agrees: bool
    """The receipt says the same."""


@shown
class Speed:
    """By the provider's own clock."""

    waited: int
    """Milliseconds from the request to the first token."""
    flowed: int
    """Milliseconds from the first token to the last."""
    tokens_a_second: float | None
    """Output tokens of this receipt; none where they came at once, or others came before them."""


@shown
class ReceiptPage:
    """One published receipt."""

    receipt: PublishedReceipt
    ends: str
    """Why it ends where it does."""
    published: Mapping[str, Any]
    """What was published, as it was."""
    offer: Offer | None
    working: Working | None
    speed: Speed | None
    """None: no token was delivered."""
    settlement: Settlement | None
    """That paid it."""
    closed: Channel | None
    """Its channel, where its close paid what no settlement had. Neither: nothing has paid it yet."""

    @property
    def signed(self) -> dict[str, str]:
        """What else was signed, by its name in the document, and the signature."""
        message = self.published.get("receipt")
        named = {**message, **self.published} if isinstance(message, dict) else self.published
        return {name: str(named[name]) for name in SIGNED if name in named}

    @property
    def document(self) -> str:
        """What was published, to be read: in letters that turn nothing around."""
        return json.dumps(self.published, indent=2, ensure_ascii=True)


@pages.table("/receipts", "receipts.html")
async def receipts(
    db: Db, cut: Cutting, channel: Annotated[Hash | None, Query()] = None
) -> Listing[PublishedReceipt]:
    """Receipts that were published here, channel by channel, the last of each first."""
    return await queries.receipts(db, cut, channel)


@pages.page("/receipt/{channel}/{sequence}", "receipt.html")
async def receipt(channel: Hash, sequence: Sequence, db: Db) -> ReceiptPage:
    """One published receipt, with its price worked out and the settlement that paid it."""
    printed = await queries.receipt(db, channel, sequence)
    if printed is None:
        raise NotFound(
            "No such receipt was published here. Payer and provider hold it: either may publish it."
        )
    found = printed.receipt
    settlement = await settlements.that_paid(db, channel, found.cumulative_cost)
    ended = await channels.channel(db, channel) if settlement is None else None
    paid_then = ended is not None and ended.closed_at > 0 and ended.settled >= found.cumulative_cost
    offer = await queries.offer(db, found.offer_hash)
    return ReceiptPage(
        receipt=found,
        ends=ends(found.finish),
        published=orjson.loads(printed.text),
        offer=offer,
        working=None if offer is None else working(found, offer),
        speed=speed(found),
        settlement=settlement,
        closed=ended if paid_then else None,
    )


def ends(finish: int) -> str:
    try:
        return Finish(finish).name.lower().replace("_", "-")
    except ValueError:
        return "unknown"


class Counted(Protocol):
    """What of a receipt its price and its speed come from."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def cached_input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cost(self) -> int: ...
    @property
    def received_at(self) -> int: ...
    @property
    def first_token_at(self) -> int: ...
    @property
    def finished_at(self) -> int: ...


def working(receipt: Counted, offer: Offer) -> Working:
    lines = tuple(_lines(receipt, offer))
    total = sum(line.product for line in lines)
    cost = -(-total // MTOK)
    return Working(lines=lines, sum=total, cost=cost, agrees=cost == receipt.cost)


def _lines(receipt: Counted, offer: Offer) -> Iterator[PriceLine]:
    cached = min(receipt.cached_input_tokens, receipt.input_tokens)
    for tokens, count, price in (
        ("new input", receipt.input_tokens - cached, offer.input_price),
        ("cached input", cached, offer.cached_input_price),
        ("output", receipt.output_tokens, offer.output_price),
    ):
        yield PriceLine(tokens=tokens, count=count, price=price, product=count * price)


def speed(receipt: Counted) -> Speed | None:
    if not receipt.first_token_at:
        return None
    flowed = max(0, receipt.finished_at - receipt.first_token_at)
    whole = receipt.input_tokens > 0  # Later receipts of a request count tokens since the one before.
    return Speed(
        waited=max(0, receipt.first_token_at - receipt.received_at),
        flowed=flowed,
        tokens_a_second=receipt.output_tokens * 1_000 / flowed if flowed and whole else None,
    )
