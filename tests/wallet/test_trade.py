"""A sale from end to end by commands: join, serve, pay, receipts, close, settle. The gateway is real."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx2
import pytest

from tallystick.chain.history import opened_by
from tallystick.chain.rpc import Rpc
from tallystick.protocol.units import address
from tallystick_node.local.process import Process, answers, free_ports

from .conftest import Tally
from .shop import Shop, open_shop

pytestmark = pytest.mark.e2e
DOLLAR = 1_000_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(
        tmp_path_factory.mktemp("shop"), "-m", "tallystick_node.cli", "serve", payer="alice"
    ) as shop:
        yield shop


def test_a_sale_from_the_first_token_to_the_last_atom(shop: Shop, tmp_path: Path) -> None:
    tally = shop.tally
    told = tally("pay", "echo", "one two three four five", "--wallet", "alice")
    assert told.status == 0, told
    assert "three" in told.out
    assert "TEST" in told.out.splitlines()[-1]
    bought = tally.json("pay", "echo", "once more", "--max-tokens", 5, "--wallet", "alice")
    assert (bought["refusal"], len(bought["receipts"])) == (None, 1)

    saved = tmp_path / "receipts.json"
    listed = tally.json("receipts", "--save", saved, "--wallet", "alice")
    assert [entry["model"] for entry in listed] == ["echo", "echo"]
    assert listed[-1]["receipt"]["cost"] == bought["cost"]
    assert "echo" in tally("receipts", "--wallet", "alice").out
    assert tally.json("receipts", "--refused", "--wallet", "alice") == []
    assert tally.json("duels", "--wallet", "alice") == {"spent": "0", "duels": []}
    nothing = {"spent": "0", "findings": [], "avoided": []}
    assert tally.json("findings", "--wallet", "alice") == nothing
    assert tally("duels", "--wallet", "alice").out.strip() == "No duels."
    verified = tally.json("receipt", "verify", saved)
    assert verified["ok"]
    assert len(verified["receipts"]) == 2
    spent = sum(int(entry["receipt"]["cost"]) for entry in listed)

    told = tally("doctor", "--endpoint", shop.endpoint, "--wallet", "alice")
    assert "the key that its offer names" in told.out
    closed = close(tally, str(listed[0]["provider"]))
    assert int(closed["settled"]) == spent
    balance = tally.json("balance", "--wallet", "alice")
    assert balance["account"]["free"] == str(100 * DOLLAR - spent)

    opened = opened_by(shop.market, address(tally.json("balance", "--wallet", "alice")["address"]))
    assert [key.epoch for key in opened] == [0, 1], "no dust makes a channel that is new look like a lost one"

    paid = tally.json("settle", "--yes", "--wallet", "bob")
    assert paid["withdrawn"] == str(spent)
    audits(tally, shop.market.rpc, tmp_path, spent)


def audits(tally: Tally, rpc: Rpc, folder: Path, spent: int) -> None:
    """What both sides hold adds up, to each and to anybody, and every step of it can be seen."""
    own, theirs, page = folder / "own.json", folder / "theirs.json", folder / "page.txt"
    tally.json("receipts", "--save", own, "--wallet", "alice")
    shown = tally("receipt", "verify", own, "--json").data
    assert [item["verdict"] for item in shown["receipts"]] == ["paid", "paid"]
    one = folder / "one.json"
    one.write_text(json.dumps(json.loads(own.read_text())[0]))
    steps = tally("receipt", "verify", one).out
    assert [steps.count(f"ok  {name}") for name in ("signature", "price", "inclusion", "settlement")] == [
        1
    ] * 4

    (channel,) = {item["receipt"]["channelId"] for item in json.loads(own.read_text())}
    mine = tally.json("receipts", "--channel", channel[:12], "--save", theirs, "--wallet", "alice")
    held = tally.json(
        *("receipts", "--from-provider", "--channel", channel[:12], "--save", theirs, "--wallet", "alice")
    )
    assert held["receipts"] == mine["receipts"]
    assert {str(item) for item in mine["acknowledgements"]} <= {
        str(item) for item in held["acknowledgements"]
    }
    for file in (own, theirs):
        audit = tally.json("audit", "channel", file, "--report", page)
        assert (audit["addsUp"], audit["explained"], audit["unexplained"]) == (True, str(spent), "0")
    assert "It adds up." in page.read_text()
    assert tally.json("audit", "provider", "bob", own)["settled"] == str(spent)

    fewer = json.loads(theirs.read_text())
    fewer["receipts"].pop(0)
    theirs.write_text(json.dumps(fewer))
    told = tally("audit", "channel", theirs, "--json")
    assert (told.status, told.data["addsUp"]) == (1, None)
    assert told.data["channels"][0]["faults"][0]["kind"] == "gap"
    publishes(tally, rpc, folder, channel)
    again = tally("receipts", "--from-provider", "--channel", channel, "--wallet", "bob")
    assert "somebody else's" not in again.out
    assert again.status == 1


def publishes(tally: Tally, rpc: Rpc, folder: Path, channel: str) -> None:
    """To an explorer, which takes each receipt once and knows from them what the atoms bought."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tallystick_node.cli", "explorer", "--port", str(port)]
    command += ["--rpc", tally.rpc, "--deployment", str(tally.home / "deployment.json")]
    command += ["--database", f"sqlite+aiosqlite:///{folder / 'explorer.db'}"]
    head = rpc.call("eth_blockNumber")
    with Process("explorer", command, log=folder / "explorer") as explorer:
        read = answers(f"{url}/api/audit/market?block={int(head, 16)}")
        explorer.wait_ready(read, timeout_s=60)
        ours = ("receipts", "--publish", url, "--wallet", "alice")
        assert tally.json(*ours)["published"] == {"kept": 2, "known": 0, "refused": 0}
        theirs = (*ours, "--from-provider", "--channel", channel)
        assert tally.json(*theirs)["published"] == {"kept": 0, "known": 2, "refused": 0}
        audit = httpx2.get(f"{url}/api/audit/channel/{channel}", trust_env=False).json()
        assert (audit["addsUp"], audit["unexplained"]) == (True, "0")
        told = tally("receipts", "--publish", url, "--wallet", "alice").out
        assert "0 published, 2 known there before, 0 refused." in told
    told = tally("receipts", "--publish", url, "--wallet", "alice")
    assert (told.status, "does not answer" in told.err) == (1, True)
    with a_full_one(port):
        told = tally("receipts", "--publish", url, "--wallet", "alice")
    assert (told.status, "status 507: The disk is full.[2J" in told.err) == (1, True)


@contextmanager
def a_full_one(port: int) -> Iterator[None]:
    """An explorer that has no room, and would clear the screen."""

    class Full(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(507)
            self.end_headers()
            self.wfile.write(json.dumps({"code": "no-room", "message": "The disk is full.\x1b[2J"}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", port), Full) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def close(tally: Tally, provider: str) -> dict[str, str]:
    """Signed by both; the grant that opens the channel may still be on its way to the chain."""
    import time

    deadline = time.monotonic() + 60
    while not tally.json("channels", "--wallet", "alice") and time.monotonic() < deadline:
        time.sleep(0.2)
    closed: dict[str, str] = tally.json("close", provider, "--yes", "--wallet", "alice")
    return closed


def test_a_budget_that_is_too_small_is_said_before_anything_is_sent(shop: Shop) -> None:
    told = shop.tally("pay", "echo", "word " * 500, "--max-tokens", 2000, "--most", "10", "--wallet", "alice")
    assert told.status == 1
    assert "budget" in told.err


def test_a_model_that_nobody_offers_is_said(shop: Shop) -> None:
    told = shop.tally("pay", "gpt-9", "hello", "--wallet", "alice")
    assert (told.status, "gpt-9" in told.err) == (1, True)


def test_a_receipt_that_was_touched_is_bad(shop: Shop, tmp_path: Path) -> None:
    tally = shop.tally
    tally.json("pay", "echo", "yet another", "--wallet", "alice")
    file = tmp_path / "receipts.json"
    (entry,) = tally.json("receipts", "--last", "1", "--save", file, "--wallet", "alice")
    entry["receipt"]["cost"] = str(int(entry["receipt"]["cost"]) - 1)
    file.write_text(json.dumps(entry))
    told = tally("receipt", "verify", file)
    assert told.status == 1
    assert "which is no receipt key of" in told.out


@pytest.mark.parametrize("content", ["", "{}", "[{}]", "3"])
def test_a_file_without_receipts_is_said(shop: Shop, tmp_path: Path, content: str) -> None:
    file = tmp_path / "receipts.json"
    file.write_text(content)
    assert shop.tally("receipt", "verify", file).status == 1
