"""What may happen to a transaction on its way: on a chain of its own, whose blocks are made by hand."""

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tallystick.chain import contracts
from tallystick.chain.contracts import Call
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import TransactionReplaced, TransactionUnknown
from tallystick.chain.local import LocalChain, deploy
from tallystick.chain.sender import Sender
from tallystick.chain.transaction import Mined
from tallystick.protocol.signed import Key

GWEI = 10**9


@pytest.fixture(scope="module")
def chain() -> Iterator[LocalChain]:
    with LocalChain() as chain:
        yield chain


@pytest.fixture(scope="module")
def deployment(chain: LocalChain) -> Deployment:
    return deploy(chain.rpc, chain.keys[0])


@dataclass
class Desk:
    """One key, its sender, and the chain's mempool in hand."""

    chain: LocalChain
    deployment: Deployment
    key: Key = field(default_factory=Key.generate)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))

    def __post_init__(self) -> None:
        self.chain.rpc.call("anvil_setBalance", "0x" + self.key.address.hex(), hex(10**20))

    def sender(self, timeout_s: float = 60) -> Sender:
        return Sender(self.chain.rpc, self.deployment.chain_id, self.key, timeout_s=timeout_s)

    def mint(self, amount: int) -> Call:
        return contracts.asset().call(self.deployment.asset, "mint", self.key.address, amount)

    def sending(self, sender: Sender, amount: int, **options: int) -> "Future[Mined]":
        """In a thread; returns once the node has it."""
        before = self.counts()[1]
        future = self.pool.submit(sender.send, self.mint(amount), **options)
        until(lambda: self.counts()[1] > before or future.done())
        return future

    def counts(self) -> tuple[int, int]:
        of = "0x" + self.key.address.hex()
        return tuple(
            int(self.chain.rpc.call("eth_getTransactionCount", of, tag), 16) for tag in ("latest", "pending")
        )

    def pending(self) -> list[str]:
        block = self.chain.rpc.call("eth_getBlockByNumber", "pending", False)
        return block["transactions"]

    def mine(self) -> None:
        self.chain.rpc.call("evm_mine")

    def base_fee(self, wei: int) -> None:
        self.chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(wei))

    @property
    def balance(self) -> int:
        data = contracts.asset().interface.call("balanceOf", (self.key.address,))
        request = {"to": "0x" + self.deployment.asset.hex(), "data": "0x" + data.hex()}
        return int(self.chain.rpc.call("eth_call", request, "latest"), 16)


def until(reached: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not reached():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


@pytest.fixture
def desk(chain: LocalChain, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """On a chain that mines when told to. Senders push every half second."""
    monkeypatch.setattr("tallystick.chain.sender._PUSH_S", 0.5)
    monkeypatch.setattr("tallystick.chain.sender._PATIENCE_S", 2.0)
    monkeypatch.setattr("tallystick.chain.sender._LAG_S", 1.0)
    desk = Desk(chain, deployment)
    chain.rpc.call("evm_setAutomine", False)
    chain.rpc.call("evm_setIntervalMining", 0)
    yield desk
    desk.mine()
    chain.rpc.call("anvil_dropAllTransactions")
    desk.base_fee(GWEI)
    desk.mine()
    chain.rpc.call("evm_setAutomine", True)
    desk.pool.shutdown()


def test_what_the_node_drops_is_sent_again_byte_by_byte(desk: Desk) -> None:
    sending = desk.sending(desk.sender(), 3)
    (first,) = desk.pending()
    desk.chain.rpc.call("anvil_dropTransaction", first)
    until(lambda: desk.pending() == [first])
    desk.mine()
    assert "0x" + sending.result(60).transaction.hex() == first
    assert desk.balance == 3


def test_what_a_rising_base_fee_leaves_behind_is_replaced_under_its_nonce(desk: Desk) -> None:
    sending = desk.sending(desk.sender(), 3)
    desk.base_fee(20 * GWEI)
    desk.mine()
    assert not sending.done()
    until(lambda: (desk.base_fee(20 * GWEI), desk.mine(), sending.done())[-1])
    assert sending.result().fee // sending.result().gas_used >= 20 * GWEI
    assert (desk.counts(), desk.balance) == ((1, 1), 3)


def test_a_fee_is_raised_up_to_the_limit_and_no_further(desk: Desk) -> None:
    sender = desk.sender(timeout_s=3)
    sending = desk.sending(sender, 3, highest_gas_price=10 * GWEI)
    until(lambda: (desk.base_fee(50 * GWEI), desk.mine(), sending.done())[-1])
    with pytest.raises(TransactionUnknown):
        sending.result()
    assert (desk.balance, sender.look_up().in_flight) == (0, True)
    desk.base_fee(5 * GWEI)
    desk.mine()
    until(lambda: (desk.mine(), not sender.look_up().in_flight)[-1])
    assert (desk.counts(), desk.balance) == ((1, 1), 3)


def test_after_a_time_out_the_outcome_is_looked_up(desk: Desk) -> None:
    sender = desk.sender(timeout_s=0.3)
    desk.mine()
    assert not sender.look_up().in_flight
    with pytest.raises(TransactionUnknown):
        sender.send(desk.mint(3))
    assert sender.look_up().in_flight
    desk.mine()
    look = sender.look_up()
    assert (look.in_flight, look.found) == (False, int(desk.chain.rpc.call("eth_blockNumber"), 16))
    assert (sender.look_up().found, desk.balance) == (0, 3)


def test_what_follows_an_unknown_outcome_takes_its_place(desk: Desk) -> None:
    """Were it a settlement sent twice, one of the two would be paid for."""
    sender = desk.sender(timeout_s=3)
    with pytest.raises(TransactionUnknown):
        sender.send(desk.mint(3))
    (old,) = desk.pending()
    sending = desk.pool.submit(sender.send, desk.mint(4))
    until(lambda: desk.pending() not in ([old], []))
    desk.mine()
    assert sending.result(60).gas_used > 0
    assert (desk.counts(), desk.balance) == ((1, 1), 4)


def test_an_unknown_outcome_that_turns_up_while_the_next_is_sent(desk: Desk) -> None:
    """The earlier one is mined just before the later: the later is not sent, and says so."""
    sender = desk.sender(timeout_s=0.3)
    with pytest.raises(TransactionUnknown):
        sender.send(desk.mint(3))
    desk.mine()
    with pytest.raises(TransactionReplaced):
        sender.send(desk.mint(4))
    assert desk.balance == 3


def test_another_program_s_transaction_under_our_nonce(desk: Desk) -> None:
    """Ours can never be mined: it is sent anew, under the next nonce."""
    sending = desk.sending(desk.sender(), 3)
    (ours,) = desk.pending()
    desk.chain.rpc.call("anvil_dropTransaction", ours)
    theirs = desk.sender()
    other = desk.sending(theirs, 100, highest_gas_price=400 * GWEI)
    until(lambda: (desk.mine(), sending.done() and other.done())[-1])
    assert {sending.result().transaction, other.result().transaction} & {
        bytes.fromhex(ours[2:])
    } == set() or (desk.balance == 103)
    assert (desk.counts()[0], desk.balance) == (2, 103)


def test_what_a_reorganisation_takes_back_is_sent_again_as_it_was(desk: Desk) -> None:
    sender = desk.sender()
    sending = desk.sending(sender, 3)
    desk.mine()
    mined = sending.result(60)
    assert not sender.look_up(recheck=True).in_flight
    desk.chain.rpc.call("anvil_reorg", 1, [])
    assert desk.balance == 0
    assert sender.look_up(recheck=True).in_flight
    assert desk.pending() == ["0x" + mined.transaction.hex()]
    desk.mine()
    assert (sender.look_up().found, desk.balance) == (mined.block + 1, 3)


def test_after_a_restart_what_is_under_way_is_waited_for(desk: Desk) -> None:
    with pytest.raises(TransactionUnknown):
        desk.sender(timeout_s=0.2).send(desk.mint(3))
    again = desk.sender()
    assert again.look_up().in_flight
    desk.mine()
    look = again.look_up()
    assert (look.in_flight, look.found) == (False, int(desk.chain.rpc.call("eth_blockNumber"), 16))


def test_after_a_restart_what_does_not_move_is_replaced(desk: Desk) -> None:
    with pytest.raises(TransactionUnknown):
        desk.sender(timeout_s=0.2).send(desk.mint(3))
    again = desk.sender()
    until(lambda: not again.look_up().in_flight)
    (old,) = desk.pending()
    sending = desk.pool.submit(again.send, desk.mint(4))
    until(lambda: desk.pending() not in ([old], []))
    desk.mine()
    sending.result(60)
    assert (desk.counts(), desk.balance) == ((1, 1), 4)


def test_two_programs_send_from_one_key(desk: Desk) -> None:
    """Each its four, at once: all are mined, once."""
    desk.chain.rpc.call("evm_setIntervalMining", 1)
    program = f"""
        from tallystick.chain import contracts
        from tallystick.chain.rpc import Rpc
        from tallystick.chain.sender import Sender
        from tallystick.protocol.signed import Key
        rpc, key = Rpc({desk.chain.url!r}), Key({desk.key.secret!r})
        sender = Sender(rpc, {desk.deployment.chain_id}, key)
        print("ready", flush=True)
        input()
        for _ in range(4):
            sender.send(contracts.asset().call({desk.deployment.asset!r}, "mint", key.address, 100))
        rpc.close()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        other.stdin.write("\n")
        other.stdin.flush()
        sender = desk.sender()
        for _ in range(4):
            sender.send(desk.mint(1))
        assert other.wait(120) == 0
    assert (desk.balance, desk.counts()) == (404, (8, 8))


def test_threads_share_a_sender_while_the_fee_rises(desk: Desk) -> None:
    sender, over = desk.sender(), threading.Event()
    sendings = [desk.pool.submit(sender.send, desk.mint(1)) for _ in range(6)]
    fees = iter([10, 10, 20, 20, 30, 30, *[5] * 1000])
    until(
        lambda: (
            desk.base_fee(next(fees) * GWEI),
            desk.mine(),
            over.wait(0.3),
            all(sending.done() for sending in sendings),
        )[-1],
        60,
    )
    assert len({sending.result().transaction for sending in sendings}) == 6
    assert (desk.counts(), desk.balance) == ((6, 6), 6)


def test_what_is_sent_while_the_chain_takes_back_what_came_before(desk: Desk) -> None:
    """The second waits for a nonce that the chain forgot: the first is sent again, so that both are mined."""
    sender = desk.sender()
    first = desk.sending(sender, 3)
    desk.mine()
    first.result(60)
    second = desk.sending(sender, 4)
    desk.chain.rpc.call("anvil_reorg", 1, [])
    until(lambda: (desk.mine(), second.done())[-1])
    assert second.result().gas_used > 0
    assert (desk.counts(), desk.balance) == ((2, 2), 7)
