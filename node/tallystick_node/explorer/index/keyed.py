"""What rows that are found by an address have in common. It knows no table."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self, TypeAlias

Key: TypeAlias = bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """Somebody's row."""

    TABLE: ClassVar[str]
    address: bytes

    @property
    def key(self) -> Key:
        return self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance(Addressed):
    """What a contract of fees owes to somebody."""

    balance: int = 0
    posted: int = 0
    credited: int = 0
    withdrawn: int = 0
    last_block: int

    @property
    def owed(self) -> int:
        return self.balance

    @property
    def is_sound(self) -> bool:
        return self.balance >= 0

    def post(self, fee: int, block: int) -> Self:
        """A fee comes out of the balance first, and no event says so."""
        left, posted = max(0, self.balance - fee), self.posted + fee
        return replace(self, balance=left, posted=posted, last_block=block)

    def credit(self, amount: int, balance: int, block: int) -> Self:
        """`balance`: what the event says that it is then."""
        return replace(self, balance=balance, credited=self.credited + amount, last_block=block)

    def withdraw(self, amount: int, block: int) -> Self:
        left, withdrawn = self.balance - amount, self.withdrawn + amount
        return replace(self, balance=left, withdrawn=withdrawn, last_block=block)
