"""What an auditor is shown of one channel: an unbroken stretch of its receipts, and every answer that the
lottery drew of them.

The receipts are dense in sequence and signed by the provider, so that whoever has the blocks can tell which
of them were drawn, and how many of those are not shown. It knows no chain: blocks come in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tallystick.protocol.eip712 import Domain, digest
from tallystick.protocol.errors import DossierMismatch, DrawPending, MalformedMessage
from tallystick.protocol.finding import Finding
from tallystick.protocol.lottery import BlockAt, draws_at, is_drawn
from tallystick.protocol.merkle import root
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import WHOLE, Receipt
from tallystick.protocol.sample import Sample, sample_from_json, sample_to_json
from tallystick.protocol.signed import Signed, recover
from tallystick.protocol.units import ZERO_HASH, Address
from tallystick.protocol.wire import signed_from_json, signed_to_json

RECEIPTS: Final = 1_024
"""In one dossier, at most: an auditor looks each one's block up."""
SAMPLES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """As whoever bought the answers shows it."""

    receipts: tuple[Signed[Receipt], ...]
    """One after another, without a gap. The last one was drawn."""
    samples: tuple[Sample, ...] = field(repr=False)
    """Of those that were drawn, in sequence."""
    others: tuple[Offer, ...] = ()
    """Under which receipts of the stretch were bought that are of other models."""

    @property
    def provider(self) -> Address:
        return self.samples[-1].offer.provider

    @property
    def model(self) -> str:
        return self.samples[-1].offer.model

    @property
    def last(self) -> Receipt:
        """By it the auditor was drawn."""
        return self.receipts[-1].message

    def later_half(self) -> "Dossier | None":
        """Without the older half of its answers, and the receipts up to them; None: it has one alone."""
        if len(self.samples) == 1:
            return None
        first = len(self.samples) // 2
        begins_after = self.samples[first - 1].receipt.message.sequence
        receipts = tuple(one for one in self.receipts if one.message.sequence > begins_after)
        return replace(self, receipts=receipts, samples=self.samples[first:])

    def to_json(self) -> dict[str, Any]:
        return {
            "receipts": [signed_to_json(signed) for signed in self.receipts],
            "samples": [sample_to_json(sample) for sample in self.samples],
            "others": [offer.to_json() for offer in self.others],
        }

    @classmethod
    def from_json(cls, data: object) -> "Dossier":
        """Raises MalformedMessage."""
        if not isinstance(data, Mapping):
            raise MalformedMessage("A dossier is an object.")
        receipts, samples, others = (data.get(name) for name in ("receipts", "samples", "others"))
        if not isinstance(receipts, list) or not 0 < len(receipts) <= RECEIPTS:
            raise MalformedMessage(f"A dossier has receipts, at most {RECEIPTS}.", required=RECEIPTS)
        if not isinstance(samples, list) or not 0 < len(samples) <= SAMPLES:
            raise MalformedMessage(f"A dossier has samples, at most {SAMPLES}.", required=SAMPLES)
        if not isinstance(others, list) or len(others) > RECEIPTS:
            raise MalformedMessage(f"Other offers are a list of at most {RECEIPTS}.", required=RECEIPTS)
        return cls(
            receipts=tuple(signed_from_json(Receipt, item) for item in receipts),
            samples=tuple(map(sample_from_json, samples)),
            others=tuple(map(Offer.from_json, others)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A dossier of which the lottery drew just what is shown, and more perhaps. Made by `drawn` alone."""

    dossier: Dossier
    samples: tuple[Sample, ...]
    """Those that can be audited."""
    withheld: int
    """Answers that were drawn as well, and are not shown."""


def signers(dossier: Dossier, domain: Domain) -> frozenset[Address]:
    """Who signed the receipts, once they are found to be a stretch of one channel's, and the samples to be
    answers of it: whether these keys sign for the provider, the chain says.

    Raises
    ------
    DossierMismatch :
        Something is not of that stretch, or the last receipt's answer is missing.
    MalformedSignature :
        A receipt is signed by nobody.
    ReceiptMismatch :
        A receipt binds another request or answer than its sample shows.
    """
    first = dossier.receipts[0].message
    for place, signed in enumerate(dossier.receipts):
        receipt = signed.message
        if receipt.channel_id != first.channel_id or receipt.sequence != first.sequence + place:
            raise DossierMismatch(
                "The receipts are no unbroken stretch of one channel's.",
                required=first.sequence + place,
                actual=receipt.sequence,
            )
    _require_of_stretch(dossier)
    keys = {signed: _signer(signed, domain) for signed in dossier.receipts}
    for sample in dossier.samples:
        sample.require_bound(domain, keys[sample.receipt])
    return frozenset(keys.values())


def is_of(finding: Finding, dossier: Dossier) -> bool:
    """Whether the finding is of just what the dossier shows, whoever found it."""
    hashes = [sample.receipt.message.struct_hash() for sample in dossier.samples if sample.is_single]
    said = finding.provider, finding.receipt_hash, finding.receipts_root, finding.receipt_count
    return bool(hashes) and said == (dossier.provider, hashes[-1], root(hashes), len(hashes))


def _require_of_stretch(dossier: Dossier) -> None:
    sequences = [sample.receipt.message.sequence for sample in dossier.samples]
    shown = set(dossier.receipts)
    if sequences != sorted(set(sequences)) or any(sample.receipt not in shown for sample in dossier.samples):
        raise DossierMismatch("The answers are not of these receipts, in sequence.")
    if sequences[-1] != dossier.last.sequence:
        raise DossierMismatch("The last receipt's answer is not shown.", required=dossier.last.sequence)
    providers = {sample.offer.provider for sample in dossier.samples}
    models = {sample.offer.model for sample in dossier.samples}
    if len(providers) > 1 or len(models) > 1:
        raise DossierMismatch("The answers are not one provider's, of one model.")


def drawn(dossier: Dossier, block_at: BlockAt) -> Drawn:
    """What the lottery makes of a dossier that holds together. An answer counts as withheld where it was
    drawn, is whole, has token ids, is no other model's, and is not shown.

    Raises
    ------
    DrawPending :
        A receipt's block is not there yet.
    DossierMismatch :
        An answer is shown that was not drawn.
    """
    shown = {sample.receipt.message.sequence for sample in dossier.samples}
    exempt = {offer.struct_hash() for offer in dossier.others if offer.model != dossier.model}
    withheld = 0
    # What is shown comes first: of what was made up it is hardly ever drawn, and the rest is not looked up.
    for signed in sorted(dossier.receipts, key=lambda one: one.message.sequence not in shown):
        receipt = signed.message
        block = block_at(draws_at(receipt.finished_at))
        if block is None:
            raise DrawPending("The block that draws a receipt is not there yet.", actual=receipt.sequence)
        was_drawn = is_drawn(block.hash, receipt.struct_hash(), receipt.sequence)
        if receipt.sequence in shown and not (was_drawn and auditable(receipt)):
            raise DossierMismatch(
                "The lottery did not draw an answer that is shown.", actual=receipt.sequence
            )
        owed = auditable(receipt) and receipt.offer_hash not in exempt
        withheld += was_drawn and owed and receipt.sequence not in shown
    return Drawn(
        dossier=dossier,
        samples=tuple(sample for sample in dossier.samples if sample.is_single),
        withheld=withheld,
    )


def auditable(receipt: Receipt) -> bool:
    """Whether it is the last one of an answer that has token ids and did not break off."""
    return receipt.finish in WHOLE and receipt.tokens_hash != ZERO_HASH


def _signer(signed: Signed[Receipt], domain: Domain) -> Address:
    return recover(digest(domain, signed.message.struct_hash()), signed.signature)
