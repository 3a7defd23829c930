"""Which receipts an acknowledgement is of, and which one a settlement carried.

The chain has an acknowledgement's hash alone. Whoever holds the receipts, and knows which requests were made,
finds the rest again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

from tallystick.protocol.facts import Settlement
from tallystick.protocol.merkle import Mountains
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.units import ZERO_HASH, Hash32
from tallystick.protocol.voucher import Acknowledgement

_CAPPED: Final = 64
"""Receipts looked through beyond what a cap allowed to be paid."""


def largest_of(
    struct_hashes: Sequence[Hash32], acknowledgements: Iterable[Acknowledgement]
) -> Acknowledgement | None:
    """The largest whose root is that of the first of these receipts."""
    fitting = [item for item in acknowledgements if 0 < item.receipt_count <= len(struct_hashes)]
    roots = roots_at(struct_hashes, {item.receipt_count for item in fitting})
    ours = [item for item in fitting if item.receipts_root == roots[item.receipt_count]]
    return max(ours, key=lambda item: item.receipt_count, default=None)


def of_settlements(
    acknowledgements: Iterable[Acknowledgement], settlements: Iterable[Settlement]
) -> list[Acknowledgement]:
    """Those that a settlement carried."""
    carried = {item.acknowledgement_hash for item in settlements}
    return [item for item in acknowledgements if item.struct_hash() in carried]


def roots_at(struct_hashes: Sequence[Hash32], counts: Collection[int]) -> dict[int, Hash32]:
    """The roots over the first so many, for each of `counts` that there are."""
    mountains, roots = Mountains(), {0: ZERO_HASH}
    for struct_hash in struct_hashes:
        mountains = mountains.append(struct_hash)
        if mountains.count in counts:
            roots[mountains.count] = mountains.root
    return roots


def find_settled(
    receipts: Sequence[Receipt],
    requests: Sequence[tuple[Hash32, int]],
    settlements: Iterable[Settlement],
) -> list[Acknowledgement]:
    """What the settlements acknowledged, found again: each is of a first part of the receipts, and was bare
    or came with one of the requests (hash, nonce), oldest first. One that is not to be found is not among
    them."""
    sums = [0, *accumulate(receipt.cost for receipt in receipts)]
    settlements = list(settlements)
    amounts = {item.settled for item in settlements}
    exact = [count for count, amount in enumerate(sums) if amount in amounts]
    roots = roots_at([receipt.struct_hash() for receipt in receipts], range(len(sums)))
    found = []
    for settlement in settlements:
        if settlement.acknowledgement_hash is None:
            continue
        counts = [count for count in exact if sums[count] == settlement.settled]
        if not counts:  # The cap paid less than was acknowledged.
            counts = [count for count in range(len(sums)) if sums[count] > settlement.settled][:_CAPPED]
        found += _carried(settlement.acknowledgement_hash, counts, roots, requests)
    return found


def _carried(
    wanted: Hash32, counts: Sequence[int], roots: Mapping[int, Hash32], requests: Sequence[tuple[Hash32, int]]
) -> list[Acknowledgement]:
    for count in counts:
        near = sorted(range(len(requests)), key=lambda place: abs(place - count))
        for request_hash, nonce in [(ZERO_HASH, 0), *(requests[place] for place in near)]:
            candidate = Acknowledgement(
                receipt_count=count,
                receipts_root=roots[count],
                request_hash=request_hash,
                request_nonce=nonce,
            )
            if candidate.struct_hash() == wanted:
                return [candidate]
    return []
