"""The newest blocks that were read of a node's chain: where the chain that was known and the chain there part
ways. It reads no log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.chain.blocks import KEPT, MOVED, Block, NodeBlocks
from tallystick.chain.errors import ChainUnavailable

_PATIENCE: Final = 10
"""Looks in a row that find the chain shorter before that is the chain, and not a machine that lags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """What is still so of what was read."""

    latest: Block
    """The node's newest."""
    base: Block | None
    """The newest block known that the chain still has; None: nothing is known of this chain."""
    moved: bool
    """The chain took later ones back."""
    waits: bool = False
    """The chain looks shorter than it was, and nothing is concluded from that yet."""


class Trail:
    """Of one node. Not for two threads at once."""

    def __init__(self, node: NodeBlocks, known: Sequence[Block] = (), *, trusts_length: bool = True):
        """`known`: the newest read, each the parent of the next. A chain that stays shorter is believed, in
        the end, where `trusts_length`."""
        self._node = node
        self._known = list(known)
        self._trusts_length = trusts_length
        self._shorter = 0
        """Looks in a row that found the chain shorter than it was."""

    @property
    def last(self) -> Block | None:
        return self._known[-1] if self._known else None

    @property
    def oldest(self) -> Block | None:
        """No parting goes back behind this block, but for one that leaves nothing known."""
        return self._known[0] if self._known else None

    def part(self) -> Parting:
        """Raises ChainUnavailable, RpcError and WrongChain: ask again."""
        if not self._known:
            return Parting(latest=self._node.newest()[0], base=None, moved=False)
        last = self._known[-1]
        latest, (held,) = self._node.newest(last.number)
        if latest.number >= last.number:
            self._shorter = 0
            if held is None:
                raise ChainUnavailable(MOVED)  # Two machines answered, and one is behind.
            if held == last:
                return Parting(latest=latest, base=last, moved=False)
            return Parting(latest=latest, base=self._fork(latest.number), moved=True)
        if self._at(latest.number) in (None, latest):
            self._shorter += 1
            if self._shorter < _PATIENCE or not self._trusts_length:
                return Parting(latest=latest, base=last, moved=False, waits=True)
        self._shorter = 0
        return Parting(latest=latest, base=self._fork(latest.number), moved=True)

    def extend(self, base: Block | None, blocks: Sequence[Block]) -> None:
        """`blocks` were read after `base`; what was known beyond it is not so any more."""
        kept = [] if base is None else [block for block in self._known if block.number <= base.number]
        new = [block for block in blocks if not kept or block.number > kept[-1].number]
        if kept and new and new[0].number != kept[-1].number + 1:
            kept = []  # So many are new that a gap would be left.
        self._known = (kept + new)[-KEPT:]

    def forget(self, before: int) -> None:
        """Blocks under that number, but the newest, are not gone back to any more."""
        self._known = [block for block in self._known[:-1] if block.number >= before] + self._known[-1:]

    def _at(self, number: int) -> Block | None:
        index = number - self._known[0].number
        return self._known[index] if 0 <= index < len(self._known) else None

    def _fork(self, latest: int) -> Block | None:
        """The newest block known that is still there; None where none is."""
        candidates = [block for block in self._known if block.number <= latest]
        size = 1
        while candidates:
            part, candidates = candidates[-size:], candidates[:-size]
            _, found = self._node.newest(*(block.number for block in part))
            same = [block for block, there in zip(part, found, strict=True) if block == there]
            if same:
                return same[-1]
            size *= 2
        return None
