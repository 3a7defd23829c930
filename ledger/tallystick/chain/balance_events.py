"""What the duels' contract and the audits' both log of the balances that they keep (`IBalances`), each its
own."""

from dataclasses import dataclass

from tallystick.chain.events import ChainEvent
from tallystick.protocol.units import Address, Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Credited(ChainEvent):
    owner: Address
    amount: Atoms
    balance: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn(ChainEvent):
    owner: Address
    amount: Atoms
