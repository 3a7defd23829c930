"""Logs of many blocks: so many at a time, and fewer where the node will not answer for as many."""

from collections.abc import Iterator, Mapping
from typing import Any

from tallystick.chain.blocks import read_logs
from tallystick.chain.errors import RpcError
from tallystick.chain.rpc import Rpc


class Spans:
    """Of one node. What it refused once is asked for again at the next reading, by twice as many blocks as it
    answered for."""

    def __init__(self, rpc: Rpc, most: int):
        """`most`: blocks of one question."""
        self._rpc, self._most, self._span = rpc, most, most

    def logs(
        self, asked: Mapping[str, Any], begin: int, end: int
    ) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """(last block, logs up to it) of a range of blocks, both ends included. Raises ChainUnavailable, and
        RpcError where the node refuses one block."""
        self._span = min(self._most, self._span * 2)
        while begin <= end:
            until = min(end, begin + self._span - 1)
            try:
                found = self._rpc.call(
                    "eth_getLogs", {**asked, "fromBlock": hex(begin), "toBlock": hex(until)}
                )
            except RpcError:
                if until == begin:
                    raise
                self._span = (until - begin + 1) // 2  # Too many blocks, or logs, for this node.
                continue
            yield until, read_logs(found)
            begin = until + 1
