"""From what a purse refused, and what gateways say, to proofs that the contract takes.

It finds, completes and judges; what a proof is, and each step of checking one, is `protocol.fraud`'s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import httpx2
import orjson

from tallystick.chain.history import posted_offer, posted_offers
from tallystick.chain.local import LOCAL_CHAIN_IDS
from tallystick.chain.market import Market
from tallystick.chain.reports import posted_signature, refusal
from tallystick.client.evidence import Refused
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.fraud import (
    OfferEquivocation,
    Proof,
    first_failing,
    offer_equivocations,
    proof_from_json,
    proof_to_json,
    steps,
)
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import to_hex
from tallystick.reach import reachable_safely
from tallystick.wallet.errors import FraudUnproven
from tallystick.wallet.json_file import read_json_file
from tallystick.wallet.probes import signed_offers


class Standing(Enum):
    """What a report would come to now."""

    PROVABLE = "provable"
    PROVEN = "proven before"
    NOTHING_STAKED = "nothing at stake"
    NO_PROOF = "no proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One receipt that was refused, and one fraud that it proves."""

    refused: Refused
    proof: Proof | None
    """None: only its payer can know that it is false."""
    standing: Standing
    why: str
    """What the contract says to it, or why there is nothing to say."""


def held(market: Market, refused: Iterable[Refused]) -> list[Held]:
    """Each with what the chain says of it; raises ChainUnavailable."""
    return [one for item in refused for one in _held(market, _completed(market, item))]


def _held(market: Market, item: Refused) -> list[Held]:
    if not item.proofs:
        return [Held(refused=item, proof=None, standing=Standing.NO_PROOF, why=item.reason)]
    found = []
    for proof in item.proofs:
        standing, why = standing_of(market, proof)
        found.append(Held(refused=item, proof=proof, standing=standing, why=why))
    return found


def _completed(market: Market, item: Refused) -> Refused:
    """With the offer that it names, where the purse never bought under it and the chain knows it."""
    if item.offer is not None:
        return item
    posted = posted_offer(market, item.signed.message.offer_hash)
    return item if posted is None else replace(item, offer=posted.offer)


def standing_of(market: Market, proof: Proof) -> tuple[Standing, str]:
    """What the contract would say to it now, and why."""
    refused = refusal(market, proof)
    match refused.name if refused is not None else None:
        case None:
            return Standing.PROVABLE, "The contract would slash the provider."
        case "AlreadyProven":
            return Standing.PROVEN, str(refused)
        case "NothingStaked":
            return Standing.NOTHING_STAKED, str(refused)
        case _:
            return Standing.NO_PROOF, str(refused)


def require_proof(market: Market, proof: Proof, domain: Domain) -> None:
    """That the contract would take it, but for what is staked and what was proven before.

    Raises
    ------
    FraudUnproven :
        It is of another market, or a step does not hold.
    """
    ours = market.deployment.domain
    if domain != ours:
        raise FraudUnproven(
            f"The proof is of the market {to_hex(domain.contract)} on chain {domain.chain_id}, and this is "
            f"{to_hex(ours.contract)} on {ours.chain_id}: what is signed for one holds on no other.",
            required=f"{ours.chain_id}:{to_hex(ours.contract)}",
            actual=f"{domain.chain_id}:{to_hex(domain.contract)}",
        )
    failing = first_failing(steps(proof, domain, market.is_receipt_key))
    if failing is not None:
        raise FraudUnproven(f"It proves no fraud. Not so: {failing.says}", required=failing.error)


# ---------------------------------------------------------------------------------------------- files


def read_proof(path: Path) -> tuple[Proof, Domain]:
    """Raises MalformedMessage."""
    return proof_from_json(read_json_file(path))


def write_proof(path: Path, proof: Proof, domain: Domain) -> None:
    """Raises MalformedMessage where something is there already, or nothing can be."""
    text = orjson.dumps(proof_to_json(proof, domain), option=orjson.OPT_INDENT_2)
    try:
        with path.open("xb") as file:
            file.write(text + b"\n")
    except OSError as error:
        raise MalformedMessage(f"{path} cannot be written: {error.strerror}. Name another file.") from error


# ---------------------------------------------------------------------------------------------- offers


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What gateways say of their offers, beside what the chain says."""

    asked: int
    """Gateways that answered."""
    silent: Sequence[str]
    """Endpoints that did not, or not sensibly."""
    found: Sequence[OfferEquivocation]


def look(market: Market) -> Look:
    """Asks each gateway whose offer holds for its signed offers, and compares them with those on chain."""
    local = market.deployment.chain_id in LOCAL_CHAIN_IDS
    places = {
        (posted.offer.endpoint, posted.offer.endpoint_key)
        for posted in market.offers()
        if reachable_safely(posted.offer, local=local)
    }
    told: list[Signed[Offer]] = []
    silent = []
    for endpoint, key in sorted(places):
        try:
            told += signed_offers(endpoint, key)
        except (httpx2.HTTPError, OSError, MalformedMessage):
            silent.append(endpoint)
    found = [
        proof
        for proof in offer_equivocations([*_posted_beside(market, told), *told])
        if first_failing(steps(proof, market.deployment.domain, market.is_receipt_key)) is None
    ]
    return Look(asked=len(places) - len(silent), silent=silent, found=found)


def _posted_beside(market: Market, told: Sequence[Signed[Offer]]) -> list[Signed[Offer]]:
    """What the chain has under the sequences of these offers, with the signatures it was posted under."""
    hashes = {
        (signed.message.provider, signed.message.sequence): signed.message.struct_hash() for signed in told
    }
    beside = (
        posted_signature(market, posted)
        for posted in posted_offers(market)
        if hashes.get((posted.provider, posted.sequence), posted.offer_hash) != posted.offer_hash
    )
    return [signed for signed in beside if signed is not None]
