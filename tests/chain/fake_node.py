"""A node in memory that behaves as one does: blocks have parents, logs belong to blocks, and a machine that
lags knows nothing of what it has not got."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from tallystick.chain import contracts
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.follower import Follower, Update
from tallystick.protocol.eip712 import keccak

DEPLOYMENT = Deployment(chain_id=1, market=b"\1" * 20, asset=b"\2" * 20, lens=b"\3" * 20, block=1)
TOPIC = next(
    topic for topic, entry in contracts.market().interface.events.items() if entry.name == "Deposited"
)
_SALT = count()


@dataclass(frozen=True)
class FakeBlock:
    number: int
    parent: str
    amounts: tuple[int, ...]
    """Of the deposits in it."""
    hash: str

    @classmethod
    def after(cls, parent: "FakeBlock | None", *amounts: int) -> "FakeBlock":
        hash = "0x" + keccak(f"{next(_SALT)}".encode()).hex()
        if parent is None:
            return cls(0, "0x" + "00" * 32, (), hash)
        return cls(parent.number + 1, parent.hash, amounts, hash)

    @property
    def json(self) -> dict[str, Any]:
        timestamp = hex(1000 + self.number)
        return {
            "number": hex(self.number),
            "hash": self.hash,
            "parentHash": self.parent,
            "timestamp": timestamp,
        }

    @property
    def logs(self) -> list[dict[str, Any]]:
        return [
            {
                "address": "0x" + DEPLOYMENT.market.hex(),
                "topics": ["0x" + TOPIC.hex(), "0x" + "00" * 32],
                "data": "0x" + amount.to_bytes(32, "big").hex() * 2,
                "blockNumber": hex(self.number),
                "blockHash": self.hash,
                "logIndex": hex(index),
                "transactionHash": "0x" + "00" * 32,
            }
            for index, amount in enumerate(self.amounts)
        ]


@dataclass
class FakeNode:
    """`blocks` may be another node's very list."""

    blocks: list[FakeBlock] = field(default_factory=lambda: [FakeBlock.after(None)])
    lag: int = 0
    """Blocks that it has not got yet."""
    gone: bool = False
    chain_id: int = 1
    longest_span: int = 10**9
    before_logs: Callable[[], None] = lambda: None
    asked: list[str] = field(default_factory=list)
    place: str = "http://witness"

    def mine(self, *amounts: int) -> None:
        self.blocks.append(FakeBlock.after(self.blocks[-1], *amounts))

    def reorg(self, depth: int, *blocks: Sequence[int]) -> None:
        """Takes back so many, never the first, and puts others in their place."""
        del self.blocks[max(1, len(self.blocks) - depth) :]
        for amounts in blocks:
            self.mine(*amounts)

    @property
    def seen(self) -> list[FakeBlock]:
        return self.blocks[: max(1, len(self.blocks) - self.lag)]

    # ---- as an Rpc

    def call(self, method: str, *params: Any) -> Any:
        return self.batch([(method, params)])[0]

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        if self.gone:
            raise ChainUnavailable("gone")
        return [self._answer(method, *params) for method, params in requests]

    def _answer(self, method: str, *params: Any) -> Any:
        self.asked.append(method)
        match method:
            case "eth_chainId":
                return hex(self.chain_id)
            case "eth_getBlockByNumber":
                return self._block(params[0])
            case "eth_getLogs":
                return self._logs(params[0])
        raise AssertionError(method)

    def _block(self, number: str) -> Any:
        seen = self.seen
        at = len(seen) - 1 if number == "latest" else int(number, 16)
        return seen[at].json if at < len(seen) else None

    def _logs(self, wanted: dict[str, Any]) -> Any:
        self.before_logs()
        if "blockHash" in wanted:
            found = [block for block in self.seen if block.hash == wanted["blockHash"]]
            if not found:
                raise RpcError("unknown block", number=-32000)
            return found[0].logs
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        if last - first + 1 > self.longest_span:
            raise RpcError("too many blocks", number=-32005)
        return [log for block in self.seen[first : last + 1] for log in block.logs]


@dataclass
class Balanced:
    """One address, several machines: each batch may meet another one."""

    nodes: list[FakeNode]
    rng: Random
    place: str = "http://balanced"

    def call(self, method: str, *params: Any) -> Any:
        return self.batch([(method, params)])[0]

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return self.rng.choice(self.nodes).batch(requests)

    def outcomes(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return self.rng.choice(self.nodes).outcomes(requests)


@dataclass
class Transcript:
    """What a caller of `follower` believes: deposits, in order."""

    follower: Follower
    entries: list[tuple[int, int]] = field(default_factory=list)
    """Block and amount."""
    final: int = -1

    def poll(self) -> Update:
        update = self.follower.poll()
        if update.rewound_to is not None:
            assert update.rewound_to >= self.final or update.rewound_to == -1
            self.entries = [entry for entry in self.entries if entry[0] <= update.rewound_to]
        self.entries += [(event.block, event.amount) for event in update.events]  # type: ignore[attr-defined]
        self.final = update.final
        return update

    @property
    def amounts(self) -> list[int]:
        return [amount for _, amount in self.entries]


def follow(rpc: Any, **options: Any) -> Transcript:
    return Transcript(Follower(rpc, DEPLOYMENT, **options))
