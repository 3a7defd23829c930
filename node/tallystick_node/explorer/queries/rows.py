"""The tables' rows as values, field by column: what every page shows, whatever else it adds.

They know no statement.
"""

from collections.abc import Hashable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, ClassVar, Final, Self, cast

import orjson
from sqlalchemy import Row, Select, Table, select

from tallystick_node.explorer import schema
from tallystick_node.explorer.told import Argument, event_told
from tallystick_node.explorer.values import Address, Amount, Hash, shown

_PROOFS: Final = {
    "overcharge": "OverchargeProven",
    "receipt-equivocation": "ReceiptEquivocationProven",
    "offer-equivocation": "OfferEquivocationProven",
    "strikes": "Audits.Concluded",
}
"""The event that a kind of fraud is proven by, or told with."""


class Record:
    """A row of one table. Subclasses are frozen dataclasses whose fields are its columns."""

    TABLE: ClassVar[Table]
    JSON: ClassVar[frozenset[str]] = frozenset()
    """Columns that are JSON text."""

    @classmethod
    def select(cls) -> Select[Any]:
        return select(*(cls.TABLE.c[name] for name in _names(cast(Hashable, cls))))

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """From a row that begins with what `select` asks for."""
        values = dict(zip(_names(cast(Hashable, cls)), row, strict=False))
        for name in cls.JSON:
            values[name] = orjson.loads(values[name])
        return cls(**values)


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@shown
class Progress(Record):
    """How far the chain was read."""

    TABLE = schema.progress
    chain_id: int
    market: Address
    block: int
    hash: Hash
    timestamp: int


@shown
class Block(Record):
    TABLE = schema.blocks
    number: int
    hash: Hash
    parent: Hash
    timestamp: int
    base_fee: Amount
    gas_used: int
    transactions: int
    """Of the market, as `events` are."""
    events: int
    transfers: int
    """Of the asset, to or from the market."""
    held: Amount
    """By the market, as the asset's own transfers have it."""
    owed: Amount
    """By the market, as its events have it."""
    duels_held: Amount
    """By the duels' contract, as `held`; by the audits' likewise."""
    duels_owed: Amount
    audits_held: Amount
    audits_owed: Amount


@shown
class Transaction(Record):
    """But for what it was called with, which only its own page shows."""

    TABLE = schema.transactions
    block: int
    position: int
    hash: Hash
    sender: Address
    recipient: Address | None
    call: str
    """Name of the market's function, or of the duels' as `Duels.decide`; empty: none of theirs."""
    succeeded: bool
    error: str | None
    gas_used: int
    gas_price: Amount
    cost: Amount
    events: int
    timestamp: int


@shown
class Event(Record):
    TABLE = schema.events
    JSON = frozenset({"arguments"})
    block: int
    log_index: int
    position: int
    transaction_hash: Hash
    name: str
    arguments: Mapping[str, Any]
    """By the contract's own names: amounts as decimal text, bytes as hex."""
    payer: Address | None
    provider: Address | None
    channel_id: Hash | None
    duel: Hash | None
    """Of an appeal, what it appeals; of money that moved, what moved it."""
    accusation: Hash | None
    """Likewise; of a strike none: its accusation comes later."""
    timestamp: int

    @property
    def told(self) -> tuple[Argument, ...]:
        """Its arguments one by one, for people."""
        return event_told(self.name, self.arguments)


@shown
class Account(Record):
    """A payer's."""

    TABLE = schema.accounts
    address: Address
    free: Amount
    exiting: Amount
    exits_at: int
    """Zero while nothing is exiting."""
    deposited: Amount
    exited: Amount
    paid: Amount
    channels: int
    first_block: int
    last_block: int

    @property
    def locked(self) -> Amount:
        """In channels, not settled: what came in and is neither out, nor free, nor on its way out."""
        return self.deposited - self.exited - self.paid - self.free - self.exiting


@shown
class Provider(Record):
    TABLE = schema.providers
    address: Address
    staked: Amount
    exiting: Amount
    exits_at: int
    """Zero while nothing is exiting."""
    balance: Amount
    earned: Amount
    withdrawn: Amount
    slashed: Amount
    receipt_key: Address | None
    minimum_sequence: Amount
    offers: int
    channels: int
    settlements: int
    slashes: int
    duels_won: int
    duels_lost: int
    duels_tied: int
    prizes_won: Amount
    prizes_lost: Amount
    penalties: Amount
    """Lost as a judge."""
    first_block: int
    last_block: int


@shown
class ReceiptKey(Record):
    TABLE = schema.receipt_keys
    block: int
    log_index: int
    provider: Address
    receipt_key: Address
    timestamp: int


@shown
class Offer(Record):
    """As often as it was posted."""

    TABLE = schema.offers
    block: int
    log_index: int
    offer_hash: Hash
    provider: Address
    sequence: Amount
    endpoint: str
    endpoint_key: Hash
    model: str
    model_hash: Hash
    input_price: Amount
    cached_input_price: Amount
    output_price: Amount
    credit: Amount
    context_length: int
    valid_until: Amount
    timestamp: int


@shown
class Channel(Record):
    """One life of one channel."""

    TABLE = schema.channels
    channel_id: Hash
    payer: Address
    provider: Address
    session_key: Address
    epoch: int
    cap: Amount
    settled: Amount
    returned: Amount
    settlements: int
    opened_block: int
    opened_at: int
    closes_at: int
    """Zero unless its payer asked for the close."""
    closed_block: int
    closed_at: int
    """Zero while it is not closed."""
    last_block: int

    @property
    def left(self) -> Amount:
        """What it can still pay."""
        return 0 if self.closed_at else self.cap - self.settled


@shown
class Settlement(Record):
    TABLE = schema.settlements
    block: int
    log_index: int
    position: int
    transaction_hash: Hash
    channel_id: Hash
    payer: Address
    provider: Address
    paid: Amount
    """By this row."""
    settled: Amount
    """With it, in all."""
    acknowledgement_hash: Hash
    timestamp: int


@shown
class Fraud(Record):
    TABLE = schema.frauds
    JSON = frozenset({"evidence"})
    block: int
    log_index: int
    transaction_hash: Hash
    provider: Address
    kind: str
    reporter: Address | None
    evidence: Mapping[str, Any]
    """The proof's arguments."""
    reward: Amount
    burnt: Amount
    timestamp: int

    @property
    def told(self) -> tuple[Argument, ...]:
        """The proof's arguments one by one, for people; who it was by and against stands beside them."""
        told = event_told(_PROOFS.get(self.kind, ""), self.evidence)
        return tuple(argument for argument in told if argument.path not in ("provider", "reporter"))


@shown
class PublishedReceipt(Record):
    TABLE = schema.receipts
    channel_id: Hash
    sequence: int
    struct_hash: Hash
    offer_hash: Hash
    model: str
    provider: Address
    payer: Address
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    finish: int
    received_at: int
    first_token_at: int
    finished_at: int
    cost: Amount
    cumulative_cost: Amount
    acknowledgement_hash: Hash


@shown
class Published(Record):
    """Totals of a channel's published receipts."""

    TABLE = schema.published
    channel_id: Hash
    provider: Address
    receipts: int
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost: Amount


@shown
class ProviderHour(Record):
    TABLE = schema.provider_hours
    hour: int
    settlements: int
    paid: Amount
