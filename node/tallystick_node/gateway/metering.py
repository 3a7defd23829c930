"""What one answer has cost so far, what of it is on receipts, and when the next receipt is due.

Two counts run side by side: what the engine has said, and what the payer was sent. A receipt is made of the
second alone; the first says whether the next piece still fits what is reserved. It knows no clock: times
come in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import MINIMUM_INTERIM_COST, cost_up
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.transcript import Counts, Said, Transcript
from tallystick.protocol.units import Atoms, Hash32, Milliseconds, Tokens
from tallystick_node.gateway.admission import Bounds, cost_bound_up, extended, window_tokens
from tallystick_node.gateway.tab import Account, Reservation, Tab


@dataclass(frozen=True, slots=True)
class Charge:
    """What a receipt would bill. Never more than was sent, and never more than the request could reserve."""

    input_tokens: Tokens
    cached_input_tokens: Tokens
    output_tokens: Tokens
    cost: Atoms


class Meter:
    """One request's answer."""

    def __init__(
        self,
        *,
        offer: Offer,
        offer_hash: Hash32,
        request_hash: Hash32,
        bounds: Bounds,
        received_at: Milliseconds,
    ):
        self.offer = offer
        self.bounds = bounds
        self._offer_hash = offer_hash
        self._request_hash = request_hash
        self.received_at = received_at
        self.first_token_at = Milliseconds(0)
        """When it was sent; zero until then."""
        self._seen = Counts()
        self._unsent = Said()
        """The tokens in what was seen last."""
        self._sent = Transcript(request_hash)
        self._billed_output = 0
        self._input_billed = False
        self._billed = False

    # -------------------------------------------------------------------------------------------- counting

    def see(self, chunk: Mapping[str, Any]) -> None:
        """The engine said this; it is not sent yet, and all that it said before is."""
        self._unsent = self._seen.add(chunk)

    def send(self, payload: bytes, now: Milliseconds) -> None:
        """What was seen last is sent, as `payload`."""
        self._sent.add_payload(payload)
        self._sent.follow(self._seen, self._unsent)
        if not self.first_token_at and self._sent.output_tokens:
            self.first_token_at = now

    @property
    def finish(self) -> Finish | None:
        """What the engine gave as its reason; None while it has not ended."""
        return self._sent.finish

    @property
    def input_tokens(self) -> int:
        """As the engine counts them; zero until it says."""
        return self._seen.input_tokens

    @property
    def output_tokens(self) -> int:
        """That the engine said so far."""
        return self._seen.output_tokens

    @property
    def input_known(self) -> bool:
        """The engine has said how many tokens the input has."""
        return self._seen.input_tokens > 0

    @property
    def delivered(self) -> bool:
        """At least one output token was: else there is nothing to bill."""
        return self._sent.output_tokens > 0

    @property
    def billed(self) -> bool:
        """A receipt was made."""
        return self._billed

    # ----------------------------------------------------------------------------------------------- money

    def charge(self) -> Charge:
        """For what was sent and is on no receipt."""
        sent = self._sent
        input_tokens = 0 if self._input_billed else min(sent.input_tokens, self.bounds.input_tokens)
        cached = min(sent.cached_input_tokens, input_tokens)
        output = max(0, min(sent.output_tokens, self.bounds.output_tokens) - self._billed_output)
        cost = cost_up(
            self.offer, input_tokens=input_tokens, cached_input_tokens=cached, output_tokens=output
        )
        return Charge(Tokens(input_tokens), Tokens(cached), Tokens(output), cost)

    def ahead(self) -> Atoms:
        """The most that everything the engine has said, and no receipt bills, may cost: what must be held to
        send it."""
        output = min(self._seen.output_tokens, self.bounds.output_tokens) - self._billed_output
        return cost_bound_up(self.offer, self._input_bound, max(0, output))

    def want(self) -> Atoms:
        """What to hold for the next window of output, and for what is not billed yet."""
        window = window_tokens(self.offer)
        unbilled = self.bounds.output_tokens - self._billed_output
        if window is not None:
            unbilled = min(unbilled, max(0, self._seen.output_tokens - self._billed_output) + window)
        return cost_bound_up(self.offer, self._input_bound, unbilled)

    def covered(self, held: Atoms) -> bool:
        """Nothing more will ever have to be reserved for this request."""
        return held >= cost_bound_up(
            self.offer, self._input_bound, self.bounds.output_tokens - self._billed_output
        )

    def interim_due(self, held: Atoms) -> bool:
        """Half of what is held is used, and it is worth a receipt."""
        cost = self.charge().cost
        return 2 * cost >= held and self._is_worth_one(cost) and not self.covered(held)

    def interim_possible(self) -> bool:
        return self._is_worth_one(self.charge().cost)

    def _is_worth_one(self, cost: Atoms) -> bool:
        """A receipt in mid-stream."""
        return self.delivered and cost >= MINIMUM_INTERIM_COST

    def receipt(self, tab: Tab, reservation: Reservation, finish: Finish, now: Milliseconds) -> Receipt:
        """The next receipt of the channel, over everything sent so far. What it bills is billed from here
        on, and no longer reserved."""
        charge = self.charge()
        assert charge.cost <= reservation.held, (charge.cost, reservation.held)
        reservation.held = Atoms(reservation.held - charge.cost)
        self._billed = True
        self._input_billed = self._input_billed or charge.input_tokens > 0
        self._billed_output += charge.output_tokens
        return Receipt(
            channel_id=tab.id,
            sequence=tab.issued.count,
            offer_hash=self._offer_hash,
            request_hash=self._request_hash,
            response_hash=self._sent.response_hash,
            tokens_hash=self._sent.tokens_hash,
            input_tokens=charge.input_tokens,
            cached_input_tokens=charge.cached_input_tokens,
            output_tokens=charge.output_tokens,
            finish=int(finish),
            received_at=self.received_at,
            first_token_at=self.first_token_at,
            finished_at=now,
            cost=charge.cost,
            cumulative_cost=Atoms(tab.issued.amount + charge.cost),
        )

    @property
    def _input_bound(self) -> int:
        """Of the input that no receipt bills: as the engine counts it, or the most it can be until it
        says."""
        if self._input_billed:
            return 0
        return min(self._seen.input_tokens or self.bounds.input_tokens, self.bounds.input_tokens)


class Step(Enum):
    """What to do about the piece of a stream that the engine said last."""

    SEND = "send"
    RECEIPT = "receipt"
    """Issue an interim receipt first, `reserve_again`, and ask again."""
    WAIT = "wait"
    """There is no room until something is acknowledged, or ends."""


def next_step(
    account: Account, tab: Tab, reservation: Reservation, meter: Meter, *, unsecured_limit: Atoms
) -> Step:
    """Nothing is sent that is not reserved; where it can be, it is reserved here."""
    need = meter.ahead()
    if need <= reservation.held:
        return Step.SEND
    if meter.interim_possible():
        return Step.RECEIPT
    held = extended(
        account,
        tab,
        reservation,
        meter.offer,
        need=need,
        want=meter.want(),
        unsecured_limit=unsecured_limit,
    )
    if held is None:
        return Step.WAIT
    reservation.held = held
    return Step.SEND


def reserve_again(
    account: Account, tab: Tab, reservation: Reservation, meter: Meter, *, unsecured_limit: Atoms
) -> None:
    """After an interim receipt: the next window, or as much of it as there is room for."""
    held = extended(
        account,
        tab,
        reservation,
        meter.offer,
        need=Atoms(0),
        want=meter.want(),
        unsecured_limit=unsecured_limit,
    )
    assert held is not None
    reservation.held = held
