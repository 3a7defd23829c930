"""The contract's state as one node tells it and another confirms: a `ChainReader` for those who act on a
deposit before they have read it in a block.

Nodes are never quite as far as one another, so the answers are not compared: of what speaks for a payer the
least is believed.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from tallystick.chain.errors import ChainDisputed, ChainError, ChainUnavailable
from tallystick.ports import Account, ChainReader, Head
from tallystick.protocol.channel import Channel
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import Address

T = TypeVar("T")


class Witnessed:
    """Raises ChainUnavailable where no witness answers."""

    def __init__(self, node: ChainReader, witnesses: Sequence[ChainReader]):
        self._node = node
        self._witnesses = witnesses

    def head(self) -> Head:
        """The newest that any of them knows."""
        heads = [self._node.head(), *self._each(lambda reader: reader.head())]
        return max(heads, key=lambda head: head.number)

    def account(self, payer: Address) -> Account:
        """No more than some witness says it holds."""
        told = self._node.account(payer)
        confirmed = max(self._each(lambda reader: reader.account(payer)), key=_held)
        return min(told, confirmed, key=_held)

    def stake(self, provider: Address) -> Stake:
        return self._node.stake(provider)

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        """Where some witness says so too."""
        return self._node.is_receipt_key(provider, key) and any(
            self._each(lambda reader: reader.is_receipt_key(provider, key))
        )

    def channel(self, payer: Address, provider: Address, session_key: Address) -> Channel:
        """Raises ChainDisputed where no witness says the same."""
        told = self._node.channel(payer, provider, session_key)
        if told not in self._each(lambda reader: reader.channel(payer, provider, session_key)):
            raise ChainDisputed("No witness of the chain's knows the channel as its node does.")
        return told

    def _each(self, ask: Callable[[ChainReader], T]) -> list[T]:
        answers: list[T] = []
        for witness in self._witnesses:
            try:
                answers.append(ask(witness))
            except ChainError:
                continue
        if not answers:
            raise ChainUnavailable("None of the chain's witnesses answers.")
        return answers


def _held(account: Account) -> int:
    return account.free + account.exiting
