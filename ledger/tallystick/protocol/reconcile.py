"""Auditing a channel, or many: Σ receipts = settled, and what is missing, double or overcharged.

It is given receipts, acknowledgements and the chain's facts, and says what they come to; it reads no chain.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from tallystick.protocol.acknowledgements import roots_at
from tallystick.protocol.audit import price, signature, voucher_of
from tallystick.protocol.documents import ChannelDocument, Document, ReceiptDocument
from tallystick.protocol.eip712 import digest
from tallystick.protocol.errors import MalformedSignature
from tallystick.protocol.facts import Facts, Settlement
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, recover
from tallystick.protocol.units import Address, Atoms, ChannelId, to_hex
from tallystick.protocol.voucher import Acknowledgement, Voucher


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that is not as it should be."""

    kind: str
    """`forged`, `overcharged`, `undercharged`, `mispriced`, `double`, `sum` or `foreign`; `gap` is no lie:
    something was not given."""
    first: int
    """Sequence."""
    last: int
    """Of a gap, its end, included; else `first`."""
    reason: str

    @property
    def is_lie(self) -> bool:
        return self.kind != "gap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One settlement, held against the receipts."""

    settlement: Settlement
    receipts: int | None
    """How many it acknowledged; None: its acknowledgement was not given."""
    amount: Atoms | None
    """Σ of their costs; None: not all of them were given."""
    holds: bool | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelAudit:
    """What the receipts of one channel come to beside what the chain paid."""

    channel_id: ChannelId
    facts: Facts
    receipts: int
    """Different ones that were given."""
    amount: Atoms
    """Σ of their costs, one for each place."""
    settled: Atoms
    explained: Atoms
    """What of the settled atoms these receipts are proven to have been paid by."""
    faults: Sequence[Fault]
    rows: Sequence[Row]
    input_tokens: int
    output_tokens: int

    @property
    def unexplained(self) -> Atoms:
        return Atoms(self.settled - self.explained)

    @property
    def unsettled(self) -> Atoms:
        """Delivered, and not settled yet."""
        return Atoms(max(0, self.amount - self.settled))

    @property
    def adds_up(self) -> bool | None:
        """False: somebody's figures are wrong. None: not all was given."""
        if any(fault.is_lie for fault in self.faults) or any(row.holds is False for row in self.rows):
            return False
        return None if self.faults or self.unexplained else True


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyAudit:
    """Channels together: a provider's, or a file's."""

    channels: Sequence[ChannelAudit]
    block: int
    """Up to which the chain was read."""

    @property
    def adds_up(self) -> bool | None:
        found = {channel.adds_up for channel in self.channels}
        return False if False in found else None if None in found or not found else True

    def total(self, name: str) -> int:
        """Of one of the channels' figures."""
        return sum(getattr(channel, name) for channel in self.channels)


class Half(NamedTuple):
    """Of one channel, what a party shows."""

    receipts: Sequence[Signed[Receipt]] = ()
    acknowledgements: Sequence[Acknowledgement] = ()
    """That its payer is said to have given: a settlement that carried one says so."""
    vouchers: Sequence[Signed[Voucher]] = ()


def reconcile(
    receipts: Iterable[Signed[Receipt]],
    acknowledgements: Iterable[Acknowledgement],
    channel_id: ChannelId,
    facts: Facts,
    vouchers: Iterable[Signed[Voucher]] | None = None,
) -> ChannelAudit:
    """In any order, and as often as they were given. A close names no receipts: the session key's voucher
    says that its payer acknowledged these. Without `vouchers` the payer itself asks, who does."""
    placed, doubles = _placed(receipts, channel_id)
    given = [placed[sequence] for sequence in sorted(placed)]
    faults = [*doubles, *_gaps(sorted(placed))]
    for signed in given:
        faults += _faults(signed, facts)
    faults += _sums([signed.message for signed in given])
    whole = _prefix(placed)
    vouched = None if vouchers is None else _vouched(vouchers, channel_id, facts)
    rows = _rows(whole, acknowledgements, vouched, facts)
    return ChannelAudit(
        channel_id=channel_id,
        facts=facts,
        receipts=len(given),
        amount=Atoms(sum(signed.message.cost for signed in given)),
        settled=facts.settled,
        explained=max((row.settlement.settled for row in rows if row.holds), default=Atoms(0)),
        faults=sorted(faults, key=lambda fault: (fault.first, fault.kind)),
        rows=rows,
        input_tokens=sum(signed.message.input_tokens for signed in given),
        output_tokens=sum(signed.message.output_tokens for signed in given),
    )


def halves(documents: Iterable[Document]) -> dict[ChannelId, Half]:
    """By channel, what documents hold."""
    receipts: dict[ChannelId, list[Signed[Receipt]]] = defaultdict(list)
    acknowledgements: dict[ChannelId, list[Acknowledgement]] = defaultdict(list)
    vouchers: dict[ChannelId, list[Signed[Voucher]]] = defaultdict(list)
    for document in documents:
        match document:
            case ChannelDocument():
                channel_id = document.channel.id
                receipts[channel_id] += document.receipts
                acknowledgements[channel_id] += document.acknowledgements
                if document.voucher is not None:
                    vouchers[channel_id].append(document.voucher)
            case ReceiptDocument():
                channel_id = document.signed.message.channel_id
                receipts[channel_id].append(document.signed)
                if document.acknowledgement is not None:
                    acknowledgements[channel_id].append(document.acknowledgement)
                if (voucher := voucher_of(document)) is not None:
                    vouchers[channel_id].append(voucher)
    return {key: Half(items, acknowledgements[key], vouchers[key]) for key, items in receipts.items()}


# ---------------------------------------------------------------------------------------------- receipts


def _placed(
    receipts: Iterable[Signed[Receipt]], channel_id: ChannelId
) -> tuple[dict[int, Signed[Receipt]], list[Fault]]:
    """The first that was given for each place, and what else claims it."""
    placed: dict[int, Signed[Receipt]] = {}
    faults = []
    for signed in receipts:
        receipt = signed.message
        if receipt.channel_id != channel_id:
            reason = f"Receipt {receipt.sequence} is of the channel {to_hex(receipt.channel_id)}."
            faults.append(_fault("foreign", receipt.sequence, reason))
            continue
        first = placed.setdefault(receipt.sequence, signed)
        if first.message != receipt:
            one, other = to_hex(first.message.struct_hash()), to_hex(receipt.struct_hash())
            reason = f"Two receipts have place {receipt.sequence}: {one} and {other}."
            faults.append(_fault("double", receipt.sequence, reason))
    return placed, faults


def _gaps(sequences: Sequence[int]) -> Iterable[Fault]:
    expected = 0
    for sequence in sequences:
        if sequence > expected:
            missing = f"{expected} to {sequence - 1}" if sequence - 1 > expected else str(expected)
            reason = f"Receipt {missing} is missing."
            yield Fault(kind="gap", first=expected, last=sequence - 1, reason=reason)
        expected = sequence + 1


def _faults(signed: Signed[Receipt], facts: Facts) -> Iterable[Fault]:
    receipt = signed.message
    by = signature(ReceiptDocument(signed=signed), facts)
    if not by.holds:
        yield _fault("forged", receipt.sequence, f"Receipt {receipt.sequence}: {by.reason}")
    priced = price(receipt, facts)
    if not priced.holds:
        due = priced.inputs.get("price")
        kind = "mispriced" if due is None else "overcharged" if receipt.cost > int(due) else "undercharged"
        yield _fault(kind, receipt.sequence, f"Receipt {receipt.sequence}: {priced.reason}")


def _sums(receipts: Sequence[Receipt]) -> Iterable[Fault]:
    """Each comes to what those before it came to and its own cost, where the one before was given."""
    before: Receipt | None = None
    for receipt in receipts:
        known = receipt.sequence == 0 or (before is not None and before.sequence == receipt.sequence - 1)
        sum_before = before.cumulative_cost if before is not None and receipt.sequence else 0
        if known and receipt.cumulative_cost != sum_before + receipt.cost:
            reason = (
                f"Receipt {receipt.sequence} says that the channel comes to {receipt.cumulative_cost} atoms "
                f"with it, and it comes to {sum_before + receipt.cost}."
            )
            yield _fault("sum", receipt.sequence, reason)
        before = receipt


def _fault(kind: str, sequence: int, reason: str) -> Fault:
    return Fault(kind=kind, first=sequence, last=sequence, reason=reason)


# ---------------------------------------------------------------------------------------------- settlements


def _prefix(placed: Mapping[int, Signed[Receipt]]) -> list[Receipt]:
    """From the channel's first receipt to the first gap."""
    whole: list[Receipt] = []
    while (signed := placed.get(len(whole))) is not None:
        whole.append(signed.message)
    return whole


def _rows(
    receipts: Sequence[Receipt],
    acknowledgements: Iterable[Acknowledgement],
    vouched: Sequence[Acknowledgement] | None,
    facts: Facts,
) -> list[Row]:
    hashes = [receipt.struct_hash() for receipt in receipts]
    sums = [0, *accumulate(receipt.cost for receipt in receipts)]
    given = {item.struct_hash(): item for item in acknowledgements}
    wanted = {item.settled for item in facts.settlements}
    counts = {item.receipt_count for item in given.values()}
    counts |= {item.receipt_count for item in vouched or ()}
    counts |= {count for count, amount in enumerate(sums) if amount in wanted}
    roots = roots_at(hashes, counts)
    for count in counts & roots.keys():  # A voucher without a request follows from the receipts.
        bare = Acknowledgement(receipt_count=count, receipts_root=roots[count])
        given.setdefault(bare.struct_hash(), bare)
    rows = []
    for item in facts.settlements:
        if item.acknowledgement_hash is None:
            covered = max((item.receipt_count for item in vouched or () if _is_of(item, roots)), default=0)
            rows.append(_closing_row(item, sums, None if vouched is None else covered))
        else:
            rows.append(_row(item, given.get(item.acknowledgement_hash), sums, roots))
    return rows


def _is_of(acknowledgement: Acknowledgement, roots: Mapping[int, bytes]) -> bool:
    return roots.get(acknowledgement.receipt_count) == acknowledgement.receipts_root


def _vouched(
    vouchers: Iterable[Signed[Voucher]], channel_id: ChannelId, facts: Facts
) -> Sequence[Acknowledgement]:
    """What the channel's session key signed, of what stands there as that."""
    different = {(item.message, item.signature) for item in vouchers if item.message.channel_id == channel_id}
    return [
        message.acknowledgement
        for message, signature in different
        if facts.channel is not None and _signer(message, signature, facts) == facts.channel.session_key
    ]


def _signer(voucher: Voucher, signature: bytes, facts: Facts) -> Address | None:
    try:
        return recover(digest(facts.domain, voucher.struct_hash()), signature)
    except MalformedSignature:
        return None


def _closing_row(closing: Settlement, sums: Sequence[int], covered: int | None) -> Row:
    """Both sides agreed on the amount; which receipts it is for follows from what they come to, where they
    are among the `covered` that the payer's voucher acknowledged. None: the payer asks."""
    count = next((count for count, amount in enumerate(sums) if amount == closing.settled), None)
    if count is None:
        reason = (
            f"Both sides closed the channel at {closing.settled} atoms: these receipts do not come to that."
        )
        return Row(settlement=closing, receipts=None, amount=None, holds=None, reason=reason)
    reason = f"Both sides closed the channel at {closing.settled} atoms, what {count} receipts come to."
    holds: bool | None = True
    if covered is not None and count > covered:
        holds = None
        reason += " A close says not for which: the payer's voucher, which does, is not shown."
    return Row(settlement=closing, receipts=count, amount=Atoms(sums[count]), holds=holds, reason=reason)


def _row(
    settlement: Settlement,
    acknowledgement: Acknowledgement | None,
    sums: Sequence[int],
    roots: Mapping[int, bytes],
) -> Row:
    count = None if acknowledgement is None else acknowledgement.receipt_count
    amount = None if count is None or count not in roots else Atoms(sums[count])
    holds: bool | None = None
    if acknowledgement is None:
        reason = "What it acknowledged is not among what was given."
    elif amount is None:
        reason = f"It acknowledged {count} receipts, and not all of them were given."
    elif roots[acknowledgement.receipt_count] != acknowledgement.receipts_root:
        holds, reason = False, f"It acknowledged {count} receipts under another root than that of these."
    elif amount < settlement.settled:
        holds = False
        reason = f"It settled {settlement.settled} atoms for {count} receipts that come to {amount}."
    elif amount > settlement.settled:
        holds = True
        reason = f"It settled {settlement.settled} atoms, all that the cap allowed, of {amount}."
    else:
        holds, reason = True, f"It settled {settlement.settled} atoms, what its {count} receipts come to."
    return Row(settlement=settlement, receipts=count, amount=amount, holds=holds, reason=reason)


# ---------------------------------------------------------------------------------------------- as JSON


def audit_to_json(audit: ChannelAudit) -> dict[str, Any]:
    facts = audit.facts
    return {
        "channelId": to_hex(audit.channel_id),
        "channel": None if facts.channel is None else facts.channel.to_json(),
        "block": facts.block,
        "addsUp": audit.adds_up,
        "receipts": audit.receipts,
        "inputTokens": audit.input_tokens,
        "outputTokens": audit.output_tokens,
        "amount": str(audit.amount),
        "settled": str(audit.settled),
        "explained": str(audit.explained),
        "unexplained": str(audit.unexplained),
        "unsettled": str(audit.unsettled),
        "faults": [
            {"kind": fault.kind, "first": fault.first, "last": fault.last, "reason": fault.reason}
            for fault in audit.faults
        ],
        "settlements": [
            {
                "block": row.settlement.block,
                "logIndex": row.settlement.log_index,
                "transactionHash": to_hex(row.settlement.transaction),
                "settled": str(row.settlement.settled),
                "receipts": row.receipts,
                "amount": None if row.amount is None else str(row.amount),
                "holds": row.holds,
                "reason": row.reason,
            }
            for row in audit.rows
        ],
    }
