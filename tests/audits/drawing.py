"""Blocks for tests: one that draws just these receipts, whatever moment is asked for."""

from collections.abc import Collection, Sequence
from itertools import count

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.lottery import Block, BlockAt, is_drawn
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.units import Timestamp


def drawing(receipts: Sequence[Receipt], wanted: Collection[int]) -> Block:
    """A block that draws of these receipts those of the `wanted` sequences, and no other."""
    for number in count():
        block = Block(number=number, hash=keccak(b"block %d" % number))
        drawn = {one.sequence for one in receipts if is_drawn(block.hash, one.struct_hash(), one.sequence)}
        if drawn == set(wanted):
            return block
    raise AssertionError


def always(block: Block | None) -> BlockAt:
    def block_at(_: Timestamp) -> Block | None:
        return block

    return block_at
