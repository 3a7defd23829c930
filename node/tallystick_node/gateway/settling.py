"""When to present vouchers on chain: by amount, by time, when the payer closes, and on the way out."""

from collections.abc import Iterable
from dataclasses import dataclass

from tallystick.protocol.units import Atoms, ChannelId, Timestamp


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
    """The payer has asked for the rest back."""

    @property
    def unsettled(self) -> Atoms:
        return Atoms(max(0, self.acknowledged - self.settled))


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlePolicy:
    """Any of them is reason enough."""

    amount: Atoms
    """Settle a channel at once when so much is not settled."""
    interval_s: int
    """Settle it after this time whatever the amount. Keep it far under the contract's close notice."""
    minimum: Atoms
    """Less is not worth its gas, while there may be more."""


def due(
    positions: Iterable[Position], policy: SettlePolicy, *, now: Timestamp, leaving: bool = False
) -> list[ChannelId]:
    """The channels to settle now; `leaving`: the node shuts down and settles all there is."""
    return [item.channel_id for item in positions if _is_due(item, policy, now, leaving)]


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
