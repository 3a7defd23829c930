"""An append-only Merkle root over receipts: a mountain range that OpenZeppelin's MerkleProof verifies.

Leaves are struct hashes, hashed twice more; pairs are joined sorted; peaks are joined from the right. The
mountains are perfect trees, one for each bit of the count.
https://docs.openzeppelin.com/contracts/5.x/api/utils#MerkleProof
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import ZERO_HASH, Hash32


@dataclass(frozen=True, slots=True)
class Mountains:
    """The peaks of the trees over `count` leaves, tallest first: one for each set bit of `count`."""

    count: int = 0
    peaks: tuple[Hash32, ...] = ()

    def append(self, struct_hash: Hash32) -> "Mountains":
        """With one more leaf: as many merges as `count` has trailing ones."""
        peaks = [*self.peaks, leaf(struct_hash)]
        carry = self.count
        while carry & 1:
            right, left = peaks.pop(), peaks.pop()
            peaks.append(join(left, right))
            carry >>= 1
        return Mountains(self.count + 1, tuple(peaks))

    @property
    def root(self) -> Hash32:
        """Zero where there is no leaf."""
        return _bag(self.peaks) if self.peaks else ZERO_HASH


def leaf(struct_hash: Hash32) -> Hash32:
    """Hashed twice, so that no inner node can pass for a leaf."""
    return keccak(keccak(struct_hash))


def join(a: Hash32, b: Hash32) -> Hash32:
    """Of a sorted pair: a proof needs no left and right."""
    return keccak(a + b if a < b else b + a)


def root(struct_hashes: Sequence[Hash32]) -> Hash32:
    return reduce(Mountains.append, struct_hashes, Mountains()).root


class Forest:
    """Every tree over these leaves, kept: to prove one takes as many steps as its tree is high."""

    def __init__(self, struct_hashes: Sequence[Hash32]):
        leaves = [leaf(item) for item in struct_hashes]
        self._count = len(leaves)
        self._trees: list[list[list[Hash32]]] = []
        """Tallest first; of each its levels, from the leaves to the peak."""
        start = 0
        for bit in reversed(range(len(leaves).bit_length())):
            if len(leaves) >> bit & 1:
                self._trees.append(_levels(leaves[start : start + (1 << bit)]))
                start += 1 << bit

    def prove(self, index: int) -> list[Hash32]:
        """The siblings of leaf `index` from the bottom up, for `MerkleProof.verify(proof, root, leaf)`."""
        assert 0 <= index < self._count, (index, self._count)
        mountain, position = 0, index
        while position >= len(self._trees[mountain][0]):
            position -= len(self._trees[mountain][0])
            mountain += 1
        proof = [level[position >> height ^ 1] for height, level in enumerate(self._trees[mountain][:-1])]
        peaks = [levels[-1][0] for levels in self._trees]
        if peaks[mountain + 1 :]:
            proof.append(_bag(peaks[mountain + 1 :]))
        return [*proof, *reversed(peaks[:mountain])]


def prove(struct_hashes: Sequence[Hash32], index: int) -> list[Hash32]:
    """One proof of `Forest`'s."""
    return Forest(struct_hashes).prove(index)


def proven_root(proof: Sequence[Hash32], struct_hash: Hash32) -> Hash32:
    """Where the proof leads."""
    return reduce(join, proof, leaf(struct_hash))


def verify_proof(proof: Sequence[Hash32], expected_root: Hash32, struct_hash: Hash32) -> bool:
    """What OpenZeppelin's MerkleProof.verify answers."""
    return proven_root(proof, struct_hash) == expected_root


def _levels(leaves: Sequence[Hash32]) -> list[list[Hash32]]:
    levels = [list(leaves)]
    while len(below := levels[-1]) > 1:
        levels.append([join(below[i], below[i + 1]) for i in range(0, len(below), 2)])
    return levels


def _bag(peaks: Sequence[Hash32]) -> Hash32:
    *rest, last = peaks
    return reduce(lambda right, left: join(left, right), reversed(rest), last)
