"""Following a chain that grows, one that takes blocks back, one whose node lags, and one whose node lies."""

import random

import pytest

from tallystick.chain.blocks import KEPT
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainDisputed, ChainUnavailable, RpcError, WrongChain
from tallystick.chain.events import Deposited
from tallystick.chain.follower import Follower
from tallystick.chain.local import LocalChain
from tallystick.protocol.units import Atoms
from tests.chain.fake_node import Balanced, FakeNode, follow


@pytest.fixture
def chain() -> FakeNode:
    return FakeNode()


def long(chain: FakeNode, blocks: int = 3 * KEPT) -> FakeNode:
    for number in range(1, blocks + 1):
        chain.mine(number)
    return chain


def test_the_first_poll_reads_everything_and_later_ones_what_is_new(chain: FakeNode) -> None:
    chain.mine(1, 2)
    caller = follow(chain)
    first = caller.poll()
    assert (first.head.number, caller.amounts, first.rewound_to) == (1, [1, 2], None)
    assert caller.poll().events == ()
    chain.mine(3)
    chain.mine()
    second = caller.poll()
    assert (second.head.number, second.head.timestamp, caller.amounts) == (3, 1003, [1, 2, 3])


def test_an_idle_poll_is_one_round_trip(chain: FakeNode) -> None:
    caller = follow(long(chain))
    caller.poll()
    chain.asked.clear()
    caller.poll()
    assert chain.asked == ["eth_chainId", "eth_getBlockByNumber", "eth_getBlockByNumber"]


@pytest.mark.parametrize("depth", [1, 2, 3, 7, 20, KEPT - 1])
def test_replaced_blocks_are_read_again_and_no_others(chain: FakeNode, depth: int) -> None:
    caller = follow(long(chain))
    top = caller.poll().head.number
    chain.asked.clear()
    chain.reorg(depth, *[[1000 + number] for number in range(depth + 1)])
    update = caller.poll()
    assert (update.rewound_to, len(update.events)) == (top - depth, depth + 1)
    assert caller.amounts == [*range(1, top - depth + 1), *range(1000, 1001 + depth)]
    assert chain.asked.count("eth_getLogs") <= depth + 1
    assert caller.poll().rewound_to is None


def test_what_goes_back_further_than_is_known_is_read_from_the_first(chain: FakeNode) -> None:
    caller = follow(long(chain))
    caller.poll()
    chain.reorg(KEPT + 1, *[[number] for number in range(KEPT + 2)])
    assert caller.poll().rewound_to == -1
    fresh = follow(chain)
    fresh.poll()
    assert caller.amounts == fresh.amounts


def test_blocks_made_while_nobody_looked_are_all_read(chain: FakeNode) -> None:
    caller = follow(chain)
    caller.poll()
    long(chain, 2 * KEPT)
    assert caller.poll().rewound_to is None
    assert caller.amounts == list(range(1, 2 * KEPT + 1))
    chain.reorg(5, [7])
    for _ in range(10):
        caller.poll()
    assert caller.amounts == [*range(1, 2 * KEPT - 4), 7]


def test_confirmations_wait(chain: FakeNode) -> None:
    chain.mine(1)
    chain.mine(2)
    caller = follow(chain, confirmations=1)
    caller.poll()
    assert caller.amounts == [1]
    chain.mine()
    assert caller.poll().head.number == 2
    assert caller.amounts == [1, 2]


@pytest.mark.parametrize("depth", [1, 5, 12])
def test_what_is_not_confirmed_may_be_taken_back_unseen(chain: FakeNode, depth: int) -> None:
    caller = follow(long(chain, 40), confirmations=12)
    caller.poll()
    chain.reorg(depth, *[[99]] * (depth + 1))
    assert caller.poll().rewound_to is None
    assert caller.amounts == [*range(1, 29), 99 if depth == 12 else 29]


def test_a_young_chain_has_nothing_confirmed(chain: FakeNode) -> None:
    caller = follow(chain, confirmations=12)
    assert caller.poll().head.number == 0
    for _ in range(13):
        chain.mine(1)
    assert (caller.poll().head.number, caller.amounts) == (1, [1])


def test_a_chain_that_moves_while_it_is_read_is_read_again(chain: FakeNode) -> None:
    chain.mine(1)
    caller = follow(chain)
    caller.poll()
    chain.mine(2)

    def replace() -> None:
        chain.before_logs = lambda: None
        chain.reorg(1, [20])

    chain.before_logs = replace
    with pytest.raises(ChainUnavailable):
        caller.poll()
    caller.poll()
    assert caller.amounts == [1, 20]


def test_a_node_s_limit_is_found(chain: FakeNode) -> None:
    chain.longest_span = 7
    caller = follow(long(chain, 100))
    caller.poll()
    assert caller.amounts == list(range(1, 101))


def test_a_node_that_refuses_one_block_is_an_error(chain: FakeNode) -> None:
    chain.longest_span = 0
    with pytest.raises(RpcError):
        follow(long(chain, 100)).poll()


def test_a_node_that_follows_another_chain_all_of_a_sudden(chain: FakeNode) -> None:
    caller = follow(long(chain, 5))
    caller.poll()
    chain.chain_id = 5
    with pytest.raises(WrongChain):
        caller.poll()
    chain.chain_id = 1
    assert caller.poll().rewound_to is None
    assert caller.amounts == [1, 2, 3, 4, 5]


# --------------------------------------------------------------------------------------------- lagging


@pytest.mark.parametrize("seed", range(5))
def test_a_machine_that_lags_neither_rewinds_nor_hides_anything(chain: FakeNode, seed: int) -> None:
    long(chain, 30)
    machines = [chain, FakeNode(chain.blocks, lag=3), FakeNode(chain.blocks, lag=1)]
    caller = follow(Balanced(machines, random.Random(seed)))
    rewound, heads = [], []
    for number in range(31, 60):
        chain.mine(number)
        for _ in range(5):
            try:
                update = caller.poll()
            except ChainUnavailable:
                continue
            rewound.append(update.rewound_to)
            heads.append(update.head.number)
    assert set(rewound) == {None}
    assert heads == sorted(heads)
    assert caller.amounts == list(range(1, heads[-1] + 1))
    assert heads[-1] >= 57


def test_a_chain_that_stays_shorter_is_believed_in_the_end(chain: FakeNode) -> None:
    caller = follow(long(chain, 30))
    caller.poll()
    chain.reorg(3)
    updates = [caller.poll() for _ in range(10)]
    assert [update.rewound_to for update in updates] == [None] * 9 + [27]
    assert caller.amounts == list(range(1, 28))
    chain.mine(99)
    caller.poll()
    assert caller.amounts == [*range(1, 28), 99]


def test_a_shorter_chain_of_other_blocks_is_believed_at_once(chain: FakeNode) -> None:
    caller = follow(long(chain, 30))
    caller.poll()
    chain.reorg(5, [99])
    assert caller.poll().rewound_to == 25
    assert caller.amounts == [*range(1, 26), 99]


# --------------------------------------------------------------------------------------------- lying


def lying(chain: FakeNode) -> FakeNode:
    """As honest as `chain` so far."""
    return FakeNode(list(chain.blocks))


def test_what_one_witness_confirms_is_acted_on(chain: FakeNode) -> None:
    long(chain, 30)
    away, behind = FakeNode(gone=True), FakeNode(chain.blocks, lag=2)
    caller = follow(chain, witnesses=[away, behind])
    assert caller.poll().head.number == 28  # As far as a witness is.
    behind.lag = 0
    assert caller.poll().head.number == 30
    assert caller.amounts == list(range(1, 31))


def test_a_block_that_no_witness_has_is_disputed_and_not_acted_on(chain: FakeNode) -> None:
    liar = lying(long(chain, 30))
    caller = follow(liar, witnesses=[chain])
    caller.poll()
    liar.mine(10**6)
    chain.mine()
    with pytest.raises(ChainDisputed) as error:
        caller.poll()
    assert error.value.retryable
    assert caller.amounts == list(range(1, 31))
    liar.reorg(1)
    liar.blocks.append(chain.blocks[-1])
    caller.poll()
    assert caller.amounts == list(range(1, 31))


@pytest.mark.parametrize("blocks", [30, 2 * KEPT])
def test_a_log_that_no_witness_has_is_disputed_though_the_hashes_agree(chain: FakeNode, blocks: int) -> None:
    liar = lying(long(chain, blocks))
    true = liar.blocks[5]
    liar.blocks[5] = type(true)(true.number, true.parent, (*true.amounts, 10**6), true.hash)
    with pytest.raises(ChainDisputed):
        follow(liar, witnesses=[chain]).poll()
    with pytest.raises(ChainDisputed):
        follow(chain, witnesses=[liar]).poll()  # Nobody knows which of the two lies.
    caller = follow(chain, witnesses=[liar, FakeNode(chain.blocks)])
    caller.poll()
    assert caller.amounts == list(range(1, blocks + 1))


def test_without_any_witness_nothing_is_acted_on(chain: FakeNode) -> None:
    witness = FakeNode(long(chain, 5).blocks)
    caller = follow(chain, witnesses=[witness])
    caller.poll()
    witness.gone = True
    chain.mine(6)
    with pytest.raises(ChainUnavailable):
        caller.poll()
    witness.gone = False
    caller.poll()
    assert caller.amounts == [1, 2, 3, 4, 5, 6]


def test_a_reorganisation_is_believed_when_a_witness_saw_it(chain: FakeNode) -> None:
    witness = FakeNode(long(chain, 30).blocks)
    caller = follow(chain, witnesses=[witness])
    caller.poll()
    chain.blocks = list(chain.blocks)
    chain.reorg(3, [1], [2], [3], [4])
    with pytest.raises(ChainDisputed):
        caller.poll()
    witness.blocks = chain.blocks
    assert caller.poll().rewound_to == 27


# --------------------------------------------------------------------------------------------- a real chain


def test_a_real_chain_that_is_taken_back(local_chain: LocalChain, deployment: Deployment, party) -> None:
    payer = party(100)
    follower = Follower(local_chain.rpc, deployment)
    follower.poll()
    before = payer.market.head().number
    payer.market.deposit(Atoms(10))
    update = follower.poll()
    assert [(type(event), event.amount) for event in update.events] == [(Deposited, 10)]
    depth = payer.market.head().number - before
    local_chain.rpc.call("anvil_reorg", depth, [])
    update = follower.poll()
    assert (update.rewound_to, update.events) == (before, ())
