"""Whom a node may gossip with and hear of: those who offer something on chain, and have a stake behind it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tallystick.ports import PostedOffer
from tallystick.protocol.hearsay import Key
from tallystick.protocol.proving import known_key
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.units import Address, Hash32
from tallystick.reach import reachable_safely

PROVIDERS: Final = 16_384
"""That are heard of. Where more offer something, those with the most stake are."""
OFFERS: Final = 32
"""Of one provider that are heard of: the newest."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One provider's gateway."""

    provider: Address
    endpoint: str
    """Base URL, of its newest offer."""
    receipt_key: Address
    models: Mapping[Hash32, str]
    """Of each offer."""


@dataclass(frozen=True, slots=True)
class Roster:
    peers: Mapping[Address, Peer] = field(default_factory=dict)
    order: tuple[Address, ...] = ()
    """The same providers, for drawing from."""
    providers: Mapping[str, tuple[Address, ...]] = field(init=False, repr=False, compare=False)
    """Of each model that somebody offers. It follows from `peers`."""

    def __post_init__(self) -> None:
        providers: defaultdict[str, list[Address]] = defaultdict(list)
        for provider, peer in self.peers.items():
            for model in set(peer.models.values()):
                providers[model].append(provider)
        object.__setattr__(self, "providers", {model: tuple(found) for model, found in providers.items()})

    def receipt_key(self, provider: Address) -> Address:
        return self.peers[provider].receipt_key

    def key_of(self, message: Status | Suspicion | Rating) -> Key | None:
        """As of `known_key`."""
        return known_key(message, self._offered)

    def _offered(self, provider: Address) -> Mapping[Hash32, str] | None:
        peer = self.peers.get(provider)
        return None if peer is None else peer.models

    @property
    def models(self) -> dict[Address, frozenset[bytes]]:
        """As `Hearsay.keep` takes them."""
        return {
            provider: frozenset(model.encode() for model in peer.models.values())
            for provider, peer in self.peers.items()
        }


def roster_of(offers: Sequence[PostedOffer], *, local: bool) -> Roster:
    """`local` as of `reachable_safely`: an offer is a stranger's word on where to send something."""
    sold: dict[Address, list[PostedOffer]] = {}
    for posted in offers:
        if reachable_safely(posted.offer, local=local):
            sold.setdefault(posted.offer.provider, []).append(posted)
    richest = sorted(sold, key=lambda provider: (-sold[provider][0].stake.staked, provider))[:PROVIDERS]
    return Roster({provider: _peer(sold[provider]) for provider in richest}, tuple(richest))


def _peer(offers: list[PostedOffer]) -> Peer:
    newest = sorted(offers, key=lambda posted: -posted.offer.sequence)[:OFFERS]
    return Peer(
        newest[0].offer.provider,
        newest[0].offer.endpoint.rstrip("/"),
        newest[0].stake.receipt_key,
        {posted.offer_hash: posted.offer.model for posted in newest},
    )
