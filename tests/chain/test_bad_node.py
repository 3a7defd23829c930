"""A node that answers nonsense, over real HTTP in front of a real chain: every question ends in time, as an
answer or an error of the chain's; nothing wrong is believed, and once the node is well all is as before."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest

from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainError, ChainUnavailable, TransactionUnknown
from tallystick.chain.events import Deposited
from tallystick.chain.follower import Follower
from tallystick.chain.local import LocalChain
from tallystick.chain.market import Market
from tallystick.chain.rpc import Rpc
from tallystick.chain.sender import Sender
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Atoms
from tests.chain.fake_node import Transcript

Spoil = Callable[[Any], Any]
SILENCE_S = 0.3
"""That the impatient bear."""
PATIENCE_S = 5.0
"""Of everybody else: the machine may be busy."""
DEPOSIT = 100


def _field(name: str, value: object) -> Spoil:
    """Of every object in the answer; None: it is missing."""

    def spoil(result: Any) -> Any:
        match result:
            case dict() if name in result:
                return {key: item for key, item in result.items() if key != name} | (
                    {} if value is None else {name: value}
                )
            case list():
                return [spoil(item) for item in result]
        return result

    return spoil


HUGE = "0x" + "f" * 70
WRONG: tuple[object, ...] = (None, HUGE, {"a": 1}, "0x", 5, [])
FIELDS = (
    *("number", "hash", "parentHash", "timestamp", "baseFeePerGas"),
    *("topics", "data", "blockNumber", "blockHash", "logIndex", "transactionHash"),
    *("status", "gasUsed", "effectiveGasPrice", "logs", "contractAddress"),
)
RESULTS: dict[str, Spoil] = {
    "nothing": lambda _: None,
    "a number": lambda _: 7,
    "a word": lambda _: "word",
    "hex that is none": lambda _: "0xzz",
    "an underscore": lambda _: "0x1_0",
    "a negative number": lambda _: "0x-1",
    "a huge number": lambda _: HUGE,
    "an empty list": lambda result: result if isinstance(result, list) else [],
    "a list": lambda _: [None, 3, {}, "0x1"],
    "an object": lambda _: {},
    "true": lambda _: True,
    "deep": lambda _: json.loads("[" * 100 + "]" * 100),
    **{
        f"{name} is {value if value is None else str(value)[:8]}": _field(name, value)
        for at, name in enumerate(FIELDS)
        for value in (WRONG[at % len(WRONG)], WRONG[(at + 1) % len(WRONG)])
    },
}
DEEPEST = 1000
"""As deep as Python's own recursion goes, and not so deep that it is no JSON."""


def _deep(spoil: Spoil) -> Callable[[bytes], tuple[int, bytes]]:
    """Where `spoil` left a mark, lists in lists."""

    def deepen(body: bytes) -> tuple[int, bytes]:
        text = json.dumps(spoil(json.loads(body)))
        return 200, text.replace('"#"', "[" * DEEPEST + "]" * DEEPEST).encode()

    return deepen


def _in_results(spoil: Spoil) -> Spoil:
    def spoilt(answers: Any) -> Any:
        if isinstance(answers, list):
            return [spoilt(answer) for answer in answers]
        return answers | {"result": spoil(answers.get("result"))}

    return spoilt


BODIES: dict[str, Callable[[bytes], tuple[int, bytes]]] = {
    "truncated": lambda body: (200, body[: len(body) // 2]),
    "empty": lambda _: (200, b""),
    "html": lambda _: (200, b"<html>"),
    "an error page": lambda body: (500, body),
    "too many": lambda body: (429, body),
    "not utf-8": lambda _: (200, b'"\xff\xfe"'),
    "nesting": lambda _: (200, b"[" * 100_000),
    "deep results": _deep(_in_results(lambda _: "#")),
    "deep errors": _deep(lambda it: it | {"error": {"message": "#"}} if isinstance(it, dict) else "#"),
    "an error that is a list": lambda _: (200, b'{"error": [1], "id": 1}'),
    "an error with odd data": lambda _: (200, b'{"error": {"code": "x", "data": "0xzz", "message": [2]}}'),
    "another's answer": lambda _: (200, b'{"jsonrpc": "2.0", "id": -1, "result": "0x1"}'),
    "a part of a batch": lambda body: (200, json.dumps([json.loads(body)][:1]).encode()),
}


@dataclass
class BadNode:
    """Between a program and the chain."""

    chain: LocalChain
    result: Spoil = lambda result: result
    methods: frozenset[str] | None = None
    """Whose results are spoilt; None: all."""
    body: Callable[[bytes], tuple[int, bytes]] = lambda body: (200, body)
    hangs: str = ""
    http: httpx2.Client = field(default_factory=lambda: httpx2.Client(trust_env=False, timeout=20))

    def answer(self, request: bytes) -> tuple[int, bytes]:
        asked, answers = json.loads(request), self._true(request)
        if isinstance(asked, list):
            methods = {item["id"]: item["method"] for item in asked}
            answers = [self._spoilt(methods[item["id"]], item) for item in answers]
        else:
            answers = self._spoilt(asked["method"], answers)
        return self.body(json.dumps(answers).encode())

    def _true(self, request: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        return self.http.post(self.chain.url, content=request, headers=headers).json()

    def _spoilt(self, method: str, answer: dict[str, Any]) -> dict[str, Any]:
        if "result" in answer and (self.methods is None or method in self.methods):
            return answer | {"result": self.result(answer["result"])}
        return answer

    def heal(self) -> None:
        self.result, self.body, self.hangs, self.methods = lambda it: it, lambda it: (200, it), "", None


@pytest.fixture(scope="module")
def bad(local_chain: LocalChain) -> Iterator[tuple[BadNode, str]]:
    node = BadNode(local_chain)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # Else a body waits 40 ms for its headers' acknowledgement.

        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            if node.hangs == "silent":
                time.sleep(3 * SILENCE_S)
                self.close_connection = True
                return
            if node.hangs == "cut":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            status, content = node.answer(request)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if node.hangs == "dripping":
                for byte in content:
                    if node.hangs != "dripping":
                        break
                    try:
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                    except OSError:
                        break
                    time.sleep(SILENCE_S / 3)
                self.close_connection = True
                return
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield node, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    node.http.close()


@dataclass
class Program:
    """Everything that asks a node."""

    rpc: Rpc
    market: Market
    sender: Sender
    transcript: Transcript = field(init=False)

    def start_over(self) -> None:
        self.transcript = Transcript(Follower(self.rpc, self.market.deployment, events=(Deposited,)))

    def ask_all(self) -> list[str]:
        """What became of each question."""
        key = self.sender.address
        questions: list[Callable[[], object]] = [
            self.transcript.poll,
            self.market.check,
            self.market.head,
            self.market.offers,
            lambda: self.market.account(key),
            lambda: self.market.channel(key, key, key),
            lambda: self.market.stake(key),
            lambda: self.market.gas_balance(key),
            self.sender.gas_price,
            self.sender.look_up,
            lambda: self.sender.look_up(recheck=True),
            lambda: self.market.mint(Atoms(1)),
        ]
        return [_outcome(question) for question in questions]


def _outcome(question: Callable[[], object]) -> str:
    """Anything but an error of the chain's fails the test, as does one that takes too long."""
    begun = time.monotonic()
    try:
        question()
        return "answered"
    except ChainError as error:
        return error.code
    finally:
        assert time.monotonic() - begun < 20 * PATIENCE_S


@pytest.fixture
def program(
    bad: tuple[BadNode, str],
    deployment: Deployment,
    local_chain: LocalChain,
    funded_payer: Callable[[int], object],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Program]:
    monkeypatch.setattr("tallystick.chain.sender._PUSH_S", 0.05)
    node, url = bad
    key = Key.generate()
    local_chain.rpc.call("anvil_setBalance", "0x" + key.address.hex(), hex(10**20))
    rpc = Rpc(url, timeout_s=PATIENCE_S)
    sender = Sender(rpc, deployment.chain_id, key, timeout_s=0.05)
    program = Program(rpc, Market(rpc, deployment, sender), sender)
    program.start_over()
    node.heal()
    funded_payer(DEPOSIT)
    yield program
    node.heal()
    rpc.close()


def well_again(program: Program, node: BadNode) -> None:
    """Nothing is lost, nothing wrong was believed, and what is sent is mined once."""
    node.heal()
    deadline = time.monotonic() + 60
    while program.sender.look_up().in_flight:
        assert time.monotonic() < deadline, "in vain"
    program.transcript.poll()
    assert program.transcript.amounts == [DEPOSIT]
    held = program.market.asset_balance(program.sender.address)
    try:
        program.market.mint(Atoms(5))
    except TransactionUnknown:  # The machine is slow today.
        while program.sender.look_up().in_flight:
            assert time.monotonic() < deadline, "in vain"
    assert program.market.asset_balance(program.sender.address) == held + 5


@pytest.mark.parametrize("known", [False, True], ids=["at first", "later"])
def test_results_that_are_none(bad: tuple[BadNode, str], program: Program, known: bool) -> None:
    node, _ = bad
    for name, spoil in RESULTS.items():
        print(name)
        program.start_over()
        if known:
            program.transcript.poll()
        node.result = spoil
        if known:
            program.ask_all()
        _outcome(program.transcript.poll)
        node.heal()
        program.transcript.poll()
        assert program.transcript.amounts == [DEPOSIT]
    well_again(program, node)


@pytest.fixture
def shallow() -> Iterator[None]:
    """As deep as in any program: test tools allow themselves more."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("name", FIELDS)
def test_fields_that_are_deep(bad: tuple[BadNode, str], program: Program, name: str) -> None:
    node, _ = bad
    node.body = _deep(_in_results(_field(name, "#")))
    program.ask_all()


@pytest.mark.usefixtures("shallow")
def test_answers_that_are_none(bad: tuple[BadNode, str], program: Program) -> None:
    node, _ = bad
    for name, body in BODIES.items():
        print(name)
        program.start_over()
        node.body = body
        assert "answered" not in program.ask_all()[:9], name
        well_again(program, node)


@pytest.mark.parametrize("how", ["silent", "cut", "dripping"])
def test_a_node_that_hangs(bad: tuple[BadNode, str], program: Program, how: str) -> None:
    node, url = bad
    node.hangs = how
    impatient = Rpc(url, timeout_s=SILENCE_S)
    market = Market(impatient, program.market.deployment, program.sender)
    transcript = Transcript(Follower(impatient, market.deployment, events=(Deposited,)))
    with pytest.raises(ChainUnavailable):
        transcript.poll()
    assert _outcome(market.head) == "chain-unavailable"
    well_again(program, node)
    deadline = time.monotonic() + 60
    while _outcome(transcript.poll) != "answered":
        assert time.monotonic() < deadline, "in vain"
    assert transcript.amounts == [DEPOSIT]
    impatient.close()


def test_another_chain_all_of_a_sudden(bad: tuple[BadNode, str], program: Program) -> None:
    node, _ = bad
    program.transcript.poll()
    node.methods, node.result = frozenset({"eth_chainId"}), lambda _: "0x5"
    assert _outcome(program.transcript.poll) == "wrong-chain"
    well_again(program, node)


def test_a_transaction_whose_every_answer_is_spoilt_is_unknown(
    bad: tuple[BadNode, str], program: Program
) -> None:
    """It was mined, and nothing that the node said about it can be read."""
    node, _ = bad
    node.methods, node.result = frozenset({"eth_getTransactionReceipt"}), lambda _: {"status": "0x1"}
    with pytest.raises(TransactionUnknown):
        program.market.mint(Atoms(3))
    node.heal()
    assert program.sender.look_up().found > 0
    assert program.market.asset_balance(program.sender.address) == 3


def test_absurd_fees_are_not_paid(bad: tuple[BadNode, str], program: Program) -> None:
    node, _ = bad
    node.methods, node.result = frozenset({"eth_maxPriorityFeePerGas"}), lambda _: hex(10**15)
    with pytest.raises(ChainUnavailable, match="absurd"):
        program.market.mint(Atoms(3))
