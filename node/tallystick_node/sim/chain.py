"""The simulated chain: what changes there counts from the next block. It knows no gas market; who asks for a
transaction gets it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from tallystick.client.choose import Offers, by_model
from tallystick.ports import PostedOffer
from tallystick.protocol.offer import Offer
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import Atoms, Tokens

_LIKE_ALL: Final = Tokens(1 << 20)


class Chain:
    def __init__(self, at: Callable[..., None], *, block_s: float):
        """`at`: plans what happens, as `Events.at`."""
        self._at = at
        self._block_s = block_s
        self.posted: dict[int, PostedOffer] = {}
        """By node: the offers that hold."""
        self.counts: Counter[str] = Counter()
        """Transactions, by what they did."""
        self._laid_out: Mapping[str, Offers] | None = None

    @property
    def offers(self) -> Mapping[str, Offers]:
        """Those that hold, by model."""
        if self._laid_out is None:
            self._laid_out = by_model(self.posted.values())
        return self._laid_out

    def next_block(self, now: float) -> float:
        return (now // self._block_s + 1) * self._block_s

    def post(self, index: int, offer: Offer, stake: Stake, now: float) -> None:
        self.counts["offer"] += 1
        self._at(self.next_block(now), self._put, index, _posted(offer, stake))

    def put(self, index: int, offer: Offer, stake: Stake) -> None:
        """It is there from the start."""
        self._put(index, _posted(offer, stake))

    def withdraw(self, index: int, now: float) -> None:
        self.counts["withdraw"] += 1
        self._at(self.next_block(now), self._put, index, None)

    def stake(self, index: int, staked: Atoms, now: float) -> None:
        self.counts["stake"] += 1
        self._at(self.next_block(now), self._restake, index, staked)

    def _restake(self, index: int, staked: Atoms) -> None:
        posted = self.posted.get(index)
        if posted is not None:
            self._put(index, replace(posted, stake=replace(posted.stake, staked=staked)))

    def _put(self, index: int, posted: PostedOffer | None) -> None:
        self._laid_out = None
        if posted is None:
            self.posted.pop(index, None)
        else:
            self.posted[index] = posted


def _posted(offer: Offer, stake: Stake) -> PostedOffer:
    """Lots lie in the order of hashes, which here leave out the context: engines that differ in their memory
    alone are to meet the same chance."""
    alike = replace(offer, context_length=_LIKE_ALL)
    return PostedOffer(offer=offer, offer_hash=alike.struct_hash(), stake=stake)
