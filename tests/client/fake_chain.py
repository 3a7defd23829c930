"""The chain, as far as a payer looks: accounts, channels, offers, keys."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tallystick.chain.errors import ChainUnavailable
from tallystick.ports import Account, Head, MarketTerms, PostedOffer
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import Address, Atoms, Timestamp

DOMAIN = Domain(chain_id=31337, contract=Address(b"\x77" * 20))


@dataclass
class FakeChain:
    """Accounts, channels and offers, as a chain would say them; both ports that a payer needs."""

    free: int = 10**12
    posted: list[PostedOffer] = field(default_factory=list)
    former_keys: set[tuple[Address, Address]] = field(default_factory=set)
    """(provider, receipt key) that were named once."""
    gone: bool = False
    """It does not say whose a key is."""
    channels: dict[tuple[bytes, bytes, bytes], Channel] = field(default_factory=dict)

    def head(self) -> Head:
        return Head(number=1, timestamp=Timestamp(0))

    def account(self, payer: Address) -> Account:
        return Account(free=Atoms(self.free), exiting=Atoms(0), exits_at=Timestamp(0))

    def stake(self, provider: Address) -> Stake:
        return next(item.stake for item in self.posted if item.offer.provider == provider)

    def channel(self, payer: Address, provider: Address, session_key: Address) -> Channel:
        key = ChannelKey(payer=payer, provider=provider, session_key=session_key)
        return self.channels.get((payer, provider, session_key), Channel(key=key))

    def terms(self) -> MarketTerms:
        return MarketTerms(minimum_stake=Atoms(1), unit=Atoms(1_000_000))

    def offers(self) -> Sequence[PostedOffer]:
        return list(self.posted)

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        if self.gone:
            raise ChainUnavailable("The chain is gone.")
        return (provider, key) in self.former_keys or key == self.stake(provider).receipt_key
