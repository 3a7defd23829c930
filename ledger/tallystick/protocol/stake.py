"""What the chain says of a provider's stake. It knows no offer."""

from dataclasses import dataclass

from tallystick.protocol.units import Address, Atoms, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """Atoms locked behind a provider's promises."""

    provider: Address
    staked: Atoms
    exiting: Atoms
    """On the way out; can still be slashed."""
    exits_at: Timestamp
    """First second at which `exiting` can be paid; zero: nothing is leaving."""
    receipt_key: Address
    """Signs the provider's offers, receipts and closes."""
