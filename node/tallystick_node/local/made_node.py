"""A node in memory that tells of made blocks as a real one does, and takes some back when it is told to.

Its transactions are the market's alone.
"""

import gc
import re
import sys
from collections.abc import Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import orjson

from tallystick.chain import contracts
from tallystick.chain.abi import encode, type_of
from tallystick.chain.audit_events import Answered, AuditsEvent, Concluded
from tallystick.chain.audit_events import Withdrawn as CreditsWithdrawn
from tallystick.chain.duel_events import Ended, Lapsed, Opened
from tallystick.chain.duel_events import Withdrawn as FeesWithdrawn
from tallystick.chain.duels import Ruling
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.events import (
    Awarded,
    ChainEvent,
    Deposited,
    Exited,
    OfferPosted,
    Slashed,
    Staked,
    Unstaked,
    Withdrawn,
    name_of,
)
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.finding import Finding
from tallystick.protocol.units import to_hex
from tallystick_node.explorer.index.facts import MarketBlock, Transaction, named_values
from tallystick_node.explorer.index.filling import made_blocks
from tallystick_node.explorer.index.made_block import AUDITS, DEPLOYMENT, DUELS, MARKET

_TRANSFER: Final = keccak(b"Transfer(address,address,uint256)")
_ELSEWHERE: Final = bytes(19) + b"\1"
"""Where the asset comes from and goes to."""
_EVENTS: Final = {
    stem + entry.name: (topic, entry)
    for stem, contract in (
        ("", contracts.market()),
        ("Duels.", contracts.duels()),
        ("Audits.", contracts.audits()),
    )
    for topic, entry in contract.interface.events.items()
}


class MadeNode:
    """As an `Rpc`. Block 0 is empty, and nobody's."""

    place = "a made node"

    def __init__(self, blocks: Iterable[MarketBlock] = (), chain_id: int = DEPLOYMENT.chain_id):
        self.blocks: list[MarketBlock] = [
            MarketBlock(number=0, hash=bytes(32), parent=bytes(32), timestamp=1)
        ]
        self.blocks += blocks
        self.chain_id = chain_id
        self.lag = 0
        """Blocks that it has not got yet."""
        self.gone = False
        self.balance = 0
        """Atoms that the market holds, as the asset says."""
        self._receipts: dict[str, dict[str, Any]] = {}
        self._told: dict[bytes, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}

    @property
    def seen(self) -> Sequence[MarketBlock]:
        return self.blocks[: max(1, len(self.blocks) - self.lag)]

    def call(self, method: str, *params: Any) -> Any:
        return self.batch([(method, params)])[0]

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        outcomes = self.outcomes(requests)
        for outcome in outcomes:
            if isinstance(outcome, RpcError):
                raise outcome
        return outcomes

    def outcomes(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        if self.gone:
            raise ChainUnavailable("The node is gone.")
        return [self._outcome(method, *params) for method, params in requests]

    def _outcome(self, method: str, *params: Any) -> Any:
        try:
            return self.answer(method, *params)
        except RpcError as error:
            return error

    def answer(self, method: str, *params: Any) -> Any:
        match method:
            case "eth_chainId":
                return hex(self.chain_id)
            case "eth_getBlockByNumber":
                return self._block(*params)
            case "eth_getBlockByHash":
                return next(
                    (self._json(block) for block in self.seen if to_hex(block.hash) == params[0]), None
                )
            case "eth_getLogs":
                return self._logs(params[0])
            case "eth_getTransactionReceipt":
                return self._receipt(params[0])
            case "eth_call":
                return self._called(params[0], params[1]["blockHash"])
        raise RpcError("the method does not exist", number=-32601)

    # ------------------------------------------------------------------------------------------- answers

    def _block(self, number: str, whole: bool) -> dict[str, Any] | None:
        seen = self.seen
        at = len(seen) - 1 if number == "latest" else int(number, 16)
        if at >= len(seen):
            return None
        return self._json(seen[at], whole)

    def _json(self, block: MarketBlock, whole: bool = False) -> dict[str, Any]:
        transactions = self._transactions(block)
        return {
            "number": hex(block.number),
            "hash": to_hex(block.hash),
            "parentHash": to_hex(block.parent),
            "timestamp": hex(block.timestamp),
            "baseFeePerGas": hex(block.base_fee),
            "gasUsed": hex(block.gas_used),
            "transactions": transactions if whole else [item["hash"] for item in transactions],
        }

    def _logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in wanted:
            blocks = [block for block in self.seen if to_hex(block.hash) == wanted["blockHash"]]
            if not blocks:
                raise RpcError("unknown block", number=-32000)
        else:
            blocks = list(self.seen[int(wanted["fromBlock"], 16) : int(wanted["toBlock"], 16) + 1])
        return [log for block in blocks for log in self.told(block)[1] if _fits(log, wanted)]

    def _receipt(self, name: str) -> dict[str, Any] | None:
        if name not in self._receipts:
            for block in self.blocks:
                self.told(block)
        receipt = self._receipts.get(name)
        at = None if receipt is None else int(receipt["blockNumber"], 16)
        seen = self.seen
        if receipt is None or at is None or at >= len(seen) or to_hex(seen[at].hash) != receipt["blockHash"]:
            return None
        return receipt

    def _called(self, call: dict[str, Any], parent: str) -> str:
        """The asset's balance; else a transaction, run anew on the block before its own."""
        if not any(to_hex(block.hash) == parent for block in self.seen):
            raise RpcError("header not found", number=-32000)
        if call["to"] == to_hex(DEPLOYMENT.asset):
            return to_hex(self.balance.to_bytes(32, "big"))
        child = next(block for block in self.blocks if to_hex(block.parent) == parent)
        for item in child.transactions:
            if to_hex(item.input) == call["data"] and to_hex(item.sender) == call["from"] and item.error:
                raise RpcError("execution reverted", number=3, data=_revert(item.error))
        return "0x"

    # ------------------------------------------------------------------------------------------- blocks

    def _transactions(self, block: MarketBlock) -> list[dict[str, Any]]:
        return [
            {
                "hash": to_hex(item.hash),
                "from": to_hex(item.sender),
                "to": to_hex(item.recipient or b""),
                "input": to_hex(item.input),
                "gas": hex(2 * item.gas_used),
                "value": "0x0",
            }
            for item in block.transactions
        ]

    def told(self, block: MarketBlock) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Receipts, and logs."""
        if block.hash not in self._told:
            logs: list[dict[str, Any]] = []
            receipts = []
            for item in block.transactions:
                events = [event for event in block.events if event.transaction == item.hash]
                own = list(_logs_of(block, events))
                logs += own
                receipts.append(_receipt_of(block, item, own))
            self._told[block.hash] = receipts, logs
            self._receipts |= {receipt["transactionHash"]: receipt for receipt in receipts}
        return self._told[block.hash]


def _receipt_of(block: MarketBlock, item: Transaction, logs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "transactionHash": to_hex(item.hash),
        "blockHash": to_hex(block.hash),
        "blockNumber": hex(block.number),
        "status": hex(item.succeeded),
        "gasUsed": hex(item.gas_used),
        "effectiveGasPrice": hex(item.gas_price),
        "logs": logs,
    }


def _logs_of(block: MarketBlock, events: Sequence[ChainEvent]) -> Iterable[dict[str, Any]]:
    """The contracts' own, then what they moved of the asset."""
    for event in events:
        topics, data = log_of(event)
        owner = {"Duels": DUELS, "Audits": AUDITS}.get(event.CONTRACT, MARKET)
        yield _log(block, event, owner, topics, data, event.log_index)
    moved = (transfer for event in events for transfer in _moved(event))
    for number, (source, target, atoms) in enumerate(moved, start=1):
        topics = [_TRANSFER, source.rjust(32, b"\0"), target.rjust(32, b"\0")]
        last = events[-1]
        data = atoms.to_bytes(32, "big")
        yield _log(block, last, DEPLOYMENT.asset, topics, data, last.log_index + number)


def _moved(event: ChainEvent) -> Iterable[tuple[bytes, bytes, int]]:
    """From whom, to whom, and atoms."""
    match event:
        case Deposited() | Staked():
            yield _ELSEWHERE, MARKET, event.amount
        case Withdrawn() if event.provider == AUDITS:
            yield MARKET, AUDITS, event.amount
        case Exited() | Unstaked() | Withdrawn():
            yield MARKET, _ELSEWHERE, event.amount
        case Slashed() if event.burnt:
            yield MARKET, _ELSEWHERE, event.burnt
        case Awarded() if event.to_arbiter:
            yield MARKET, DUELS, event.to_arbiter
        case Opened():
            yield _ELSEWHERE, DUELS, event.fee
        case FeesWithdrawn():
            yield DUELS, _ELSEWHERE, event.amount
        case Ended() | Lapsed() if event.burnt:
            yield DUELS, _ELSEWHERE, event.burnt
        case Answered():
            yield _ELSEWHERE, AUDITS, event.fee
        case CreditsWithdrawn():
            yield AUDITS, _ELSEWHERE, event.amount
        case Concluded() if event.burnt:
            yield AUDITS, _ELSEWHERE, event.burnt
        case _:
            pass


def log_of(event: ChainEvent) -> tuple[list[bytes], bytes]:
    """Topics and data of an event of the market's, its duels' or its audits'."""
    topic, entry = _EVENTS[name_of(type(event))]
    values = {name: _value(event, value) for name, value in named_values(event).items()}
    indexed = [parameter for parameter in entry.inputs if parameter["indexed"]]
    plain = [parameter for parameter in entry.inputs if not parameter["indexed"]]
    words = [encode([type_of(parameter)], [values[parameter["name"]]]) for parameter in indexed]
    data = encode(list(map(type_of, plain)), [values[parameter["name"]] for parameter in plain])
    return [topic, *words], data


def _value(event: ChainEvent, value: Any) -> Any:
    if isinstance(event, OfferPosted) and value is event.offer:
        return event.offer.values()
    if isinstance(value, Ruling | Finding):
        return value.values()
    if isinstance(value, list) and isinstance(event, AuditsEvent):
        return [_value(event, item) for item in value]
    return int(value) if isinstance(value, int) else value


def _log(
    block: MarketBlock, event: ChainEvent, address: bytes, topics: Sequence[bytes], data: bytes, index: int
) -> dict[str, Any]:
    return {
        "address": to_hex(address),
        "topics": [to_hex(topic) for topic in topics],
        "data": to_hex(data),
        "blockNumber": hex(block.number),
        "blockHash": to_hex(block.hash),
        "logIndex": hex(index),
        "transactionHash": to_hex(event.transaction),
    }


def _fits(log: dict[str, Any], wanted: dict[str, Any]) -> bool:
    pairs = zip(wanted["topics"], log["topics"], strict=False)
    return log["address"] == wanted["address"] and all(some is None or topic in some for some, topic in pairs)


def _revert(error: str) -> bytes:
    """What a contract returns for an error that `reason` wrote."""
    found = re.match(r"(\w+)\((.*?)\):", error)
    assert found is not None, error
    errors = contracts.market().interface.errors.items()
    selector, entry = next(item for item in errors if item[1].name == found[1])
    values = [int(part.partition("=")[2]) for part in found[2].split(", ") if part]
    return selector + encode(entry.types, values)


def serve(node: MadeNode) -> None:
    """Over HTTP, on a free port of loopback, until it is ended; tells its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # Else a body waits 40 ms for its headers' acknowledgement.

        def do_POST(self) -> None:
            asked = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            calls = asked if isinstance(asked, list) else [asked]
            outcomes = node.outcomes([(call["method"], call["params"]) for call in calls])
            answers = [_answer(call, outcome) for call, outcome in zip(calls, outcomes, strict=True)]
            body = orjson.dumps(answers if isinstance(asked, list) else answers[0])
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    for block in node.blocks:
        node.told(block)  # Beforehand: whoever asks is measured, and not this.
    gc.freeze()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201
    server.serve_forever()


def _answer(call: dict[str, Any], outcome: Any) -> dict[str, Any]:
    answer = {"jsonrpc": "2.0", "id": call["id"]}
    if isinstance(outcome, RpcError):
        return answer | {
            "error": {"code": outcome.number, "message": str(outcome), "data": to_hex(outcome.data)}
        }
    return answer | {"result": outcome}


if __name__ == "__main__":
    serve(MadeNode(made_blocks(int(sys.argv[1]))))
