"""Which answers are audited: a draw that nobody knows while the answer is given, and anybody can repeat.

The receipt comes first, the block later. It knows no chain: a block's hash comes in.
"""

from typing import Final

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Hash32

WHOLE: Final = 1_000_000
"""Shares are in millionths."""
LEAST_SHARE: Final = 10_000
"""Of all answers one in a hundred, …"""
FIRST_SHARE: Final = 200_000
"""… and of a channel's first one in five, …"""
HALF_LIFE: Final = 50
"""… which is halved with every so many receipts."""
DELAY_BLOCKS: Final = 2
"""The block that draws follows the one at which the receipt was there by so many, so that whoever makes one
block knows nothing of it yet."""
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
