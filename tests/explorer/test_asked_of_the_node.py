"""Pages of what the index does not hold: as the node tells it, while it is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tallystick.chain import contracts
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.rpc import Rpc
from tallystick.protocol.units import Address
from tallystick_node.explorer.node import Node

from . import small
from .small import MARKET, hash_of
from .test_hostile import Markup
from .test_thing_pages import asking

SENT: dict[str, Any] = {
    "hash": f"0x{hash_of(1).hex()}",
    "from": f"0x{small.EVE.hex()}",
    "to": f"0x{MARKET.hex()}",
    "value": "0x0",
    "nonce": "0x5",
    "gas": "0x5208",
    "input": f"0x{contracts.market().call(Address(MARKET), 'exit', small.ALICE).data.hex()}",
}
RECEIPT: dict[str, Any] = {
    "blockNumber": "0x200",
    "transactionIndex": "0x1",
    "status": "0x0",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x7",
    "logs": [],
}
BLOCK: dict[str, Any] = {
    "number": "0x23",
    "hash": f"0x{hash_of(35).hex()}",
    "parentHash": f"0x{hash_of(34).hex()}",
    "timestamp": "0x68df0000",
    "gasUsed": "0x0",
    "gasLimit": "0x1c9c380",
    "transactions": [f"0x{hash_of(number).hex()}" for number in range(150)],
}


class Telling(Rpc):
    """Answers what a test puts into `answers`; nothing known is null."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1/secret-key")
        self.answers: dict[str, Any] = {}
        self.fails: Exception | None = None

    def call(self, method: str, *params: Any) -> Any:
        if self.fails is not None:
            raise self.fails
        return self.answers.get(method)

    def batch(self, requests: Any) -> list[Any]:
        return [self.call(method) for method, _ in requests]


@pytest.fixture
def rpc() -> Telling:
    return Telling()


@pytest.fixture
def client(rpc: Telling, tmp_path: Path) -> Iterator[TestClient]:
    with asking(small.Small(), tmp_path, Node(rpc)) as client:
        yield client


def test_a_transaction_that_waits_for_its_block(rpc: Telling, client: TestClient) -> None:
    rpc.answers = {"eth_getTransactionByHash": SENT}
    page = client.get(f"/tx/{SENT['hash']}").text
    assert "pending" in page
    assert "in no block yet" in page
    assert "Gas used" not in page
    twin = client.get(f"/api/tx/{SENT['hash']}").json()
    assert (twin["told"]["block"], twin["told"]["succeeded"], twin["traced"]) == (None, None, False)
    assert twin["call"]["function"] == "exit"


def test_a_transaction_that_makes_a_contract_and_fails(rpc: Telling, client: TestClient) -> None:
    sent = {**SENT, "to": None, "value": "0xde0b6b3a7640000"}
    rpc.answers = {"eth_getTransactionByHash": sent, "eth_getTransactionReceipt": RECEIPT}
    page = client.get(f"/tx/{SENT['hash']}").text
    assert "a new contract" in page
    assert "failed" in page
    assert "1.00" in page, "A whole coin was sent along."
    assert "not read yet" in page, "Block 512 is beyond the index."


def test_a_block_of_others_lists_some_of_its_transactions(rpc: Telling, client: TestClient) -> None:
    rpc.answers = {"eth_getBlockByNumber": BLOCK}
    page = Markup(client.get("/block/35").text)
    assert sum((found.get("href") or "").startswith("/tx/") for _, found in page.tags) == 100
    assert "The first 100 are shown" in page.text
    assert "Nothing of the market is in this block" in page.text
    near = client.get("/api/block/35").json()["near"]
    assert near == {"earlier": 30, "later": 40}


@pytest.mark.parametrize(
    "fails", [ChainUnavailable("It is gone."), RpcError("No such block.", number=-32000)]
)
def test_a_node_that_goes_away_and_returns(rpc: Telling, client: TestClient, fails: Exception) -> None:
    paths = ("/block/35", f"/tx/{SENT['hash']}", "/api/block/35", f"/api/tx/{SENT['hash']}")
    rpc.fails = fails
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 503, path
        assert answer.headers["retry-after"]
        assert str(fails) in answer.text
        assert "secret-key" not in answer.text
    assert client.get("/block/30").status_code == 200, "What is indexed needs no node."
    rpc.fails = None
    rpc.answers = {"eth_getBlockByNumber": BLOCK, "eth_getTransactionByHash": SENT}
    assert [client.get(path).status_code for path in paths] == [200] * 4


@pytest.mark.parametrize("answer", [[], {}, "0x", {"number": "0x1"}, {**BLOCK, "transactions": None}])
def test_a_node_that_tells_nonsense_is_no_defect_of_ours(
    rpc: Telling, client: TestClient, answer: Any
) -> None:
    rpc.answers = {"eth_getBlockByNumber": answer}
    assert client.get("/block/35").status_code == 503


def test_an_explorer_without_a_node_says_so(tmp_path: Path) -> None:
    with asking(small.Small(), tmp_path) as client:
        for path in ("/block/35", f"/tx/{SENT['hash']}", f"/tx/{SENT['hash']}/trace"):
            answer = client.get(path)
            assert answer.status_code == 404
        assert "no node to ask" in client.get("/block/35").text
