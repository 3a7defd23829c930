"""Logs read on by whoever acts on them: on a node that limits questions, on many machines behind one address,
and where blocks are replaced."""

from collections.abc import Callable
from typing import Any

import pytest

from tallystick.chain.blocks import KEPT
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.lookout import Lookout
from tests.chain.fake_node import DEPLOYMENT, TOPIC, FakeNode


class Reader:
    """What it was told of: amounts."""

    def __init__(self, node: Any):
        self.node = node
        self.lookout = Lookout(node, DEPLOYMENT.market, [TOPIC], DEPLOYMENT.block)
        self.told: list[int] = []

    def look(self, head: int | None = None) -> list[int]:
        """Of this look alone."""
        before = len(self.told)
        for log in self.lookout.logs(self.node.blocks[-1].number if head is None else head):
            self.told.append(int(log["data"][2:66], 16))
        return self.told[before:]


def chain_of(blocks: int) -> FakeNode:
    node = FakeNode()
    for number in range(1, blocks + 1):
        node.mine(number)
    return node


def spans(node: FakeNode, look: Callable[[], object]) -> list[tuple[int, int]]:
    """Asked for in a look, that were answered."""
    asked, answer = list[tuple[int, int]](), node._logs

    def noting(wanted: dict[str, Any]) -> Any:
        found = answer(wanted)
        asked.append((int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)))
        return found

    node._logs = noting  # type: ignore[method-assign]
    look()
    node._logs = answer  # type: ignore[method-assign]
    return asked


@pytest.mark.parametrize("longest", [1, 7, 100, 10_000])
def test_a_node_that_allows_few_blocks_at_a_time_is_read_to_the_end(longest: int) -> None:
    node = chain_of(300)
    node.longest_span = longest
    reader = Reader(node)
    assert reader.look() == list(range(1, 301))
    node.mine(301)
    assert reader.look()[-1] == 301


def test_a_node_that_was_busy_is_asked_for_more_again() -> None:
    node = chain_of(300)
    node.longest_span = 1
    reader = Reader(node)
    reader.look()
    node.longest_span = 10_000
    for _ in range(7):
        reader.look()
    assert len(spans(node, reader.look)) == 1


def test_what_was_read_before_a_failure_is_not_read_again() -> None:
    node = chain_of(300)
    node.longest_span = 100
    reader, answer = Reader(node), node._logs

    def breaks(wanted: dict[str, Any]) -> Any:
        found = answer(wanted)
        if int(wanted["toBlock"], 16) > 200:
            raise ChainUnavailable("gone")
        return found

    node._logs = breaks  # type: ignore[method-assign]
    with pytest.raises(ChainUnavailable):
        reader.look()
    read = max(reader.told)
    assert read > 100
    node._logs = answer  # type: ignore[method-assign]
    assert reader.look() == list(range(read + 1, 301))


def test_a_block_that_is_refused_by_itself_ends_the_look() -> None:
    node = chain_of(10)
    node.longest_span = 0
    with pytest.raises(RpcError):
        Reader(node).look()


def test_what_a_machine_that_lags_left_out_is_told_by_the_next_look() -> None:
    node = chain_of(200)
    reader = Reader(node)
    node.lag = KEPT - 1
    reader.look(head=200)  # As another machine behind the same address says.
    node.lag = 0
    reader.look()
    assert set(reader.told) == set(range(1, 201))


def test_what_replaces_a_block_at_the_same_height_is_told() -> None:
    node = chain_of(200)
    reader = Reader(node)
    reader.look()
    node.reorg(5, [1001], [], [1003], [], [])
    assert {1001, 1003} <= set(reader.look())


def test_a_head_that_goes_back_loses_nothing() -> None:
    node = chain_of(200)
    reader = Reader(node)
    reader.look()
    reader.look(head=100)
    node.mine(201)
    assert reader.look() == list(range(201 - KEPT + 1, 202))


@pytest.mark.parametrize("answer", [None, {}, "0x", [None]])
def test_what_is_no_list_of_logs_is_no_answer(answer: Any) -> None:
    node = chain_of(3)
    node._logs = lambda wanted: answer  # type: ignore[method-assign]
    reader = Reader(node)
    with pytest.raises(ChainUnavailable):
        reader.look()
    del node.__dict__["_logs"]
    assert reader.look() == [1, 2, 3]
