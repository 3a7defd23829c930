"""Who judges a duel: drawn by stake with a hash that nobody knew when the duel was opened, as the contract
draws.

`contracts/src/Judges.sol` has the same. It knows no duel.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, Hash32

DRAWS: Final = 4
"""For each seat, until it stays empty. One of somebody who may not judge, or sits already, is wasted."""
DRAW_BLOCKS: Final = 2
"""From the block that opens a duel to the one whose hash draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A provider that had enlisted by the end of the block that opened the duel."""

    provider: Address
    owner: Address
    """Whose judge it is; itself, if nobody else's."""
    weight: Atoms
    """As it was then."""


def seed_of(block_hash: Hash32, duel: Hash32) -> Hash32:
    return keccak(block_hash + duel)


def drawn(
    seed: Hash32, seats: int, candidates: Sequence[Candidate], parties: Sequence[Address]
) -> tuple[Address, ...]:
    """In the order of the seats, zero for one that stays empty. `candidates` in the order of their slots;
    `parties`: challenger and duellists, who are passed over with their owners and with whom these own."""
    ends = list(accumulate(candidate.weight for candidate in candidates))
    owners = {candidate.provider: candidate.owner for candidate in candidates}
    excluded = {*parties, *(owners.get(party, party) for party in parties)}
    found: list[Address] = []
    for number in range(DRAWS * seats if ends and ends[-1] else 0):
        point = int.from_bytes(keccak(seed + number.to_bytes(32, "big"))) % ends[-1]
        candidate = candidates[bisect_right(ends, point)]
        if len(found) == seats:
            break
        if candidate.provider not in excluded and candidate.owner not in excluded:
            found.append(candidate.provider)
            excluded.add(candidate.owner)
    return (*found, *[ZERO_ADDRESS] * (seats - len(found)))
