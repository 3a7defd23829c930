"""Which answers are audited: a draw that nobody knows while the answer is given, and anybody can repeat.

The receipt comes first, the block later, and which block follows from the receipt: nobody chooses it. It
knows no chain: blocks come in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Address, Atoms, Hash32, Milliseconds, Timestamp

WHOLE: Final = 1_000_000
"""Shares are in millionths."""
LEAST_SHARE: Final = 10_000
"""Of all answers one in a hundred, …"""
FIRST_SHARE: Final = 200_000
"""… and of a channel's first one in five, …"""
HALF_LIFE: Final = 50
"""… which is halved with every so many receipts."""
DELAY_S: Final = 30
"""By so much the block that draws is younger than the receipt, so that nobody knows it yet: as much as clocks
may differ."""
DEPTH_BLOCKS: Final = 2
"""It is believed once so many are on top of it."""
_ROOT: Final = tuple(round(WHOLE * 2 ** (-step / HALF_LIFE)) for step in range(HALF_LIFE))


def share(sequence: int) -> int:
    """The chance of the receipt of that sequence in its channel, in millionths: a channel's first ones are
    looked at more closely. It follows from the receipt alone, so that nobody has to count for anybody."""
    halvings, step = divmod(sequence, HALF_LIFE)
    decayed = (FIRST_SHARE * _ROOT[step] // WHOLE) >> min(halvings, 64)
    return max(LEAST_SHARE, decayed)


def is_drawn(block_hash: Hash32, receipt_hash: Hash32, sequence: int) -> bool:
    """Whether the receipt of that struct hash and sequence is audited, `block_hash` being the later
    block's."""
    number = int.from_bytes(keccak(block_hash + receipt_hash), "big")
    return number * WHOLE < share(sequence) << 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What a draw needs of one."""

    number: int
    hash: Hash32


BlockAt = Callable[[Timestamp], Block | None]
"""The first block that is no older than so; None: there is none yet with `DEPTH_BLOCKS` on top of it."""


def draws_at(finished_at: Milliseconds) -> Timestamp:
    """The first block whose timestamp is no earlier draws the receipt."""
    return Timestamp(-(-finished_at // 1000) + DELAY_S)


def by_stake(
    block_hash: Hash32, receipt_hash: Hash32, stakes: Mapping[Address, Atoms], seats: int
) -> list[Address]:
    """So many of these, or all, each drawn among the rest with the weight of its stake: whom to ask where no
    contract says who audits."""
    left = {provider: stake for provider, stake in sorted(stakes.items()) if stake > 0}
    drawn: list[Address] = []
    while left and len(drawn) < seats:
        seed = keccak(block_hash + receipt_hash + len(drawn).to_bytes(32, "big"))
        number = int.from_bytes(seed, "big") % sum(left.values())
        ends = accumulate(left.values())
        provider = next(one for one, end in zip(left, ends, strict=True) if number < end)
        drawn.append(provider)
        del left[provider]
    return drawn
