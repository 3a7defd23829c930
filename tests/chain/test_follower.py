"""Following a chain that grows, and one that takes blocks back."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tallystick.chain import contracts
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.events import Deposited
from tallystick.chain.follower import Follower
from tallystick.chain.local import LocalChain
from tallystick.protocol.units import Atoms

DEPLOYMENT = Deployment(chain_id=1, market=b"\1" * 20, asset=b"\2" * 20, lens=b"\3" * 20, block=1)
TOPIC = next(
    topic for topic, entry in contracts.market().interface.events.items() if entry.name == "Deposited"
)


class Chain:
    """A node's chain in memory: each block holds deposits of the amounts given."""

    def __init__(self) -> None:
        self.blocks: list[tuple[str, list[int]]] = [("genesis", [])]
        self.spans: list[int] = []
        self.longest_span = 10**9
        self.before_logs: Callable[[], None] = lambda: None

    def mine(self, name: str, *amounts: int) -> None:
        self.blocks.append((name, list(amounts)))

    def call(self, method: str, *params: Any) -> Any:
        return {"eth_getBlockByNumber": self._block, "eth_getLogs": self._logs}[method](*params)

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.call(method, *params) for method, params in requests]

    def _block(self, number: str, _: bool) -> Any:
        at = len(self.blocks) - 1 if number == "latest" else int(number, 16)
        if at >= len(self.blocks):
            return None
        return {"number": hex(at), "hash": self.blocks[at][0], "timestamp": hex(1000 + at)}

    def _logs(self, wanted: dict[str, Any]) -> Any:
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        self.before_logs()
        if last - first + 1 > self.longest_span:
            raise RpcError("too many blocks", number=-32005)
        self.spans.append(last - first + 1)
        return [
            {
                "topics": ["0x" + TOPIC.hex(), "0x" + "00" * 32],
                "data": "0x" + amount.to_bytes(32, "big").hex() * 2,
                "blockNumber": hex(block),
                "logIndex": hex(index),
                "transactionHash": "0x" + "00" * 32,
            }
            for block in range(first, min(last + 1, len(self.blocks)))
            for index, amount in enumerate(self.blocks[block][1])
        ]


def amounts(update) -> list[int]:
    return [event.amount for event in update.events]


@pytest.fixture
def chain() -> Chain:
    return Chain()


def follow(chain: Chain, **options: Any) -> Follower:
    return Follower(chain, DEPLOYMENT, **options)  # type: ignore[arg-type]


def test_the_first_poll_reads_everything_and_later_ones_what_is_new(chain: Chain) -> None:
    chain.mine("a", 1, 2)
    follower = follow(chain)
    first = follower.poll()
    assert (first.head.number, amounts(first), first.rewound) == (1, [1, 2], False)
    assert amounts(follower.poll()) == []
    chain.mine("b", 3)
    chain.mine("c")
    second = follower.poll()
    assert (second.head.number, second.head.timestamp, amounts(second)) == (3, 1003, [3])


def test_a_replaced_block_rewinds_to_the_first(chain: Chain) -> None:
    chain.mine("a", 1)
    chain.mine("b", 2)
    follower = follow(chain)
    follower.poll()
    chain.blocks[2:] = [("b'", [20]), ("c'", [30])]
    update = follower.poll()
    assert (update.rewound, amounts(update), update.head.number) == (True, [1, 20, 30], 3)
    assert follower.poll().rewound is False


def test_a_shorter_chain_rewinds_too(chain: Chain) -> None:
    chain.mine("a", 1)
    chain.mine("b", 2)
    follower = follow(chain)
    follower.poll()
    del chain.blocks[2:]
    update = follower.poll()
    assert (update.rewound, amounts(update)) == (True, [1])


def test_confirmations_wait(chain: Chain) -> None:
    chain.mine("a", 1)
    chain.mine("b", 2)
    follower = follow(chain, confirmations=1)
    assert amounts(follower.poll()) == [1]
    chain.mine("c")
    update = follower.poll()
    assert (update.head.number, amounts(update)) == (2, [2])


def test_a_young_chain_has_nothing_confirmed(chain: Chain) -> None:
    update = follow(chain, confirmations=12).poll()
    assert (update.head.number, amounts(update)) == (0, [])


def test_a_chain_that_moves_while_it_is_read_is_read_again(chain: Chain) -> None:
    chain.mine("a", 1)
    follower = follow(chain)
    follower.poll()
    chain.mine("b", 2)

    def replace() -> None:
        chain.blocks[2] = ("b'", [20])
        chain.before_logs = lambda: None

    chain.before_logs = replace
    with pytest.raises(ChainUnavailable):
        follower.poll()
    assert amounts(follower.poll()) == [20]


def test_a_node_s_limit_is_found(chain: Chain) -> None:
    for number in range(50):
        chain.mine(f"b{number}", number)
    chain.longest_span = 7
    assert amounts(follow(chain).poll()) == list(range(50))
    assert max(chain.spans) <= 7


def test_a_node_that_refuses_one_block_is_an_error(chain: Chain) -> None:
    chain.mine("a", 1)
    chain.longest_span = 0
    with pytest.raises(RpcError):
        follow(chain).poll()


def test_a_real_chain_that_is_taken_back(local_chain: LocalChain, deployment, party) -> None:
    payer = party(100)
    follower = Follower(local_chain.rpc, deployment)
    follower.poll()
    snapshot = local_chain.rpc.call("evm_snapshot")
    payer.market.deposit(Atoms(10))
    update = follower.poll()
    assert [(type(event), event.amount) for event in update.events] == [(Deposited, 10)]
    local_chain.rpc.call("evm_revert", snapshot)
    update = follower.poll()
    assert (update.rewound, update.events) == (True, ())
