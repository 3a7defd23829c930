"""What one request came to: who served it, its receipts, its cost."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from tallystick.ports import PostedOffer
from tallystick.protocol.errors import MarketError
from tallystick.protocol.offer import Offer
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Verified
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Address, Atoms, ChannelId


@dataclass(slots=True, eq=False, weakref_slot=True)
class Outcome:
    """One paid request. It fills as the answer comes in and is complete once `done`, but for what is
    `outstanding` then."""

    posted: PostedOffer
    channel_id: ChannelId
    nonce: int
    """Names the request to its provider; asking again under it never pays twice."""
    most: Atoms = Atoms(0)
    """That may be billed for it."""
    receipts: list[Verified[Receipt]] = field(default_factory=list)
    """Checked and accepted: interim ones first, the final one last."""
    refusal: MarketError | None = None
    """Why a receipt was refused: this answer is not paid for, and its provider is avoided from now on. A
    BudgetError: it is not paid for yet."""
    quote: Quote | None = None
    """What the provider promised of the time that it would take; None: nothing, or nothing was expected."""
    pace: Pace | None = None
    """How fast it was, as far as the payer waited for it; None: nothing came."""
    sample: Sample | None = field(default=None, repr=False)
    """Request and answer as an auditor could be shown them, once the final receipt is accepted; None: the
    engine gave no token ids."""
    done: bool = False
    cut: bool = False
    """The provider ended the answer before its end. What came of it is paid."""
    earlier: list["Outcome"] = field(default_factory=list)
    """Of the providers that began this answer and broke off, where others went on with it."""
    left: list["Outcome"] = field(default_factory=list)
    """Of the providers that were asked for the same answer and left, because another one spoke first."""
    second: bool = False
    """It is a duel's second request: what somebody else said to it was returned already."""

    def go_on(self, posted: PostedOffer, channel_id: ChannelId, nonce: int, most: Atoms) -> None:
        """Somebody else says the rest."""
        if self.pace is not None or not self.done:
            self.earlier.append(replace(self, earlier=[], left=[]))
        self.posted, self.channel_id, self.nonce, self.most = posted, channel_id, nonce, most
        self.receipts, self.refusal, self.quote, self.pace, self.sample = [], None, None, None, None
        self.done = self.cut = False

    def learn(self, found: "Outcome", *, done: bool) -> None:
        """What came of it, once its provider was asked. `done`: nothing more will."""
        if found.receipts:
            self.receipts, self.sample = list(found.receipts), found.sample
        self.refusal = found.refusal or self.refusal
        self.done = self.done or done

    @property
    def cost(self) -> Atoms:
        """Atoms, the sum of the accepted receipts, those of earlier providers and of those left too."""
        own = sum(receipt.message.cost for receipt in self.receipts)
        return Atoms(own + sum(part.cost for part in self._others))

    @property
    def outstanding(self) -> Atoms:
        """Atoms that may come to it still, at most: of an answer that is on its way, and of providers that
        broke off or were left, until they have said what came of it."""
        own = 0 if self.done else self.most - sum(receipt.message.cost for receipt in self.receipts)
        return Atoms(max(0, own) + sum(part.outstanding for part in self._others))

    @property
    def _others(self) -> list["Outcome"]:
        return [*self.earlier, *self.left]

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


class Outcomes:
    """Those of which something is outstanding, by nonce, as long as somebody looks at them."""

    def __init__(self) -> None:
        self._watched: WeakValueDictionary[int, Outcome] = WeakValueDictionary()

    def watch(self, outcome: Outcome) -> None:
        self._watched[outcome.nonce] = outcome

    def of(self, nonce: int) -> Outcome | None:
        return self._watched.get(nonce)


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
