"""What one simulated provider holds for its payers: `gateway.admission` decides what may begin. What it holds
for an answer at first is held until that is here and acknowledged; receipts within an answer are not played.
"""

from typing import Final

from tallystick.client.refusals import Refusal
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.offer import Offer
from tallystick.protocol.units import Address, Atoms, Tokens
from tallystick_node.gateway.admission import Bounds, Serve, admit
from tallystick_node.gateway.tab import Account, Reservation, Tab

_CAP: Final = Atoms(1 << 90)
"""Channels are opened with enough."""


class Credits:
    """Each payer has one channel. `credit` is the offer's."""

    def __init__(self, provider: Address):
        self._provider = provider
        self._accounts: dict[Address, tuple[Account, Tab]] = {}
        self._nonce = 0

    def weighed(self, payer: Address, offer: Offer, input_tokens: int) -> Reservation | Refusal:
        """What a stream of that input reserves, or why it does not begin."""
        account, tab = self._of(payer)
        bounds = Bounds(Tokens(input_tokens), offer.context_length)
        decision = admit(account, tab, offer, bounds, streamed=True, unsecured_limit=Atoms(0))
        if isinstance(decision, Serve):
            return decision.reservation
        error = decision.error
        return Refusal(402, b"", error.code, str(error), decision.terms)

    def hold(self, payer: Address, reservation: Reservation) -> int:
        """Under which number."""
        self._nonce += 1
        self._of(payer)[1].running[self._nonce] = reservation
        return self._nonce

    def release(self, payer: Address, nonce: int) -> None:
        self._of(payer)[1].running.pop(nonce, None)

    def _of(self, payer: Address) -> tuple[Account, Tab]:
        found = self._accounts.get(payer)
        if found is None:
            key = ChannelKey(payer=payer, provider=self._provider, session_key=payer)
            tab = Tab(channel=Channel(key=key, cap=_CAP))
            found = self._accounts[payer] = Account(payer=payer, tabs={tab.id: tab}), tab
        return found
