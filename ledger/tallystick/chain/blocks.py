"""One node's blocks, and the logs asked for in them, each checked to belong to the blocks around it.

An address may stand for many machines, some of which are blocks behind the others: logs that such a one does
not have yet must not pass for logs that are not there. So the newest blocks are asked for their logs by hash,
which a machine that lacks the block refuses, and older ones together with the block that ends the range.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from tallystick.chain.errors import ChainUnavailable, RpcError, WrongChain
from tallystick.chain.rpc import Rpc, quantity
from tallystick.protocol.units import Timestamp

KEPT: Final = 64
"""Of the newest blocks the hashes are known: how far the chain may go back without being read anew."""
_NEAR: Final = 16
"""Blocks asked for their logs by hash, and parts of one batch."""
_SPAN: Final = 2_000
"""Older blocks asked for at a time, at most: what public nodes commonly allow."""
MOVED: Final = "The chain moved while it was read; the next poll reads it again."


@dataclass(frozen=True, slots=True)
class Block:
    number: int
    hash: str
    parent: str
    timestamp: Timestamp


@dataclass(frozen=True, slots=True)
class Reading:
    """A stretch of one chain."""

    blocks: tuple[Block, ...]
    """The newest of it, each the parent of the next."""
    logs: tuple[dict[str, Any], ...]
    """Of all of it, in the chain's order."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which logs are asked for."""

    address: str
    """The contract, `0x…` in lower case."""
    topics: tuple[tuple[str, ...] | None, ...]
    """What each topic may be, `0x…`; None: anything."""

    def json(self, **where: str) -> dict[str, Any]:
        topics = [None if wanted is None else list(wanted) for wanted in self.topics]
        return {"address": self.address, "topics": topics, **where}

    def fits(self, log: dict[str, Any]) -> bool:
        topics, address = log.get("topics"), log.get("address")
        if not isinstance(topics, list) or len(topics) < len(self.topics) or not isinstance(address, str):
            return False
        return address.lower() == self.address and all(
            wanted is None or topic in wanted for wanted, topic in zip(self.topics, topics, strict=False)
        )


class NodeBlocks:
    """What one node says. Not for two threads at once."""

    def __init__(self, rpc: Rpc, chain_id: int, filters: Sequence[LogFilter]):
        self.rpc = rpc
        self._chain_id = chain_id
        self._filters = filters
        self._span = _SPAN

    def newest(self, *numbers: int) -> tuple[Block, list[Block | None]]:
        """The newest block, and those of `numbers`; None where the node has none of that number.

        Raises
        ------
        WrongChain :
            The node follows another one now.
        """
        requests: list[tuple[str, Sequence[Any]]] = [("eth_chainId", ()), _asking("latest")]
        chain_id, latest, *found = self.rpc.batch(requests + [_asking(hex(number)) for number in numbers])
        require_chain(chain_id, self._chain_id)
        return read_block(latest), [
            None if block is None else read_block(block, number)
            for number, block in zip(numbers, found, strict=True)
        ]

    def read(self, after: Block | None, begin: int, target: int) -> Reading:
        """The blocks from `begin` to `target`, or as far as the machine that answers has them, which follow
        `after`; raises ChainUnavailable where they do not."""
        first = max(begin, target - KEPT + 1)
        blocks = self._headers(first, target)
        if after is not None and first == begin and blocks[0].parent != after.hash:
            raise ChainUnavailable(MOVED)
        return Reading(blocks, self.logs(begin, blocks))

    def logs(self, begin: int, blocks: Sequence[Block]) -> tuple[dict[str, Any], ...]:
        """Of all blocks from `begin` to the last of `blocks`, which are the newest of that stretch, each the
        parent of the next; in the chain's order. Raises ChainUnavailable where the node's are of others."""
        first, target = blocks[0].number, blocks[-1].number
        near = max(begin, target - _NEAR + 1)
        logs = self._older(begin, near - 1, blocks[near - first - 1] if near > first else None, blocks[0])
        logs += self._near([block for block in blocks if block.number >= near])
        hashes = {block.number: block.hash for block in blocks}
        ordered: dict[tuple[int, int], dict[str, Any]] = {}
        for log in logs:
            if not any(wanted.fits(log) for wanted in self._filters):
                raise ChainUnavailable("The node answered a log that was not asked for.")
            number = quantity(log.get("blockNumber"))
            there = log.get("blockHash")
            if not begin <= number <= target or hashes.get(number, there) != there:
                raise ChainUnavailable(MOVED)
            ordered[number, quantity(log.get("logIndex"), bits=64)] = log  # It may fit two filters.
        return tuple(ordered[place] for place in sorted(ordered))

    def _headers(self, first: int, last: int) -> tuple[Block, ...]:
        blocks: list[Block] = []
        for start in range(first, last + 1, _NEAR):
            numbers = range(start, min(start + _NEAR, last + 1))
            answers = self.rpc.batch([_asking(hex(number)) for number in numbers])
            found = zip(numbers, answers, strict=True)
            blocks += [read_block(answer, number) for number, answer in found if answer is not None]
            if None in answers:
                break  # Another machine, which lags, answered this time.
        if not blocks:
            raise ChainUnavailable(MOVED)
        if any(child.parent != parent.hash for parent, child in pairwise(blocks)):
            raise ChainUnavailable(MOVED)
        return tuple(blocks)

    def _older(self, begin: int, end: int, ends: Block | None, oldest: Block) -> list[dict[str, Any]]:
        """Logs of a range. `ends` is its last block where that is known, else `oldest` the one after it."""
        logs: list[dict[str, Any]] = []
        while begin <= end:
            until = min(end, begin + self._span - 1)
            try:
                *found, block = self.rpc.batch(
                    [*self._asking_logs(fromBlock=hex(begin), toBlock=hex(until)), _asking(hex(until))]
                )
            except RpcError:
                if until == begin:
                    raise
                self._span = max(1, (until - begin + 1) // 2)  # Too many blocks or logs for this node.
                continue
            read = read_block(block, until)
            if until == end and read.hash != (ends.hash if ends is not None else oldest.parent):
                raise ChainUnavailable(MOVED)
            logs += [log for answer in found for log in read_logs(answer)]
            begin = until + 1
        return logs

    def _near(self, blocks: Sequence[Block]) -> list[dict[str, Any]]:
        asked = [block for block in blocks for _ in self._filters]
        try:
            found = self.rpc.batch(
                [request for block in blocks for request in self._asking_logs(blockHash=block.hash)]
            )
        except RpcError as error:
            raise ChainUnavailable(f"{MOVED} ({error})") from error
        logs = []
        for block, answer in zip(asked, found, strict=True):
            for log in read_logs(answer):
                if log.get("blockHash") != block.hash:
                    raise ChainUnavailable(MOVED)
                logs.append(log)
        return logs

    def _asking_logs(self, **where: str) -> list[tuple[str, Sequence[Any]]]:
        return [("eth_getLogs", (wanted.json(**where),)) for wanted in self._filters]


def _asking(number: str) -> tuple[str, Sequence[Any]]:
    return "eth_getBlockByNumber", (number, False)


def read_logs(answer: Any) -> list[dict[str, Any]]:
    """Logs as the node gives them; raises ChainUnavailable."""
    if isinstance(answer, list) and all(isinstance(item, dict) for item in answer):
        return answer
    raise ChainUnavailable("The node answered something that is no list of logs.")


def read_block(answer: Any, number: int | None = None) -> Block:
    """A block as the node gives it, of that number where one is named; raises ChainUnavailable."""
    if answer is None:
        raise ChainUnavailable(MOVED)
    if not isinstance(answer, dict):
        raise ChainUnavailable("The node answered something that is no block.")
    block = Block(
        quantity(answer.get("number"), bits=64),
        _hash(answer.get("hash")),
        _hash(answer.get("parentHash")),
        Timestamp(quantity(answer.get("timestamp"), bits=64)),
    )
    if number is not None and block.number != number:
        raise ChainUnavailable(f"The node answered block {block.number} where {number} was asked for.")
    return block


def _hash(answer: object) -> str:
    if isinstance(answer, str) and len(answer) == 66:
        return answer
    raise ChainUnavailable("The node answered something that is no block.")


def require_chain(answer: object, chain_id: int) -> None:
    """Raises WrongChain."""
    actual = quantity(answer)
    if actual != chain_id:
        raise WrongChain(
            f"The node follows chain {actual} and the deployment is on {chain_id}. "
            "Give the RPC address of that chain, or another deployment.",
            required=chain_id,
            actual=actual,
        )
