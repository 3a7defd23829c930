"""A payer at work: it chooses a provider, pays, receives, checks. One flow for threads and event loops.

`call` is the whole of a paid request, from the caller's body to the caller's answer. What it sends is made in
`sending`, what it receives is read by the `receiver`, what it owes is kept in the `purse`; what can wait
(bare vouchers, answers that were cut) is left to the `clerk`.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import httpx2

from tallystick.chain.local import LOCAL_CHAIN_IDS
from tallystick.client.ask import Ask, affordable_limit, read_ask, worst_cost
from tallystick.client.attempts import Attempt, Call, LostAttempts
from tallystick.client.choose import Candidate, Choice, Policy, Wanted, choose
from tallystick.client.delivering import Delivery, Settler, Shown
from tallystick.client.errors import AnswerCut, NoEligibleOffer, ProviderRefused, ProviderUnreachable
from tallystick.client.flow import Flow, Sleep, hurrying
from tallystick.client.listing import AGAIN_AFTER, GOOD_FOR, Listing
from tallystick.client.mending import catch_up
from tallystick.client.outcome import OutcomeListener
from tallystick.client.purse import Purse
from tallystick.client.receiver import Receiver
from tallystick.client.refusals import ROOM
from tallystick.client.sending import ChannelGone, Sender, endpoint_of
from tallystick.ports import PostedOffer, Recount
from tallystick.protocol.errors import (
    BudgetError,
    MarketError,
    TotalBudgetExceeded,
    WorstCaseExceedsCredit,
)
from tallystick.protocol.units import Atoms, Milliseconds, Timestamp
from tallystick.protocol.voucher import request_hash

_CONNECT_S: Final = 0.5
"""To connect in while other providers are left: a way around the world and back, twice."""


class Clerk(Settler, Protocol):
    """Does what can wait."""

    def refresh(self) -> None:
        """Looks the offers up anew."""


class Payer:
    """One wallet buying on one market, within its budget."""

    def __init__(
        self,
        *,
        purse: Purse,
        listing: Listing,
        sender: Sender,
        clerk: Clerk,
        policy: Policy,
        now: Callable[[], Milliseconds],
        on_outcome: OutcomeListener | None = None,
        tokenizers: Mapping[str, Recount] = MappingProxyType({}),
    ):
        self.purse = purse
        self.listing = listing
        self.sender = sender
        self.receiver = Receiver(
            purse=purse, listing=listing, settle=clerk.settle, now=now, tokenizers=tokenizers
        )
        self._clerk = clerk
        self.policy = policy
        self.now = now
        self._on_outcome = on_outcome
        self._lost = LostAttempts()
        self._delivery = Delivery(
            purse=purse, sender=sender, receiver=self.receiver, settler=clerk, now=now, lost=self._lost
        )
        self.local = purse.domain.chain_id in LOCAL_CHAIN_IDS

    # ------------------------------------------------------------------------------------------- the call

    def call(self, call: Call) -> Flow[None]:
        """A paid request: one `Respond`, and `Emit`s after it where the answer is streamed.

        Raises
        ------
        MalformedRequest :
            Not an OpenAI body.
        BudgetError :
            The budget does not cover it; nothing was sent.
        NoEligibleOffer :
            Nobody offers the model on terms that can be met.
        AnswerCut :
            The provider ended the answer before its end.
        PayerError, httpx2.TransportError :
            Every provider refused or was out of reach; or the answer was lost on its way.
        """
        ask = read_ask(call.path, call.body)
        lost = self._lost.take(call)
        if lost is not None:
            try:
                yield from self._deliver(lost, call, Shown(lost.ask))
                return
            except (ProviderUnreachable, ChannelGone):
                pass  # out of reach still: the clerk goes on looking for it
        yield from self._try_candidates(ask, call)

    def _try_candidates(self, ask: Ask, call: Call) -> Flow[None]:
        started, pause = self.now(), 0.005
        failure: MarketError | None = None
        gone: set[bytes] = set()
        while True:
            patience, slow = 0, False
            ordering = yield from self._ordering(ask, gone)
            for place, choice in enumerate(ordering, 1):
                posted = choice.posted
                connect_s = _CONNECT_S if place < len(ordering) else None
                try:
                    yield from self._try(posted, ask, call, alone=len(ordering) == 1, connect_s=connect_s)
                    return
                except BudgetError as error:
                    failure = failure or error
                    if isinstance(error, TotalBudgetExceeded) and self.purse.spending()[1] > 0:
                        patience = ROOM
                except ProviderRefused as error:
                    if not error.reason and 400 <= error.status < 500 and error.status not in (408, 429):
                        raise  # the engine's: another engine would say the same
                    failure = error
                    patience = max(patience, error.patience)
                    if not error.patience:
                        gone.add(posted.offer_hash)
                except AnswerCut:
                    raise  # to buy it a second time is the caller's to decide
                except MarketError as error:
                    failure = failure or error
                    if connect_s is not None and isinstance(error.__cause__, httpx2.ConnectTimeout):
                        slow = True  # where nobody serves it gets the time that the caller allows
                    else:
                        gone.add(posted.offer_hash)
            if slow:
                continue
            if self.now() - started >= patience:
                raise failure or NoEligibleOffer(f"Nobody offers {ask.model!r} now.", required=ask.model)
            yield Sleep(pause)
            pause = min(pause * 1.6, 0.25)

    def _ordering(self, ask: Ask, gone: set[bytes]) -> Flow[Sequence[Choice]]:
        wanted = Wanted(
            model=ask.model,
            input_tokens=ask.input_estimate,
            output_tokens=ask.output_limit,
            seed=secrets.randbits(64),
        )
        for at_most in (GOOD_FOR, AGAIN_AFTER):
            offers = yield from self.listing.offers(at_most=at_most)
            left = [Candidate(posted=posted) for posted in offers if posted.offer_hash not in gone]
            now = Timestamp(self.now() // 1000)
            chosen = choose(
                left, wanted, self.policy, now=now, local=self.local, avoided=self.purse.evidence.avoided()
            )
            if chosen or gone:
                break
        if self.listing.wants_refresh:
            self._clerk.refresh()
        return chosen

    def _try(
        self, posted: PostedOffer, ask: Ask, call: Call, *, alone: bool, connect_s: float | None
    ) -> Flow[None]:
        """This provider; once more over a new channel, or as a stream, where that is what it takes."""
        stream = ask.stream
        for _ in range(3):
            beginning = self._begin(posted, ask, stream=stream)
            attempt = yield from (beginning if connect_s is None else hurrying(beginning, connect_s))
            attempt.alone, attempt.connect_s = alone, connect_s
            try:
                yield from self._deliver(attempt, call, Shown(ask))
                return
            except ChannelGone:
                continue
            except ProviderRefused as error:
                if error.reason != WorstCaseExceedsCredit.code or stream:
                    raise
                stream = True
        raise ProviderUnreachable("The provider keeps closing its channels.")

    def _deliver(self, attempt: Attempt, call: Call, shown: Shown) -> Flow[None]:
        try:
            yield from self._delivery.deliver(attempt, call, shown)
        except AnswerCut:
            self._tell(shown)
            raise
        self._tell(shown)

    def _tell(self, shown: Shown) -> None:
        if self._on_outcome is not None and shown.outcome is not None:
            self._on_outcome(shown.outcome)

    def _begin(self, posted: PostedOffer, ask: Ask, *, stream: bool) -> Flow[Attempt]:
        """A request with its atoms reserved and its channel granted; nothing is sent yet."""
        ask = self._within_budget(ask, posted)
        worst = worst_cost(ask, posted.offer)
        self.purse.budget.require_affordable(worst)
        streamed = stream or worst > posted.offer.credit
        channel = self.purse.open_channel(posted.offer.provider)
        while not channel.confirmed:
            yield from catch_up(self.sender, channel, endpoint_of(posted.offer))
            channel = self.purse.open_channel(posted.offer.provider)
        yield from self.sender.grant(channel, posted, worst)
        body = ask.body(stream=streamed)
        pending = self.purse.reserve(
            channel,
            posted,
            path=ask.path,
            model=ask.model,
            body=body,
            request_hash=request_hash(posted.offer_hash, body),
            streamed=streamed,
            worst=worst,
        )
        return Attempt(pending, ask)

    def _within_budget(self, ask: Ask, posted: PostedOffer) -> Ask:
        """The same, limited to what the budget affords where the caller set no limit."""
        per_request = self.purse.budget.per_request
        if ask.limit is not None or worst_cost(ask, posted.offer) <= per_request:
            return ask
        spent, _ = self.purse.spending()
        affordable = Atoms(min(per_request, self.purse.budget.total - spent))
        limit = affordable_limit(ask, posted.offer, affordable)
        return ask.limited(max(limit, type(limit)(1)))
