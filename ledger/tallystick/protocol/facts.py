"""What the chain has to say about receipts: everything that an audit needs and no party can make up.

Whoever audits reads it from wherever it trusts: a node, an index, a file. It knows no receipt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.message import read_value
from tallystick.protocol.offer import Offer
from tallystick.protocol.units import Address, Atoms, Hash32, Timestamp, to_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """An offer that was posted once, and what became of it."""

    offer: Offer
    posted_at: Timestamp
    """Of the block."""
    withdrawn_at: Timestamp | None = None
    """Of the block that raised the provider's minimum above it; None: it never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One payment of a channel: a `Settled` event, or a `ChannelClosed` one that settled more."""

    settled: Atoms
    """Of the channel, in all."""
    acknowledgement_hash: Hash32 | None
    """None: by a close, whose amount the provider signed and the payer sent. It names no receipts."""
    block: int
    log_index: int
    transaction: Hash32
    timestamp: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """About one channel and the offers that its receipts name."""

    domain: Domain
    """The market that was asked."""
    block: int
    """The newest that was read."""
    channel: ChannelKey | None = None
    """None: it was never opened."""
    offers: Mapping[Hash32, Posted] = field(default_factory=dict)
    """By offer hash; one that is not here was never posted."""
    receipt_keys: Mapping[Address, frozenset[Address]] = field(default_factory=dict)
    """By provider, every key that it ever named. Its own is one without being named."""
    settlements: Sequence[Settlement] = ()
    """Of the channel, in the chain's order."""

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        """As the contract's `isReceiptKey` answers."""
        return key == provider or key in self.receipt_keys.get(provider, ())

    def paying(self, cumulative_cost: int) -> Settlement | None:
        """The first that paid so many atoms of the channel."""
        return next((item for item in self.settlements if item.settled >= cumulative_cost), None)

    @property
    def settled(self) -> Atoms:
        return max((item.settled for item in self.settlements), default=Atoms(0))


def facts_to_json(facts: Facts) -> dict[str, Any]:
    """As a program gets them from an explorer."""
    return {
        "chainId": str(facts.domain.chain_id),
        "market": to_hex(facts.domain.contract),
        "block": str(facts.block),
        "channel": None if facts.channel is None else facts.channel.to_json(),
        "offers": [
            {
                "offer": posted.offer.to_json(),
                "postedAt": str(posted.posted_at),
                "withdrawnAt": None if posted.withdrawn_at is None else str(posted.withdrawn_at),
            }
            for posted in facts.offers.values()
        ],
        "receiptKeys": [
            {"provider": to_hex(provider), "receiptKey": to_hex(key)}
            for provider, keys in facts.receipt_keys.items()
            for key in sorted(keys)
        ],
        "settlements": [_settlement_to_json(item) for item in facts.settlements],
    }


def _settlement_to_json(item: Settlement) -> dict[str, str | None]:
    hashed = item.acknowledgement_hash
    return {
        "settled": str(item.settled),
        "acknowledgementHash": None if hashed is None else to_hex(hashed),
        "block": str(item.block),
        "logIndex": str(item.log_index),
        "transactionHash": to_hex(item.transaction),
        "timestamp": str(item.timestamp),
    }


def facts_from_json(data: object) -> Facts:
    """What `facts_to_json` wrote. Raises MalformedMessage."""
    if not isinstance(data, Mapping):
        raise MalformedMessage("The chain's facts are an object.")
    channel = data.get("channel")
    offers = [_read_posted(item) for item in _list(data, "offers")]
    keys: dict[Address, frozenset[Address]] = {}
    for item in _list(data, "receiptKeys"):
        provider = read_value("address", item.get("provider"), "provider")
        named = read_value("address", item.get("receiptKey"), "receiptKey")
        keys[provider] = keys.get(provider, frozenset()) | {named}
    return Facts(
        domain=Domain(
            chain_id=read_value("uint256", data.get("chainId"), "chainId"),
            contract=read_value("address", data.get("market"), "market"),
        ),
        block=read_value("uint64", data.get("block"), "block"),
        channel=None if channel is None else ChannelKey.from_json(channel),
        offers={posted.offer.struct_hash(): posted for posted in offers},
        receipt_keys=keys,
        settlements=[_read_settlement(item) for item in _list(data, "settlements")],
    )


_TIME: Final = "uint64"


def _read_posted(item: Mapping[str, Any]) -> Posted:
    withdrawn = item.get("withdrawnAt")
    return Posted(
        offer=Offer.from_json(item.get("offer")),
        posted_at=read_value(_TIME, item.get("postedAt"), "postedAt"),
        withdrawn_at=None if withdrawn is None else read_value(_TIME, withdrawn, "withdrawnAt"),
    )


def _read_settlement(item: Mapping[str, Any]) -> Settlement:
    hashed = item.get("acknowledgementHash")
    return Settlement(
        settled=read_value("uint128", item.get("settled"), "settled"),
        acknowledgement_hash=(
            None if hashed is None else read_value("bytes32", hashed, "acknowledgementHash")
        ),
        block=read_value("uint64", item.get("block"), "block"),
        log_index=read_value("uint64", item.get("logIndex"), "logIndex"),
        transaction=read_value("bytes32", item.get("transactionHash"), "transactionHash"),
        timestamp=read_value(_TIME, item.get("timestamp"), "timestamp"),
    )


def _list(data: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    items = data.get(name)
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise MalformedMessage(f"{name} is a list of objects.")
    return items
