"""What one block says of the market, and the rows that are written of it once and never changed.

Pure: it knows neither the node that told it nor the database. What changes with the events, `folding` has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final

import orjson

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError
from tallystick.chain.errors import ContractError
from tallystick.chain.events import (
    EVENTS,
    ChainEvent,
    OfferEquivocationProven,
    OfferPosted,
    OverchargeProven,
    ReceiptEquivocationProven,
    ReceiptKeySet,
    Settled,
    Skip,
    Slashed,
)
from tallystick.protocol.message import Message
from tallystick.protocol.units import to_hex

Row = dict[str, Any]
"""By column."""

PROOFS: Mapping[type[ChainEvent], str] = {
    OverchargeProven: "overcharge",
    ReceiptEquivocationProven: "receipt-equivocation",
    OfferEquivocationProven: "offer-equivocation",
}
"""What each proof proves; the event after one says what it cost."""


_REASON: Final = 2_000
"""Characters: an asset may say what it likes, at any length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One that was sent to the market, or that made it log something."""

    position: int
    hash: bytes
    sender: bytes
    recipient: bytes | None
    call: str
    """The market's function; empty where it is none."""
    input: bytes
    succeeded: bool
    error: str | None
    """Why it failed, where the node could say."""
    gas_used: int
    gas_price: int
    """Wei."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketBlock:
    """One block, as far as the market is in it."""

    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    base_fee: int = 0
    gas_used: int = 0
    transactions: tuple[Transaction, ...] = ()
    """In the block's order."""
    events: tuple[ChainEvent, ...] = ()
    """In the chain's order, each of one of `transactions`."""
    transfers: int = 0
    """How often the asset went to the market, or left it."""
    received: int = 0
    """Atoms."""
    sent: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.transactions or self.events or self.transfers)

    @property
    def hour(self) -> int:
        return self.timestamp - self.timestamp % 3600


def block_row(block: MarketBlock, *, held: int, owed: int) -> Row:
    return {
        "number": block.number,
        "hash": block.hash,
        "parent": block.parent,
        "timestamp": block.timestamp,
        "base_fee": block.base_fee,
        "gas_used": block.gas_used,
        "transactions": len(block.transactions),
        "events": len(block.events),
        "transfers": block.transfers,
        "held": held,
        "owed": owed,
    }


def transaction_row(block: MarketBlock, transaction: Transaction, *, events: int) -> Row:
    return {
        "block": block.number,
        "position": transaction.position,
        "hash": transaction.hash,
        "sender": transaction.sender,
        "recipient": transaction.recipient,
        "call": transaction.call,
        "input": transaction.input,
        "succeeded": transaction.succeeded,
        "error": transaction.error,
        "gas_used": transaction.gas_used,
        "gas_price": transaction.gas_price,
        "cost": transaction.gas_used * transaction.gas_price,
        "events": events,
        "timestamp": block.timestamp,
    }


def event_row(
    event: ChainEvent, timestamp: int, position: int, payer: bytes | None, provider: bytes | None
) -> Row:
    return _place(event, timestamp) | {
        "position": position,
        "transaction_hash": event.transaction,
        "name": type(event).__name__,
        "arguments": orjson.dumps(arguments(event)).decode(),
        "payer": payer,
        "provider": provider,
        "channel_id": getattr(event, "channel_id", None),
    }


def offer_row(event: OfferPosted, timestamp: int) -> Row:
    offer = event.offer
    return _place(event, timestamp) | {
        "offer_hash": event.offer_hash,
        "provider": offer.provider,
        "sequence": offer.sequence,
        "endpoint": plain(offer.endpoint),
        "endpoint_key": offer.endpoint_key,
        "model": plain(offer.model),
        "model_hash": offer.model_hash,
        "input_price": offer.input_price,
        "cached_input_price": offer.cached_input_price,
        "output_price": offer.output_price,
        "context_length": offer.context_length,
        "credit": offer.credit,
        "valid_until": offer.valid_until,
    }


def receipt_key_row(event: ReceiptKeySet, timestamp: int) -> Row:
    return _place(event, timestamp) | {"provider": event.provider, "receipt_key": event.receipt_key}


def settlement_row(
    event: Settled, timestamp: int, position: int, *, payer: bytes, provider: bytes, paid: int
) -> Row:
    return _place(event, timestamp) | {
        "position": position,
        "transaction_hash": event.transaction,
        "channel_id": event.channel_id,
        "payer": payer,
        "provider": provider,
        "paid": paid,
        "settled": event.settled,
        "acknowledgement_hash": event.acknowledgement_hash,
    }


def fraud_row(event: Slashed, timestamp: int, before: ChainEvent | None) -> Row:
    """`before`: the event before it, which is the proof of what was slashed for; a verdict has none."""
    proof = before if before is not None and _is_proof_for(before, event) else None
    return _place(event, timestamp) | {
        "transaction_hash": event.transaction,
        "provider": event.provider,
        "kind": "verdict" if proof is None else PROOFS[type(proof)],
        "reporter": getattr(proof, "reporter", None),
        "evidence": orjson.dumps({} if proof is None else arguments(proof)).decode(),
        "reward": event.reward,
        "burnt": event.burnt,
    }


def _is_proof_for(before: ChainEvent, event: Slashed) -> bool:
    return (
        type(before) in PROOFS
        and before.transaction == event.transaction
        and before.log_index + 1 == event.log_index
    )


def _place(event: ChainEvent, timestamp: int) -> Row:
    return {"block": event.block, "log_index": event.log_index, "timestamp": timestamp}


def arguments(event: ChainEvent) -> dict[str, Any]:
    """As the contract names them; numbers in decimal, bytes in hex, a reason by its name."""
    return {name: _written(value) for name, value in named_values(event).items()}


def named_values(event: ChainEvent) -> dict[str, Any]:
    """As the contract names them, and as they are."""
    return {camel: getattr(event, name) for name, camel in _ARGUMENTS[type(event).__name__]}


def _named(kind: type[ChainEvent]) -> tuple[tuple[str, str], ...]:
    """Its own fields: what they are called here, and in the contract."""
    where = {field.name for field in fields(ChainEvent)}
    names = [field.name for field in fields(kind) if field.name not in where]
    return tuple((name, _camel(name)) for name in names)


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda letter: letter[1].upper(), name)


_ARGUMENTS: Final = {name: _named(kind) for name, kind in EVENTS.items()}


def _written(value: Any) -> Any:
    match value:
        case bytes():
            return to_hex(value)
        case Skip():
            return value.name
        case int():
            return str(value)
        case Message():
            return value.to_json()
        case list() | tuple():
            return [_written(item) for item in value]
        case Mapping():
            return {key: _written(item) for key, item in value.items()}
        case _:
            return value


def plain(text: str) -> str:
    """A stranger's words as any database keeps them: PostgreSQL has no NUL in a text."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def call_name(recipient: bytes | None, market: bytes, data: bytes) -> str:
    """The market's function that a transaction calls; empty where it is none."""
    return _names().get(data[:4], "") if recipient == market else ""


def decoded_call(data: bytes) -> tuple[str, dict[str, Any]] | None:
    """The market's function that `data` calls, and its arguments as `arguments` has an event's; None where
    it is none of the market's, or not what its selector promises."""
    try:
        found = contracts.market().interface.calldata(data)
    except AbiError:
        return None
    return None if found is None else (found[0], _written(found[1]))


@cache
def _names() -> dict[bytes, str]:
    return {selector: name for name, (selector, _) in contracts.market().interface.functions.items()}


def reason(error: ContractError) -> str:
    """Why a transaction failed: the error with its arguments, and what that means."""
    given = ", ".join(f"{name}={_written(value)}" for name, value in error.arguments.items())
    return plain(f"{error.name}({given}): {error.sentence}")[:_REASON]
