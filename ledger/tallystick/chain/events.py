"""What the market's contract has logged, as values named after the contract's own events. The duels' are in
`duel_events`.

Amounts are atoms and carry totals, times are unix seconds. A test holds these classes to the ABI, field by
field. They know no node.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final

from tallystick.chain import contracts
from tallystick.chain.contracts import Contract
from tallystick.chain.errors import ChainUnavailable
from tallystick.protocol.message import fields_of
from tallystick.protocol.offer import Offer
from tallystick.protocol.units import Address, Atoms, ChannelId, Hash32, Timestamp


class Skip(IntEnum):
    """Why a row or a grant of a batch was passed over."""

    STALE_EPOCH = 0
    NOT_GREATER = 1
    BAD_SIGNATURE = 2
    EXPIRED = 3
    CHANNEL_CLOSING = 4
    INSUFFICIENT_FREE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainEvent:
    """One log of the market's contract, or of one beside it, and where it stands on the chain."""

    CONTRACT: ClassVar[str] = "Market"
    block: int
    log_index: int
    """Dense in a block, all contracts together."""
    transaction: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposited(ChainEvent):
    payer: Address
    amount: Atoms
    free: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRequested(ChainEvent):
    payer: Address
    free: Atoms
    exiting: Atoms
    exits_at: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited(ChainEvent):
    payer: Address
    amount: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Staked(ChainEvent):
    provider: Address
    amount: Atoms
    staked: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class UnstakeRequested(ChainEvent):
    provider: Address
    staked: Atoms
    exiting: Atoms
    exits_at: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstaked(ChainEvent):
    provider: Address
    amount: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptKeySet(ChainEvent):
    provider: Address
    receipt_key: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Slashed(ChainEvent):
    provider: Address
    recipient: Address
    reward: Atoms
    burnt: Atoms
    staked: Atoms
    exiting: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Awarded(ChainEvent):
    """What a duel moved out of the loser's stake."""

    loser: Address
    winner: Address
    to_winner: Atoms
    to_arbiter: Atoms
    """Left the market, for the judges."""
    staked: Atoms
    """The loser's now, as `exiting`."""
    exiting: Atoms
    winner_staked: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class OverchargeProven(ChainEvent):
    """The `Slashed` that follows it says what that cost, as it does after the next two."""

    provider: Address
    reporter: Address
    receipt_hash: Hash32
    offer_hash: Hash32
    price: Atoms
    cost: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptEquivocationProven(ChainEvent):
    provider: Address
    reporter: Address
    channel_id: ChannelId
    sequence: int
    first: Hash32
    second: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferEquivocationProven(ChainEvent):
    provider: Address
    reporter: Address
    sequence: int
    first: Hash32
    second: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferPosted(ChainEvent):
    provider: Address
    sequence: int
    offer_hash: Hash32
    offer: Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class OffersWithdrawn(ChainEvent):
    provider: Address
    minimum_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOpened(ChainEvent):
    channel_id: ChannelId
    payer: Address
    provider: Address
    session_key: Address
    epoch: int
    cap: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class CapRaised(ChainEvent):
    channel_id: ChannelId
    cap: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSkipped(ChainEvent):
    payer: Address
    provider: Address
    session_key: Address
    reason: Skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(ChainEvent):
    channel_id: ChannelId
    settled: Atoms
    acknowledgement_hash: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSkipped(ChainEvent):
    channel_id: ChannelId
    reason: Skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned(ChainEvent):
    provider: Address
    amount: Atoms
    balance: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseRequested(ChainEvent):
    channel_id: ChannelId
    closes_at: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelClosed(ChainEvent):
    channel_id: ChannelId
    settled: Atoms
    returned: Atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn(ChainEvent):
    provider: Address
    amount: Atoms


EVENTS: Final[Mapping[str, type[ChainEvent]]] = {
    kind.__name__: kind
    for kind in (
        *(Deposited, ExitRequested, Exited),
        *(Staked, UnstakeRequested, Unstaked, ReceiptKeySet, Slashed, Awarded),
        *(OverchargeProven, ReceiptEquivocationProven, OfferEquivocationProven),
        *(OfferPosted, OffersWithdrawn),
        *(ChannelOpened, CapRaised, GrantSkipped, Settled, RowSkipped, Earned),
        *(CloseRequested, ChannelClosed, Withdrawn),
    )
}


def name_of(kind: type[ChainEvent]) -> str:
    """Of an event: the market's own by its name alone, another contract's behind that one's name, since both
    may have one of the same name."""
    return kind.__name__ if kind.CONTRACT == "Market" else f"{kind.CONTRACT}.{kind.__name__}"


def is_next(before: ChainEvent, event: ChainEvent) -> bool:
    """Of one transaction, with no log between them."""
    return before.transaction == event.transaction and before.log_index + 1 == event.log_index


def read_event(log: Mapping[str, Any]) -> ChainEvent | None:
    """A log as the node gives it; None where it is no event of the market's contract.

    Raises
    ------
    ChainUnavailable :
        The log is not what the ABI says: the node, or the deployment, cannot be relied on.
    """
    return read_log(log, contracts.market(), EVENTS, READ)


def read_log(
    log: Mapping[str, Any],
    contract: Contract,
    kinds: Mapping[str, type[ChainEvent]],
    read: Mapping[str, Callable[[Any], Any]],
) -> ChainEvent | None:
    """The same of any contract: `kinds` are its events by name, `read` what makes their values of the
    ABI's, by the names of arguments. Raises ChainUnavailable."""
    try:
        topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
        data = bytes.fromhex(log["data"][2:])
        place = {"block": int(log["blockNumber"], 16), "log_index": int(log["logIndex"], 16)}
        transaction = Hash32(bytes.fromhex(log["transactionHash"][2:]))
    except (KeyError, ValueError, TypeError) as error:
        raise _unreadable(error) from error
    found = _found(topics, data, contract, kinds, read)
    return None if found is None else found[0](transaction=transaction, **place, **found[1])


def event_of(
    topics: Sequence[bytes], data: bytes, *, block: int, log_index: int, transaction: Hash32
) -> ChainEvent | None:
    """An event of the market's, of a log that is bytes and numbers already; raises ChainUnavailable too."""
    found = _found(topics, data, contracts.market(), EVENTS, READ)
    if found is None:
        return None
    kind, values = found
    return kind(block=block, log_index=log_index, transaction=transaction, **values)


def _found(
    topics: Sequence[bytes],
    data: bytes,
    contract: Contract,
    kinds: Mapping[str, type[ChainEvent]],
    read: Mapping[str, Callable[[Any], Any]],
) -> tuple[type[ChainEvent], dict[str, Any]] | None:
    try:
        found = contract.interface.log(topics, data)
        if found is None or found[0] not in kinds:
            return None
        name, values = found
        return kinds[name], fields_from(values, read)
    except ValueError as error:
        raise _unreadable(error) from error


def fields_from(values: Mapping[str, Any], read: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """An event's fields, of its arguments by the ABI's names; raises ValueError where one is none."""
    return {_snake(key): read.get(key, _same)(value) for key, value in values.items()}


def _unreadable(error: Exception) -> ChainUnavailable:
    return ChainUnavailable(f"The node gave a log that cannot be read ({error!r}).")


def _offer(values: tuple[Any, ...]) -> Offer:
    """The contract's struct has the fields of the type string, in its order."""
    names = (_snake(name) for _, name in fields_of(Offer.TYPE))
    return Offer(**dict(zip(names, values, strict=True)))


def _same(value: Any) -> Any:
    return value


READ: Final[Mapping[str, Callable[[Any], Any]]] = {"offer": _offer, "reason": Skip}
"""What makes fields of the ABI's values, by the names of arguments."""


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)
