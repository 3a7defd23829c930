"""One node's blocks, and the market's logs in them, each checked to belong to the blocks around it.

An address may stand for many machines, some of which are blocks behind the others: logs that such a one does
not have yet must not pass for logs that are not there. So the newest blocks are asked for their logs by hash,
which a machine that lacks the block refuses, and older ones together with the block that ends the range.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainUnavailable, RpcError, WrongChain
from tallystick.chain.rpc import Rpc, quantity
from tallystick.protocol.units import Timestamp, to_hex

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


class NodeBlocks:
    """What one node says. Not for two threads at once."""

    def __init__(self, rpc: Rpc, deployment: Deployment, topics: Sequence[str]):
        self.rpc = rpc
        self._deployment = deployment
        self._topics = list(topics)
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
        require_chain(chain_id, self._deployment.chain_id)
        return read_block(latest), [
            None if block is None else read_block(block, number)
            for number, block in zip(numbers, found, strict=True)
        ]

    def read(self, after: Block | None, begin: int, target: int) -> Reading:
        """The blocks from `begin` to `target`, or as far as the machine that answers has them, which follow
        `after`; raises ChainUnavailable where they do not."""
        first = max(begin, target - KEPT + 1)
        blocks = self._headers(first, target)
        target = blocks[-1].number
        if after is not None and first == begin and blocks[0].parent != after.hash:
            raise ChainUnavailable(MOVED)
        near = max(begin, target - _NEAR + 1)
        logs = self._older(begin, near - 1, blocks[near - first - 1] if near > first else None, blocks[0])
        logs += self._near([block for block in blocks if block.number >= near])
        by_number = {block.number: block.hash for block in blocks}
        for log in logs:
            self._require_asked_for(log)
            _require_within(log, by_number, begin, target)
        return Reading(blocks, tuple(logs))

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
                found, block = self.rpc.batch(
                    [
                        ("eth_getLogs", (self._filter(fromBlock=hex(begin), toBlock=hex(until)),)),
                        _asking(hex(until)),
                    ]
                )
            except RpcError:
                if until == begin:
                    raise
                self._span = max(1, (until - begin + 1) // 2)  # Too many blocks or logs for this node.
                continue
            read = read_block(block, until)
            if until == end and read.hash != (ends.hash if ends is not None else oldest.parent):
                raise ChainUnavailable(MOVED)
            logs += _list(found)
            begin = until + 1
        return logs

    def _near(self, blocks: Sequence[Block]) -> list[dict[str, Any]]:
        try:
            found = self.rpc.batch(
                [("eth_getLogs", (self._filter(blockHash=block.hash),)) for block in blocks]
            )
        except RpcError as error:
            raise ChainUnavailable(f"{MOVED} ({error})") from error
        logs = []
        for block, answer in zip(blocks, found, strict=True):
            for log in _list(answer):
                if log.get("blockHash") != block.hash:
                    raise ChainUnavailable(MOVED)
                logs.append(log)
        return logs

    def _require_asked_for(self, log: dict[str, Any]) -> None:
        topics = log.get("topics")
        if not isinstance(topics, list) or not topics or topics[0] not in self._topics:
            raise ChainUnavailable("The node answered a log that was not asked for.")

    def _filter(self, **where: str) -> dict[str, Any]:
        return {"address": to_hex(self._deployment.market), "topics": [self._topics], **where}


def _asking(number: str) -> tuple[str, Sequence[Any]]:
    return "eth_getBlockByNumber", (number, False)


def _list(answer: Any) -> list[dict[str, Any]]:
    if isinstance(answer, list) and all(isinstance(item, dict) for item in answer):
        return answer
    raise ChainUnavailable("The node answered something that is no list of logs.")


def _require_within(log: dict[str, Any], hashes: dict[int, str], begin: int, target: int) -> None:
    number = quantity(log.get("blockNumber"))
    if not begin <= number <= target or hashes.get(number, log.get("blockHash")) != log.get("blockHash"):
        raise ChainUnavailable(MOVED)


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
