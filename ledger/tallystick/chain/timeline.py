"""Which block came first after a moment, found by a few questions: `lottery.BlockAt` over a node.

Blocks are asked for by number. Where between two known ones the moment is, is guessed by their times, and
what was found is remembered as long as it is needed often. Threads may share it.
"""

from bisect import bisect_left, insort
from threading import Lock
from typing import Final

from tallystick.chain.blocks import Block as Read
from tallystick.chain.blocks import read_block
from tallystick.chain.rpc import Rpc, quantity
from tallystick.protocol.lottery import DEPTH_BLOCKS, Block
from tallystick.protocol.units import Timestamp, hash32

_KEPT: Final = 8_192
"""Blocks; beyond, all are forgotten."""


class Timeline:
    """Of one chain, from its first block on."""

    def __init__(self, rpc: Rpc):
        self._rpc = rpc
        self._lock = Lock()
        self._known: list[tuple[int, Timestamp]] = []
        """(number, timestamp) of those that are deep enough, in order."""
        self._hashes: dict[int, str] = {}

    def block_at(self, timestamp: Timestamp) -> Block | None:
        """As `BlockAt` says; raises ChainUnavailable."""
        with self._lock:
            if not self._known or self._known[-1][1] < timestamp:
                self._look_at_head()
            if not self._known or self._known[-1][1] < timestamp:
                return None
            number = self._first(timestamp)
            return Block(number=number, hash=hash32(self._hashes[number]))

    def _look_at_head(self) -> None:
        head = quantity(self._rpc.call("eth_blockNumber"), bits=64)
        deep = head - DEPTH_BLOCKS
        if deep >= 0 and (not self._known or deep > self._known[-1][0]):
            self._learn(deep)

    def _first(self, timestamp: Timestamp) -> int:
        """By bisection, each question where the moment would be if blocks came evenly, and every other in the
        middle, so that it ends soon however they come."""
        even = True
        while True:
            place = bisect_left(self._known, timestamp, key=lambda known: known[1])
            above, later = self._known[place]
            below, earlier = self._known[place - 1] if place else (-1, 0)
            if above - below == 1:
                return above
            part = (timestamp - earlier) / max(1, later - earlier) if even else 0.5
            self._learn(min(max(below + 1, below + int(part * (above - below))), above - 1))
            even = not even

    def _learn(self, number: int) -> None:
        read: Read = read_block(self._rpc.call("eth_getBlockByNumber", hex(number), False), number)
        if len(self._known) >= _KEPT:
            self._known, self._hashes = (
                self._known[-1:],
                {self._known[-1][0]: self._hashes[self._known[-1][0]]},
            )
        insort(self._known, (number, read.timestamp))
        self._hashes[number] = read.hash
