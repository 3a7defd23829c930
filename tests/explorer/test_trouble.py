"""A node that goes away or lies: nothing wrong is written, it is said, and the index goes on afterwards."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tallystick.chain.errors import ChainError, ChainUnavailable, RpcError
from tallystick_node.local.made_node import MadeNode

from .test_exactness import Chain, Index, require_same

Lie = Callable[[Any], Any]


class Liar:
    """A node whose answers to one method are bent, while it lies."""

    place = "a liar"

    def __init__(self, node: MadeNode, method: str, lie: Lie):
        self.node, self.method, self.lie = node, method, lie
        self.lying = False

    def batch(self, requests: Any) -> list[Any]:
        answers = self.node.batch(requests)
        if not self.lying:
            return answers
        asked = [method for method, _ in requests]
        return [
            self.lie(answer) if method == self.method and answer else answer
            for method, answer in zip(asked, answers, strict=True)
        ]

    def outcomes(self, requests: Any) -> list[Any]:
        return self.node.outcomes(requests)


def every(change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Lie:
    return lambda answer: [bent for bent in map(change, answer) if bent is not None]


OTHER = "0x" + "77" * 32
LIES: dict[str, tuple[str, Lie]] = {
    "a block whose parent is not ours": ("eth_getBlockByNumber", lambda block: block | {"parentHash": OTHER}),
    "a block of another number": ("eth_getBlockByNumber", lambda block: block | {"number": "0x1"}),
    "a block without its transactions": ("eth_getBlockByNumber", lambda block: block | {"transactions": []}),
    "transactions as hashes": ("eth_getBlockByNumber", lambda block: block | {"transactions": [OTHER]}),
    "transactions without a sender": (
        "eth_getBlockByNumber",
        lambda block: (
            block
            | {"transactions": [{"hash": item["hash"], "to": item["to"]} for item in block["transactions"]]}
            if block["transactions"] and isinstance(block["transactions"][0], dict)
            else block
        ),
    ),
    "logs of another block": ("eth_getLogs", every(lambda log: log | {"blockHash": OTHER})),
    "logs of another contract": ("eth_getLogs", every(lambda log: log | {"address": "0x" + "77" * 20})),
    "logs of no transaction": ("eth_getLogs", every(lambda log: log | {"transactionHash": OTHER})),
    "logs that are no event": ("eth_getLogs", every(lambda log: log | {"data": "0x"})),
    "logs that keep quiet": ("eth_getLogs", every(lambda log: None)),
    "receipts of another block": (
        "eth_getTransactionReceipt",
        lambda receipt: receipt | {"blockHash": OTHER},
    ),
    "receipts of another transaction": (
        "eth_getTransactionReceipt",
        lambda receipt: receipt | {"transactionHash": OTHER},
    ),
    "receipts without logs": ("eth_getTransactionReceipt", lambda receipt: receipt | {"logs": []}),
    "receipts without gas": ("eth_getTransactionReceipt", lambda receipt: receipt | {"gasUsed": None}),
    "another chain": ("eth_chainId", lambda _: "0x1"),
    "nonsense": ("eth_getBlockByNumber", lambda _: "nonsense"),
}


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_is_not_written(name: str, tmp_path: Path) -> None:
    chain = Chain(3)
    liar = Liar(chain.node, *LIES[name])
    index = Index(liar, f"sqlite+aiosqlite:///{tmp_path}/index.db")
    await index.catch_up()
    before = await index.tables()
    liar.lying = True
    for _ in range(3):
        chain.mine()
    for _ in range(3):
        with pytest.raises(ChainError):
            await index.indexer.step()
    assert await index.tables() == before
    liar.lying = False
    await index.catch_up()
    await require_same(index, chain, f"sqlite+aiosqlite:///{tmp_path}/fresh.db")
    await index.stop()


async def test_events_that_do_not_add_up_are_not_written(tmp_path: Path) -> None:
    """The node tells of a market of which the beginning is missing."""
    chain = Chain(4)
    node = MadeNode()
    parent = node.blocks[0].hash
    for block in chain.node.blocks[12:]:
        number = len(node.blocks)
        events = tuple(replace(event, block=number) for event in block.events)
        node.blocks.append(replace(block, number=number, parent=parent, events=events))
        parent = block.hash
    index = Index(node, f"sqlite+aiosqlite:///{tmp_path}/index.db")
    with pytest.raises(ChainError, match="does not add up"):
        await index.catch_up()
    assert (await index.tables())["events"] == []
    await index.stop()


class Limited(MadeNode):
    """Takes few questions at a time."""

    def outcomes(self, requests: Any) -> list[Any]:
        if len(requests) > 6:
            raise RpcError("too many requests in a batch", number=-32005)
        return super().outcomes(requests)


async def read_from(node: MadeNode, chain: Chain, folder: Path) -> Index:
    """An index that comes to the end of the chain through such a node."""
    node.blocks = chain.node.blocks
    index = Index(node, f"sqlite+aiosqlite:///{folder}/index.db")
    for _ in range(200):
        with contextlib.suppress(ChainError):
            await index.indexer.step()
    assert index.heads[-1].block == chain.node.blocks[-1].number
    return index


async def test_a_node_that_takes_few_questions_at_a_time_is_asked_fewer(tmp_path: Path) -> None:
    chain = Chain(11)
    index = await read_from(Limited(), chain, tmp_path)
    await require_same(index, chain, f"sqlite+aiosqlite:///{tmp_path}/fresh.db")
    await index.stop()


class Dumb(MadeNode):
    """Never gets to the end of running a transaction."""

    def _called(self, call: Any, parent: str) -> str:
        raise ChainUnavailable("no answer within the time")


async def test_a_reason_that_never_comes_does_not_hold_up_the_index(tmp_path: Path) -> None:
    index = await read_from(Dumb(), Chain(12), tmp_path)
    rows = (await index.tables())["transactions"]
    assert any(not row[7] for row in rows)
    await index.stop()


async def test_it_says_that_the_node_is_gone_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    chain = Chain(5)
    index = Index(chain.node, f"sqlite+aiosqlite:///{tmp_path}/index.db")
    running = asyncio.create_task(index.indexer.run())

    top = chain.node.blocks[-1].number
    await index.until(lambda head: head.block == top)
    chain.node.gone = True
    await index.until(lambda head: head.trouble is not None)
    assert index.heads[-1].trouble == "The node is gone."
    assert index.heads[-1].block == top
    chain.mine()
    chain.node.gone = False
    await index.until(lambda head: head.block == top + 1)
    assert index.heads[-1].trouble is None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await index.stop()


async def test_the_asset_s_own_word_stands_beside_what_transfers_add_up_to(tmp_path: Path) -> None:
    chain = Chain(6)
    index = Index(chain.node, f"sqlite+aiosqlite:///{tmp_path}/index.db")
    chain.node.balance = 12_345
    running = asyncio.create_task(index.indexer.run())
    await index.until(lambda head: head.balances is not None and head.balances.market == 12_345)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await index.stop()


async def test_tables_of_another_version_are_filled_anew(tmp_path: Path) -> None:
    chain = Chain(9)
    index = Index(chain.node, f"sqlite+aiosqlite:///{tmp_path}/index.db")
    await index.catch_up()
    async with index.engine.begin() as db:
        await db.execute(text("UPDATE progress SET version = 0"))
        await db.execute(text("DROP TABLE hours"))
        await db.execute(text("CREATE TABLE hours (something INTEGER)"))
    await index.stop()
    index.start()
    await index.catch_up()
    await require_same(index, chain, f"sqlite+aiosqlite:///{tmp_path}/fresh.db")
    await index.stop()
