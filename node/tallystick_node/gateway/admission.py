"""How much unacknowledged work may be under way: what a request reserves, and whether there is room for it.

For every account: owed + held <= credit. For every channel: issued + held <= its cap. A running stream can
count on its floor once all it owes is acknowledged, so that streams of one account never wait for one
another for ever.
"""

from dataclasses import dataclass
from typing import Final

from tallystick.protocol.errors import (
    CapExceeded,
    ContextTooLong,
    CreditExceeded,
    MarketError,
    WorstCaseExceedsCredit,
)
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import MINIMUM_INTERIM_COST, cost_up, output_tokens_down
from tallystick.protocol.units import Atoms, Tokens
from tallystick.protocol.wire import Terms
from tallystick_node.gateway.ask import Ask
from tallystick_node.gateway.tab import Account, Reservation, Tab

SMALLEST_WINDOW: Final = Atoms(2 * MINIMUM_INTERIM_COST)
"""Half of it is worth an interim receipt."""
WINDOWS_IN_CREDIT: Final = 8


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that one request can be billed for."""

    input_tokens: Tokens
    output_tokens: Tokens
    """All choices together."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Run the request under this reservation, which the caller adds to the tab in the same step."""

    reservation: Reservation


@dataclass(frozen=True, slots=True)
class Demand:
    """Answer 402: acknowledge, raise the cap, or wait for what runs; `terms` say how much."""

    error: MarketError
    terms: Terms


@dataclass(frozen=True, slots=True)
class Refuse:
    """No acknowledgement could make room for it."""

    error: MarketError
    terms: Terms


def bounds(offer: Offer, ask: Ask) -> Bounds:
    """Raises ContextTooLong."""
    context = offer.context_length
    if ask.max_tokens is not None and ask.max_tokens >= context:
        raise ContextTooLong(
            "max_tokens leaves no room for the input in the model's context.",
            required=context - 1,
            actual=ask.max_tokens,
        )
    each = context if ask.max_tokens is None else ask.max_tokens
    return Bounds(Tokens(min(ask.size, context * ask.prompts)), Tokens(each * ask.choices))


def cost_bound_up(offer: Offer, input_tokens: int, output_tokens: int) -> Atoms:
    """The most that these can cost, cached or not."""
    cached = input_tokens if offer.cached_input_price > offer.input_price else 0
    return cost_up(offer, input_tokens=input_tokens, cached_input_tokens=cached, output_tokens=output_tokens)


def window_tokens(offer: Offer) -> int | None:
    """Output tokens that a stream reserves at a time; None: any number, they are free."""
    window = max(offer.credit // WINDOWS_IN_CREDIT, SMALLEST_WINDOW)
    tokens = output_tokens_down(offer, Atoms(window))
    return None if tokens is None else max(1, tokens)


def first_reservation(offer: Offer, bounds: Bounds, *, streamed: bool) -> Reservation:
    worst = cost_bound_up(offer, bounds.input_tokens, bounds.output_tokens)
    if not streamed:
        return Reservation(held=worst)
    window = window_tokens(offer)
    first = bounds.output_tokens if window is None else min(bounds.output_tokens, window)
    held = cost_bound_up(offer, bounds.input_tokens, first)
    return Reservation(held=held, floor=min(SMALLEST_WINDOW, worst))


def cap_room(account: Account, tab: Tab, unsecured_limit: Atoms) -> Atoms:
    """What may still be drawn on the channel: its cap on chain, and a little on a grant that is not mined."""
    cap = tab.channel.cap
    others = account.unsecured - max(0, tab.drawn - cap)
    pending = min(tab.granted, cap + max(0, unsecured_limit - others))
    return Atoms(max(cap, pending) - tab.drawn)


def admit(
    account: Account, tab: Tab, offer: Offer, bounds: Bounds, *, streamed: bool, unsecured_limit: Atoms
) -> Serve | Demand | Refuse:
    """What a request that is otherwise in order may do. Reserving is one step with this: nothing runs
    between."""
    reservation = first_reservation(offer, bounds, streamed=streamed)
    held = reservation.held
    if max(held, reservation.floor) > offer.credit:
        message = (
            "The start of this stream"
            if streamed
            else "The worst case of this request, which is not streamed,"
        )
        return Refuse(
            WorstCaseExceedsCredit(f"{message} exceeds the credit.", required=held, actual=offer.credit),
            terms_of(account, tab, offer, held),
        )
    room = Atoms(0 if account.waiting else offer.credit - account.entitled)
    if reservation.entitled > room:
        return Demand(
            CreditExceeded(
                "Unacknowledged and running work leaves no room for this request.",
                required=held,
                actual=max(0, room),
            ),
            terms_of(account, tab, offer, held),
        )
    cap = cap_room(account, tab, unsecured_limit)
    if held > cap:
        return Demand(
            CapExceeded("The channel's cap does not hold this request.", required=held, actual=max(0, cap)),
            terms_of(account, tab, offer, held),
        )
    return Serve(reservation)


def extended(
    account: Account,
    tab: Tab,
    reservation: Reservation,
    offer: Offer,
    *,
    need: Atoms,
    want: Atoms,
    unsecured_limit: Atoms,
) -> Atoms | None:
    """What a running stream may hold from now on: at most `want`, never less than now; None where that is
    less than it needs to go on."""
    held = reservation.held
    room = offer.credit - (account.entitled - reservation.entitled)
    within_cap = held + cap_room(account, tab, unsecured_limit)
    allowed = max(held, min(want, room, within_cap))
    return Atoms(allowed) if allowed >= need else None


def terms_of(account: Account, tab: Tab, offer: Offer, held: Atoms) -> Terms:
    """What would be accepted for a request that reserves `held`."""
    missing = held - (offer.credit - account.entitled)
    return Terms(
        offer_hash=offer.struct_hash(),
        credit=offer.credit,
        owed=account.owed,
        reserved=account.reserved,
        required=tab.prefix_up(Atoms(tab.acknowledged.amount + max(0, missing))),
        receipt_count=tab.issued.count,
        cap=Atoms(max(tab.channel.cap, tab.granted, tab.drawn + held)),
    )
