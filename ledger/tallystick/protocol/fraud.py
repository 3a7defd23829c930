"""Proofs of fraud: a provider's own signatures against it, and what the contract says to them.

The same arithmetic as `contracts/src/libraries/Fraud.sol`, step for step and error for error. What is at
stake, whether a fraud was proven before, and which keys a provider ever named is the chain's to say.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain, digest
from tallystick.protocol.errors import MalformedMessage, MalformedSignature
from tallystick.protocol.message import Message, read_value
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, recover
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, to_hex
from tallystick.protocol.wire import signed_from_json, signed_to_json

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overcharge:
    """A receipt that costs more than its offer's price of its counts."""

    KIND: ClassVar[str] = "overcharge"
    offer: Offer
    """The one that the receipt names; it needs no signature of its own."""
    receipt: Signed[Receipt]

    @property
    def provider(self) -> Address:
        return self.offer.provider


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptEquivocation:
    """Two different receipts in one place of a channel."""

    KIND: ClassVar[str] = "receipt-equivocation"
    channel: ChannelKey
    """Whose hash is the receipts' channel: it shows whose channel that is."""
    first: Signed[Receipt]
    second: Signed[Receipt]

    @property
    def provider(self) -> Address:
        return self.channel.provider


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferEquivocation:
    """Two different offers with one sequence."""

    KIND: ClassVar[str] = "offer-equivocation"
    first: Signed[Offer]
    second: Signed[Offer]

    @property
    def provider(self) -> Address:
        return self.first.message.provider


Proof = Overcharge | ReceiptEquivocation | OfferEquivocation


# ---------------------------------------------------------------------------------------------- finding


def overcharge(offer: Offer, receipt: Signed[Receipt]) -> Overcharge | None:
    """The proof, where the receipt is above the price of the offer that it names."""
    message = receipt.message
    if message.offer_hash != offer.struct_hash() or message.cost <= price_up(offer, message):
        return None
    return Overcharge(offer=offer, receipt=receipt)


def receipt_equivocation(
    channel: ChannelKey, first: Signed[Receipt], second: Signed[Receipt]
) -> ReceiptEquivocation | None:
    """The proof, where both claim one place of the channel and are not the same."""
    one, other = first.message, second.message
    places = {(channel.id, one.sequence), (one.channel_id, one.sequence), (other.channel_id, other.sequence)}
    if len(places) > 1 or one == other:
        return None
    return ReceiptEquivocation(channel=channel, first=first, second=second)


def offer_equivocations(offers: Iterable[Signed[Offer]]) -> list[OfferEquivocation]:
    """The proofs among these offers: one for each sequence of each provider that was used twice."""
    seen: dict[tuple[Address, int], Signed[Offer]] = {}
    found: dict[tuple[Address, int], OfferEquivocation] = {}
    for signed in offers:
        place = signed.message.provider, signed.message.sequence
        first = seen.setdefault(place, signed)
        if first.message != signed.message:
            found.setdefault(place, OfferEquivocation(first=first, second=signed))
    return list(found.values())


def price_up(offer: Offer, receipt: Receipt) -> Atoms:
    """The most that the counts can cost, rounded up once. Cached tokens beyond the input count as none."""
    return cost_up(
        offer,
        input_tokens=receipt.input_tokens,
        cached_input_tokens=min(receipt.cached_input_tokens, receipt.input_tokens),
        output_tokens=receipt.output_tokens,
    )


# ---------------------------------------------------------------------------------------------- checking


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that the contract asks of a proof."""

    says: str
    """What is true where the step holds."""
    holds: bool | None
    """None: only the chain knows."""
    error: str
    """The contract's error where it does not hold, with its arguments."""
    arguments: Mapping[str, Any]


KeyQuestion = Callable[[Address, Address], bool | None]
"""(provider, key): whether the key is, or ever was, a receipt key of the provider; None: not known here."""


def only_its_own(provider: Address, key: Address) -> bool | None:
    """What can be said without the chain: the provider's own key is one, and of others nobody knows."""
    return True if key == provider else None


def steps(proof: Proof, domain: Domain, is_receipt_key: KeyQuestion = only_its_own) -> Sequence[Step]:
    """In the contract's order. Where each holds, the proof slashes: unless it did before, or nothing is
    staked."""
    return tuple(_steps(proof, domain, is_receipt_key))


def first_failing(checked: Sequence[Step]) -> Step | None:
    """What the contract would revert with."""
    return next((step for step in checked if step.holds is False), None)


def _steps(proof: Proof, domain: Domain, is_receipt_key: KeyQuestion) -> Iterator[Step]:
    match proof:
        case Overcharge(offer=offer, receipt=receipt):
            yield _signed("The receipt", receipt, proof.provider, domain, is_receipt_key)
            named, shown = receipt.message.offer_hash, offer.struct_hash()
            yield Step(
                says="The receipt names this offer.",
                holds=named == shown,
                error="OfferMismatch",
                arguments={"expected": named, "actual": shown},
            )
            price, cost = price_up(offer, receipt.message), receipt.message.cost
            yield Step(
                says=f"The receipt costs {cost} atoms, and its counts cost {price} under the offer.",
                holds=cost > price,
                error="NotOvercharged",
                arguments={"price": price, "cost": cost},
            )
        case ReceiptEquivocation(channel=channel, first=first, second=second):
            yield _signed("The first receipt", first, proof.provider, domain, is_receipt_key)
            yield _signed("The second receipt", second, proof.provider, domain, is_receipt_key)
            for name, receipt in (("first", first), ("second", second)):
                yield Step(
                    says=f"The {name} receipt is of this channel, and the channel is the provider's.",
                    holds=receipt.message.channel_id == channel.id,
                    error="ChannelMismatch",
                    arguments={"expected": channel.id, "actual": receipt.message.channel_id},
                )
            yield from _two("receipts", first, second)
        case OfferEquivocation(first=first_offer, second=second_offer):
            yield _signed("The first offer", first_offer, proof.provider, domain, is_receipt_key)
            yield _signed("The second offer", second_offer, proof.provider, domain, is_receipt_key)
            providers = first_offer.message.provider, second_offer.message.provider
            yield Step(
                says="Both offers are the provider's.",
                holds=providers[0] == providers[1],
                error="ProviderMismatch",
                arguments={"first": providers[0], "second": providers[1]},
            )
            yield from _two("offers", first_offer, second_offer)


def _signed(
    what: str, signed: Signed[Message], provider: Address, domain: Domain, is_receipt_key: KeyQuestion
) -> Step:
    try:
        signer = recover(digest(domain, signed.message.struct_hash()), signed.signature)
    except MalformedSignature:
        signer = ZERO_ADDRESS
    return Step(
        says=f"{what} is signed by {to_hex(signer)}, a receipt key of {to_hex(provider)}.",
        holds=signer != ZERO_ADDRESS and is_receipt_key(provider, signer),
        error="NotReceiptKey",
        arguments={"provider": provider, "signer": signer},
    )


def _two(what: str, first: Signed[Receipt | Offer], second: Signed[Receipt | Offer]) -> Iterator[Step]:
    sequences = first.message.sequence, second.message.sequence
    hashes = first.message.struct_hash(), second.message.struct_hash()
    yield Step(
        says=f"Both {what} have the sequence {sequences[0]}.",
        holds=sequences[0] == sequences[1],
        error="SequenceMismatch",
        arguments={"first": sequences[0], "second": sequences[1]},
    )
    yield Step(
        says=f"The {what} are two: {to_hex(hashes[0])} and {to_hex(hashes[1])}.",
        holds=hashes[0] != hashes[1],
        error="NotTwo",
        arguments={"structHash": hashes[0]},
    )


# ---------------------------------------------------------------------------------------------- as JSON


def proof_to_json(proof: Proof, domain: Domain) -> dict[str, Any]:
    """All that it takes to check it, and on a market to report it."""
    data: dict[str, Any] = {
        "fraud": proof.KIND,
        "chainId": str(domain.chain_id),
        "market": to_hex(domain.contract),
    }
    match proof:
        case Overcharge():
            return data | {"offer": proof.offer.to_json(), **signed_to_json(proof.receipt)}
        case ReceiptEquivocation(channel=channel):
            data["channel"] = channel.to_json()
    return data | {"first": signed_to_json(proof.first), "second": signed_to_json(proof.second)}


def proof_from_json(data: object) -> tuple[Proof, Domain]:
    """What `proof_to_json` wrote, and no proof yet: see `steps`.

    Raises
    ------
    MalformedMessage :
        A member is missing, of another type or out of range, or the fraud is none that the contract knows.
    """
    if not isinstance(data, Mapping):
        raise MalformedMessage("A proof of fraud is an object.")
    domain = Domain(
        chain_id=read_value("uint256", data.get("chainId"), "chainId"),
        contract=read_value("address", data.get("market"), "market"),
    )
    match data.get("fraud"):
        case Overcharge.KIND:
            offer = Offer.from_json(data.get("offer"))
            return Overcharge(offer=offer, receipt=signed_from_json(Receipt, data)), domain
        case ReceiptEquivocation.KIND:
            first, second = _pair(Receipt, data)
            channel = ChannelKey.from_json(data.get("channel"))
            return ReceiptEquivocation(channel=channel, first=first, second=second), domain
        case OfferEquivocation.KIND:
            first_offer, second_offer = _pair(Offer, data)
            return OfferEquivocation(first=first_offer, second=second_offer), domain
        case other:
            raise MalformedMessage("The contract knows no such fraud.", required=_KINDS, actual=str(other))


_KINDS: Final = ", ".join(kind.KIND for kind in (Overcharge, ReceiptEquivocation, OfferEquivocation))


def _pair(kind: type[M], data: Mapping[str, Any]) -> tuple[Signed[M], Signed[M]]:
    return signed_from_json(kind, data.get("first")), signed_from_json(kind, data.get("second"))
