"""What one block says of the market, and the rows that are written of it once and never changed.

Pure: it knows neither the node that told it nor the database. What changes with the events, `folding` has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final

import orjson

from tallystick.chain import audit_events, contracts, duel_events
from tallystick.chain.abi import Entry, Parameter
from tallystick.chain.audit_events import AUDIT_EVENTS
from tallystick.chain.contracts import Contract
from tallystick.chain.deployment import Deployment
from tallystick.chain.duel_events import DUEL_EVENTS
from tallystick.chain.duels import Ruling
from tallystick.chain.errors import ContractError
from tallystick.chain.events import (
    EVENTS,
    READ,
    ChainEvent,
    OfferEquivocationProven,
    OfferPosted,
    OverchargeProven,
    ReceiptEquivocationProven,
    ReceiptKeySet,
    Settled,
    Skip,
    Slashed,
    fields_from,
    is_next,
    name_of,
)
from tallystick.protocol.message import Message
from tallystick.protocol.strikes import Opinion, Outcome
from tallystick.protocol.units import Hash32, to_hex
from tallystick.protocol.vote import Choice

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
    """The function of the market, or of the duels as `Duels.decide`; empty where it is none."""
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
    """How often the asset went to the market, its duels or its audits, or left one."""
    received: int = 0
    """Atoms, by the market."""
    sent: int = 0
    duels_received: int = 0
    duels_sent: int = 0
    audits_received: int = 0
    audits_sent: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.transactions or self.events or self.transfers)

    @property
    def hour(self) -> int:
        return self.timestamp - self.timestamp % 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whom an event is about, as far as it is about such."""

    payer: bytes | None
    provider: bytes | None
    duel: bytes | None
    accusation: bytes | None


def block_row(block: MarketBlock, **sums: int) -> Row:
    """`sums`: what is held and owed after it."""
    return sums | {
        "number": block.number,
        "hash": block.hash,
        "parent": block.parent,
        "timestamp": block.timestamp,
        "base_fee": block.base_fee,
        "gas_used": block.gas_used,
        "transactions": len(block.transactions),
        "events": len(block.events),
        "transfers": block.transfers,
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


def event_row(event: ChainEvent, timestamp: int, position: int, whose: Whose) -> Row:
    return _place(event, timestamp) | {
        "position": position,
        "transaction_hash": event.transaction,
        "name": name_of(type(event)),
        "arguments": orjson.dumps(arguments(event)).decode(),
        "payer": whose.payer,
        "provider": whose.provider,
        "channel_id": getattr(event, "channel_id", None),
        "duel": whose.duel,
        "accusation": whose.accusation,
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


def fraud_row(
    event: Slashed, timestamp: int, before: ChainEvent | None, accusation: bytes | None = None
) -> Row:
    """`before`: the event before it, which is the proof of what was slashed for; a verdict has none, and an
    accusation its own name."""
    proof = before if before is not None and _is_proof_for(before, event) else None
    kind, evidence = "verdict", dict[str, Any]()
    if accusation is not None:
        kind, evidence = "strikes", {"id": to_hex(accusation)}
    elif proof is not None:
        kind, evidence = PROOFS[type(proof)], arguments(proof)
    return _place(event, timestamp) | {
        "transaction_hash": event.transaction,
        "provider": event.provider,
        "kind": kind,
        "reporter": getattr(proof, "reporter", None),
        "evidence": orjson.dumps(evidence).decode(),
        "reward": event.reward,
        "burnt": event.burnt,
    }


def _is_proof_for(before: ChainEvent, event: Slashed) -> bool:
    return type(before) in PROOFS and is_next(before, event)


def _place(event: ChainEvent, timestamp: int) -> Row:
    return {"block": event.block, "log_index": event.log_index, "timestamp": timestamp}


def arguments(event: ChainEvent) -> dict[str, Any]:
    """As the contract names them; numbers in decimal, bytes in hex, a reason by its name."""
    return {name: _written(value) for name, value in named_values(event).items()}


def named_values(event: ChainEvent) -> dict[str, Any]:
    """As the contract names them, and as they are."""
    return {camel: getattr(event, name) for name, camel in _ARGUMENTS[type(event)]}


def _named(kind: type[ChainEvent]) -> tuple[tuple[str, str], ...]:
    """Its own fields: what they are called here, and in the contract."""
    where = {field.name for field in fields(ChainEvent)}
    names = [field.name for field in fields(kind) if field.name not in where]
    return tuple((name, _camel(name)) for name in names)


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda letter: letter[1].upper(), name)


_ARGUMENTS: Final[Mapping[type[ChainEvent], tuple[tuple[str, str], ...]]] = {
    kind: _named(kind) for kind in (*EVENTS.values(), *DUEL_EVENTS.values(), *AUDIT_EVENTS.values())
}


def _written(value: Any) -> Any:
    match value:
        case bytes():
            return to_hex(value)
        case Skip() | Choice() | Opinion() | Outcome():
            return value.name
        case int():
            return str(value)
        case Message():
            return value.to_json()
        case Ruling():
            return {field.name: _written(getattr(value, field.name)) for field in fields(Ruling)}
        case list() | tuple():
            return [_written(item) for item in value]
        case Mapping():
            return {key: _written(item) for key, item in value.items()}
        case _:
            return value


def event_again(
    name: str, given: Mapping[str, Any], *, block: int, log_index: int, transaction: Hash32
) -> ChainEvent:
    """The event that `arguments` wrote; raises KeyError where none has that name."""
    kind = _KINDS[name]
    entry = _entries(kind.CONTRACT)[kind.__name__]
    values = {parameter["name"]: _again(parameter, given[parameter["name"]]) for parameter in entry.inputs}
    read = {"Duels": duel_events.READ, "Audits": audit_events.READ}.get(kind.CONTRACT, READ)
    return kind(block=block, log_index=log_index, transaction=transaction, **fields_from(values, read))


_KINDS: Final[Mapping[str, type[ChainEvent]]] = {name_of(kind): kind for kind in _ARGUMENTS}
_NAMED: Final = {
    member.name: int(member) for enumeration in (Skip, Choice, Opinion, Outcome) for member in enumeration
}


@cache
def _entries(contract: str) -> Mapping[str, Entry]:
    its = {"Duels": contracts.duels, "Audits": contracts.audits}.get(contract, contracts.market)()
    return {entry.name: entry for entry in its.interface.events.values()}


def _again(parameter: Parameter, value: Any) -> Any:
    """What `_written` wrote, as the ABI gives it."""
    text: str = parameter["type"]
    if text.endswith("[]"):
        item = {**parameter, "type": text.removesuffix("[]")}
        return [_again(item, part) for part in value]
    if text == "tuple":
        return tuple(_again(part, value[part["name"]]) for part in parameter["components"])
    if text == "string":
        return value
    if value.startswith("0x"):
        return bytes.fromhex(value[2:])
    return _NAMED[value] if value in _NAMED else int(value)


def plain(text: str) -> str:
    """A stranger's words as any database keeps them: PostgreSQL has no NUL in a text."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def call_name(recipient: bytes | None, deployment: Deployment, data: bytes) -> str:
    """The function of the market, or of the duels, that a transaction calls; empty where it is none."""
    contract = contracts.at(recipient, deployment)
    return "" if contract is None else _names(contract).get(data[:4], "")


@cache
def _names(contract: Contract) -> dict[bytes, str]:
    stem = "" if contract is contracts.market() else f"{contract.name}."
    return {selector: stem + name for name, (selector, _) in contract.interface.functions.items()}


def reason(error: ContractError) -> str:
    """Why a transaction failed: the error with its arguments, and what that means."""
    given = ", ".join(f"{name}={_written(value)}" for name, value in error.arguments.items())
    return plain(f"{error.name}({given}): {error.sentence}")[:_REASON]
