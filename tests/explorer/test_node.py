"""What is asked of the chain's node while a visitor waits: of a real node, and of one that misbehaves."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.chain import contracts
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.local import LocalChain
from tallystick.chain.rpc import Rpc
from tallystick.protocol.units import Atoms
from tallystick_node.explorer.answers import Found, NodeBlock, frames_of_calls, frames_of_traces
from tallystick_node.explorer.node import Node
from tests.conftest import Party

HASH = b"\x11" * 32


@pytest.fixture
async def node(local_chain: LocalChain) -> AsyncIterator[Node]:
    node = Node(Rpc(local_chain.rpc.url))
    yield node
    await node.close()


async def test_a_block_by_number_and_by_hash(node: Node, local_chain: LocalChain) -> None:
    local_chain.rpc.call("evm_mine")
    newest = local_chain.rpc.call("eth_getBlockByNumber", "latest", False)
    block = await node.block(int(newest["number"], 16))
    assert block is not None
    assert f"0x{block.hash.hex()}" == newest["hash"]
    assert await node.block(block.hash) == block
    assert await node.block(2**62) is None
    assert await node.block(HASH) is None


async def test_a_transaction_with_what_became_of_it(
    node: Node, funded_payer: Callable[..., Party], local_chain: LocalChain
) -> None:
    payer = funded_payer()
    mined = payer.market.request_exit(Atoms(5))
    found = await node.transaction(mined.transaction)
    assert found is not None
    assert (found.block, found.succeeded, found.cost) == (mined.block, True, mined.fee)
    assert (found.sender, found.recipient) == (payer.address, payer.market.deployment.market)
    assert [log.address for log in found.logs] == [payer.market.deployment.market]
    assert found.input[:4] == contracts.market().interface.functions["requestExit"][0]
    assert await node.transaction(HASH) is None


async def test_both_kinds_of_trace_tell_the_same_calls(
    node: Node, funded_payer: Callable[..., Party], local_chain: LocalChain
) -> None:
    payer = funded_payer()
    payer.market.mint(Atoms(7))
    mined = payer.market.deposit(Atoms(7))
    name = f"0x{mined.transaction.hex()}"
    calls = frames_of_calls(local_chain.rpc.call("debug_traceTransaction", name, {"tracer": "callTracer"}))
    traces = frames_of_traces(local_chain.rpc.call("trace_transaction", name))
    market, asset = payer.market.deployment.market, payer.market.deployment.asset
    assert [(frame.depth, frame.callee) for frame in calls][:2] == [(0, market), (1, asset)]
    for frame, other in zip(calls, traces, strict=True):
        assert (frame.depth, frame.kind, frame.caller, frame.callee, frame.input) == (
            other.depth,
            other.kind,
            other.caller,
            other.callee,
            other.input,
        )
    assert await node.trace(mined.transaction) == calls
    assert await node.trace(HASH) is None
    assert node.traces


async def test_a_contract_s_code(node: Node, deployment: Any) -> None:
    assert len(await node.code(deployment.market)) > 1_000
    assert await node.code(b"\x77" * 20) == b""


class Fake(Rpc):
    """Answers by `answer`, in the thread that asks."""

    def __init__(self, answer: Callable[[str], Any]):
        super().__init__("http://127.0.0.1:1")
        self.answer = answer
        self.asked: list[str] = []

    def call(self, method: str, *params: Any) -> Any:
        self.asked.append(method)
        return self.answer(method)


async def test_who_waits_for_a_silent_node_is_told_soon() -> None:
    silence = threading.Event()
    node = Node(Fake(lambda _: silence.wait()), limit_s=0.05)
    with pytest.raises(ChainUnavailable, match="no answer"):
        await node.block(1)
    silence.set()
    await node.close()


async def test_a_silent_node_is_not_asked_without_end() -> None:
    silence = threading.Event()
    node = Node(Fake(lambda _: silence.wait()), limit_s=0.05)
    answers = await asyncio.gather(*map(node.block, range(40)), return_exceptions=True)
    assert all(isinstance(answer, ChainUnavailable) for answer in answers)
    assert sum("too much" in str(answer) for answer in answers) == 40 - 16
    silence.set()
    await node.close()


async def test_many_who_ask_the_same_are_one_question() -> None:
    rpc = Fake(lambda _: "0x60")
    node = Node(rpc)
    assert set(await asyncio.gather(*(node.code(b"\1" * 20) for _ in range(20)))) == {b"\x60"}
    assert rpc.asked == ["eth_getCode"]
    await node.close()


async def test_what_went_wrong_is_asked_again() -> None:
    answers = iter(["nonsense", "0x60"])
    node = Node(Fake(lambda _: next(answers)))
    with pytest.raises(ChainUnavailable):
        await node.code(b"\1" * 20)
    assert await node.code(b"\1" * 20) == b"\x60"
    await node.close()


async def test_a_node_without_traces_is_asked_for_them_once() -> None:
    def refuse(method: str) -> Any:
        raise RpcError(f"The method {method} does not exist", number=-32601)

    rpc = Fake(refuse)
    node = Node(rpc)
    assert node.traces
    assert await node.trace(HASH) is None
    assert not node.traces
    assert await node.trace(b"\x12" * 32) is None
    assert rpc.asked == ["debug_traceTransaction", "trace_transaction"]
    await node.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["0x", "0x1", "0xzz"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["number", "hash", "from", "to", "calls", "action", "traceAddress", "logs"]),
            inner,
        )
    ),
    max_leaves=8,
)


@given(JSON)
def test_nonsense_is_said_to_be_nonsense(answer: Any) -> None:
    for read in (NodeBlock.read, lambda sent: Found.read(sent, sent), frames_of_calls, frames_of_traces):
        try:
            found = read(answer)
        except ChainUnavailable:
            continue
        assert found == (), "Nothing but an empty list of traces can be read from this."


def test_a_trace_as_deep_as_the_chain_allows_is_cut_and_needs_no_recursion() -> None:
    call: dict[str, Any] = {"type": "CALL", "from": "0x" + "11" * 20, "input": "0x"}
    for _ in range(5_000):
        call = {**call, "calls": [call]}
    frames = frames_of_calls(call)
    assert len(frames) == 1_000
    assert frames[-1].depth == 999
