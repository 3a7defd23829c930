"""Which block draws: found by few questions, and the same for everybody who asks."""

from typing import Any

import pytest

from tallystick.chain.local import LocalChain
from tallystick.chain.timeline import Timeline
from tallystick.protocol.lottery import DEPTH_BLOCKS, Block
from tallystick.protocol.units import Hash32, Timestamp


class Counting:
    """A node whose blocks came at these seconds."""

    def __init__(self, times: list[int]):
        self.times = times
        self.asked = 0

    def call(self, method: str, *params: Any) -> Any:
        self.asked += 1
        if method == "eth_blockNumber":
            return hex(len(self.times) - 1)
        number = int(params[0], 16)
        return {
            "number": hex(number),
            "hash": f"0x{number:064x}",
            "parentHash": f"0x{0:064x}",
            "timestamp": hex(self.times[number]),
        }


def first(times: list[int], moment: int) -> int | None:
    return next((number for number, time in enumerate(times) if time >= moment), None)


@pytest.mark.parametrize(
    "times",
    [
        [12 * number for number in range(500)],
        [0, 0, 0, 5, 5, 90, 91, 92, 10_000, 10_001, 10_002, 10_003],
        [number * number for number in range(300)],
        [*range(100), *(1_000_000 + number for number in range(100))],
        [7],
    ],
)
def test_it_is_the_first_block_that_is_no_older(times: list[int]) -> None:
    deep = times[: len(times) - DEPTH_BLOCKS]
    timeline = Timeline(Counting(times))  # type: ignore[arg-type]
    for moment in sorted({0, 1, 4, 5, 6, 91, 500, 1_000_001, *times}, key=lambda one: (one * 7919) % 101):
        expected = first(deep, moment)
        found = timeline.block_at(Timestamp(moment))
        assert (None if found is None else found.number) == expected, moment


def test_blocks_that_come_evenly_take_a_few_questions() -> None:
    node = Counting([1_000_000 + 12 * number + number % 3 for number in range(100_000)])
    timeline = Timeline(node)  # type: ignore[arg-type]
    assert timeline.block_at(Timestamp(1_600_000)) is not None
    assert node.asked <= 12
    before = node.asked
    for moment in range(1_600_000, 1_600_120):
        timeline.block_at(Timestamp(moment))
    assert node.asked - before <= 24


def test_what_is_not_deep_enough_draws_nothing_yet() -> None:
    node = Counting([0, 10, 20])
    timeline = Timeline(node)  # type: ignore[arg-type]
    assert timeline.block_at(Timestamp(5)) is None
    node.times += [30] * DEPTH_BLOCKS
    found = timeline.block_at(Timestamp(5))
    assert found == Block(number=1, hash=Hash32((1).to_bytes(32, "big")))


def test_a_real_node_s_blocks_are_its_own(local_chain: LocalChain) -> None:
    rpc = local_chain.rpc
    rpc.call("anvil_mine", "0x5", "0x7")
    head = rpc.call("eth_getBlockByNumber", "latest", False)
    number = int(head["number"], 16) - DEPTH_BLOCKS
    block = rpc.call("eth_getBlockByNumber", hex(number), False)
    found = Timeline(rpc).block_at(Timestamp(int(block["timestamp"], 16)))
    assert found is not None
    assert (found.number, "0x" + found.hash.hex()) == (number, block["hash"])
