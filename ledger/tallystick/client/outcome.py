"""What one request came to: who served it, its receipts, its cost."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tallystick.ports import PostedOffer
from tallystick.protocol.errors import MarketError
from tallystick.protocol.offer import Offer
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Verified
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Address, Atoms, ChannelId


@dataclass(slots=True, eq=False)
class Outcome:
    """One paid request. It fills as the answer comes in and is complete once `done`."""

    posted: PostedOffer
    channel_id: ChannelId
    nonce: int
    """Names the request to its provider; asking again under it never pays twice."""
    receipts: list[Verified[Receipt]] = field(default_factory=list)
    """Checked and accepted: interim ones first, the final one last."""
    refusal: MarketError | None = None
    """Why a receipt was refused: this answer is not paid for, and its provider is avoided from now on. A
    BudgetError: it is not paid for yet."""
    quote: Quote | None = None
    """What the provider promised of the time that it would take; None: nothing, or nothing was expected."""
    pace: Pace | None = None
    """How fast it was, as far as the payer waited for it; None: nothing came."""
    done: bool = False
    cut: bool = False
    """The provider ended the answer before its end. What came of it is paid."""
    earlier: list["Outcome"] = field(default_factory=list)
    """Of the providers that began this answer and broke off, where others went on with it. What one of them
    is still to be paid, once it can be asked, comes to this outcome no more."""

    def go_on(self, posted: PostedOffer, channel_id: ChannelId, nonce: int) -> None:
        """Somebody else says the rest."""
        if self.pace is not None:
            self.earlier.append(replace(self, earlier=[]))
        self.posted, self.channel_id, self.nonce = posted, channel_id, nonce
        self.receipts, self.refusal, self.quote, self.pace = [], None, None, None
        self.done = self.cut = False

    @property
    def cost(self) -> Atoms:
        """Atoms, the sum of the accepted receipts, those of earlier providers too."""
        own = sum(receipt.message.cost for receipt in self.receipts)
        return Atoms(own + sum(outcome.cost for outcome in self.earlier))

    @property
    def receipt(self) -> Verified[Receipt] | None:
        """The last one."""
        return self.receipts[-1] if self.receipts else None

    @property
    def offer(self) -> Offer:
        return self.posted.offer

    @property
    def provider(self) -> Address:
        return self.posted.offer.provider


OutcomeListener = Callable[[Outcome], None]
"""Called once a request is done, in the thread or task that read its answer. It must not raise."""

EXTENSION = "tallystick"


def outcome_of(answer: object) -> Outcome | None:
    """What an answer cost: an `httpx2.Response`, or what openai makes of one (a stream, a raw response).

    None where nothing was paid for it, as for a list of models. For a stream it is complete after its end.
    """
    for name in ("http_response", "response"):
        answer = getattr(answer, name, answer)
    extensions = getattr(answer, "extensions", None)
    outcome = extensions.get(EXTENSION) if isinstance(extensions, dict) else None
    return outcome if isinstance(outcome, Outcome) else None
