"""When to present vouchers on chain, and what that may cost: by amount, by time, when the payer closes, and
on the way out.

Waiting costs nothing while a channel is open: what its vouchers pay is reserved in the contract. So gas is
weighed against what a settlement brings, and a spike waited out; but once a channel closes, what is not
settled by its deadline is lost, and any price under what it brings is worth paying. A row in a settlement
that is sent anyway takes a third of one by itself: what would soon be due rides along.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from tallystick.protocol.units import Atoms, ChannelId, Timestamp

ROWS: Final = 200
"""Vouchers in one settlement, at most: 3 million gas, far under any block's limit."""
SETTLE_GAS: Final = 29_900
"""What a settlement takes beside its rows; a test holds both to the contract's gas snapshot."""
ROW_GAS: Final = 14_100
NEARLY: Final = 600
"""Thousandths of the way to being due, by time and amount, from which on a channel rides along."""
_COIN: Final = 10**18
"""Wei in one of the chain's own coins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One channel, as far as settling goes."""

    channel_id: ChannelId
    acknowledged: Atoms
    """The amount of the largest voucher."""
    settled: Atoms
    """On chain, or on the way there."""
    since: Timestamp
    """When the oldest part that is not settled was acknowledged."""
    closing: bool
    """No more work is taken on it."""
    closes_at: Timestamp = Timestamp(0)
    """When the payer may take the rest back; zero while it has not asked for it."""
    lost: bool = False
    """Its payer cannot go on before this is settled or given up."""

    @property
    def unsettled(self) -> Atoms:
        return Atoms(max(0, self.acknowledged - self.settled))


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlePolicy:
    """The first three say what is due; the others what it may cost."""

    amount: Atoms
    """Settle a channel at once when so much is not settled."""
    interval_s: int
    """Settle it after this time whatever the amount. Keep it far under the contract's close notice. A lost
    channel waits so long for cheaper gas."""
    minimum: Atoms
    """Less is not worth its gas, while there may be more."""
    coin_price: Atoms = Atoms(0)
    """What 10¹⁸ wei cost; zero: gas is not weighed."""
    gas_share: int = 1000
    """Thousandths of a settlement that may go to gas while nothing presses."""
    closing_margin_s: int = 0
    """So long before a closing channel's deadline, price no longer matters: room for several tries."""


class Wait(StrEnum):
    """Why a channel that is due is not settled now."""

    GAS_PRICE = "gas-price"
    """Gas would take too large a share. It gets cheaper, or the amount grows."""
    WORTHLESS = "worthless"
    """It must be settled now or never, and gas costs more than it brings. A lost channel ends without it."""
    NEXT = "next"
    """The settlement is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One settlement, or none."""

    rows: tuple[ChannelId, ...] = ()
    """Those that are due before those that ride along."""
    pressing: bool = False
    """One of them must be in before its deadline."""
    highest_gas_price: int | None = None
    """Wei a gas above which the settlement is not worth it; None: any."""
    waiting: Mapping[ChannelId, Wait] = field(default_factory=dict)


def due(
    positions: Iterable[Position], policy: SettlePolicy, *, now: Timestamp, leaving: bool = False
) -> list[Position]:
    """What to settle now if gas cost nothing; `leaving`: the node shuts down and settles all there is."""
    return [item for item in positions if _is_due(item, policy, now, leaving)]


def _is_due(position: Position, policy: SettlePolicy, now: Timestamp, leaving: bool) -> bool:
    unsettled = position.unsettled
    if unsettled == 0:
        return False
    if leaving or position.closing:
        return True
    if unsettled < policy.minimum:
        return False
    if unsettled >= policy.amount:
        return True
    return now - position.since >= policy.interval_s


def _nearly_due(
    positions: Iterable[Position], policy: SettlePolicy, *, now: Timestamp, row: Atoms
) -> list[Position]:
    """Not due yet, and worth a row of that cost to a settlement that others pay the journey of."""
    sooner = replace(
        policy,
        amount=Atoms(_part_up(policy.amount)),
        minimum=Atoms(_part_up(policy.minimum)),
        interval_s=_part_up(policy.interval_s),
    )
    return [
        item
        for item in positions
        if _is_due(item, sooner, now, False)
        and not _is_due(item, policy, now, False)
        and row * 1000 <= policy.gas_share * item.unsettled
    ]


def _part_up(whole: int) -> int:
    """`NEARLY` of it."""
    return -(-whole * NEARLY // 1000)


def plan(
    positions: Iterable[Position],
    policy: SettlePolicy,
    *,
    gas_price: int,
    now: Timestamp,
    leaving: bool = False,
) -> Plan:
    """The settlement to send at `gas_price`, in wei a gas.

    A node that leaves does not come back for a closing channel, so that all of those press; what is on open
    channels is on disk and keeps, at a price too high, until the node is back.
    """
    positions = list(positions)
    wanted = _dearest(due(positions, policy, now=now, leaving=leaving))
    pressing = [item for item in wanted if _presses(item, policy, now, leaving)]
    others = [item for item in wanted if not _presses(item, policy, now, leaving)]
    final = pressing + [item for item in others if _has_waited(item, policy, now)]
    patient = [item for item in others if not _has_waited(item, policy, now)]
    row = _atoms_up(ROW_GAS, gas_price, policy)
    riding = [] if leaving else _dearest(_nearly_due(positions, policy, now=now, row=row))
    if policy.coin_price == 0:
        return _cut([*final, *patient], riding, None, {}, pressing=bool(pressing))
    worth = [item for item in final if item.unsettled > row]
    cheap = [item for item in patient if row * 1000 <= policy.gas_share * item.unsettled]
    prices = []
    if worth and (highest := _break_even(worth, policy, 1000)) >= gas_price:
        prices.append(highest)
    if cheap and (highest := _break_even(cheap, policy, policy.gas_share)) >= gas_price:
        prices.append(min(highest, _break_even([*cheap, *riding], policy, policy.gas_share)))
    if not prices:
        worth, cheap = [], []
    waiting = {item.channel_id: Wait.WORTHLESS for item in final if item not in worth}
    waiting |= {item.channel_id: Wait.GAS_PRICE for item in patient if item not in cheap}
    in_haste = any(_presses(item, policy, now, leaving) for item in worth)
    return _cut([*worth, *cheap], riding, max(prices, default=None), waiting, pressing=in_haste)


def _dearest(positions: Iterable[Position]) -> list[Position]:
    """Those that bring most come first."""
    return sorted(positions, key=lambda item: -item.unsettled)


def _presses(position: Position, policy: SettlePolicy, now: Timestamp, leaving: bool) -> bool:
    return position.closes_at != 0 and (leaving or now >= position.closes_at - policy.closing_margin_s)


def _has_waited(position: Position, policy: SettlePolicy, now: Timestamp) -> bool:
    """Long enough for its payer, who can do nothing about the price of gas."""
    return position.lost and now - position.since >= policy.interval_s


def _atoms_up(gas: int, gas_price: int, policy: SettlePolicy) -> Atoms:
    """What gas costs, rounded up."""
    return Atoms(-(-gas * gas_price * policy.coin_price // _COIN))


def _break_even(items: Sequence[Position], policy: SettlePolicy, share: int) -> int:
    """The highest gas price at which gas takes less than all of what they bring, and at most `share`
    thousandths, rounded down."""
    gas = SETTLE_GAS + ROW_GAS * len(items)
    brings = sum(item.unsettled for item in items)
    most = min(brings * share, brings * 1000 - 1)
    return most * _COIN // (1000 * gas * policy.coin_price)


def _cut(
    items: Sequence[Position],
    riding: Sequence[Position],
    highest: int | None,
    waiting: Mapping[ChannelId, Wait],
    *,
    pressing: bool,
) -> Plan:
    """Nobody rides along where nothing goes."""
    going = [*items, *riding][:ROWS] if items else []
    return Plan(
        rows=tuple(item.channel_id for item in going),
        pressing=pressing,
        highest_gas_price=highest,
        waiting=dict(waiting) | {item.channel_id: Wait.NEXT for item in items[ROWS:]},
    )
