"""The logs of one contract, read on at each look, for whoever acts on what is new.

An address may stand for many machines, some of which are blocks behind the others and answer with less, and
the newest blocks may be replaced: so these are read again at each look, and a log may be told more than once.
Nothing is concluded from a log that is not there. It knows no event.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tallystick.chain.blocks import KEPT
from tallystick.chain.rpc import Rpc
from tallystick.chain.spans import Spans
from tallystick.protocol.units import Address, to_hex

LOOK_BACK: Final = 50_000
"""Blocks that the first look reads: a week of a chain with a block in twelve seconds."""
_SPAN: Final = 2_000
"""Blocks of one question, at most: what nodes that limit it commonly allow."""


class Lookout:
    """Not for two threads at once."""

    def __init__(self, rpc: Rpc, address: Address, topics: Sequence[bytes], since: int):
        """`topics`: what the first one may be; `since`: the first block that may have any."""
        self._spans = Spans(rpc, _SPAN)
        self._asked = {"address": to_hex(address), "topics": [[to_hex(topic) for topic in topics]]}
        self._since = since
        self._next: int | None = None
        """The first block that was never read."""

    def logs(self, head: int) -> Iterator[Mapping[str, Any]]:
        """Of the blocks up to `head` that no earlier look read, and of the newest; in order. What was read
        before one fails is read. Raises ChainUnavailable, and RpcError where the node refuses one block."""
        if self._next is None:
            self._next = max(self._since, head - LOOK_BACK)
        begin = max(self._since, min(self._next, head - KEPT + 1))
        for until, found in self._spans.logs(self._asked, begin, head):
            yield from found
            self._next = max(self._next, until + 1)
