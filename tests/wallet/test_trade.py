"""A sale from end to end by commands: join, serve, pay, receipts, close, settle. The gateway is real."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tallystick.chain.local import LocalChain, deploy
from tallystick.chain.rpc import Rpc
from tallystick_node.local.engines import EngineKind, start_engine, wait_for_engine
from tallystick_node.local.process import Process, answers, free_ports

from .conftest import PASSWORD, Tally

pytestmark = pytest.mark.e2e
DOLLAR = 1_000_000


@dataclass(frozen=True, slots=True)
class Shop:
    """A provider that serves, and the wallets on both sides of its counter."""

    tally: Tally
    joined: dict[str, object]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with ExitStack() as stack:
        chain = stack.enter_context(LocalChain())
        deploy(chain.rpc, chain.keys[0]).save(folder / "home" / "deployment.json")
        tally = Tally(folder / "home", chain.url)
        engine_port, port = free_ports(2)
        engine = stack.enter_context(start_engine(EngineKind.ECHO, port=engine_port, log=folder / "engine"))
        wait_for_engine(EngineKind.ECHO, engine, port=engine_port)
        for name in ("alice", "bob"):
            tally.add_wallet(name)
            tally.json("faucet", "500test", "--wallet", name)
        tally.json("deposit", "100test", "--yes", "--wallet", "alice")
        joined = join(tally, folder, engine_port, port)
        tally.json("faucet", "0", "--to", "bob-receipts")
        node = Process(
            "gateway",
            [sys.executable, "-m", "tallystick_node.cli", "serve", folder / "node.toml"],
            log=folder / "gateway",
            env={"TALLYSTICK_PASSWORD": PASSWORD},
        )
        stack.enter_context(node)
        node.wait_ready(answers(f"https://127.0.0.1:{port}/healthz"), timeout_s=60)
        yield Shop(tally, joined)


def join(tally: Tally, folder: Path, engine_port: int, port: int) -> dict[str, object]:
    command = [sys.executable, "-m", "tallystick_node.cli", "tls-key", str(folder / "tls.pem")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    offer = {
        "model": "echo",
        "endpoint": f"https://127.0.0.1:{port}",
        "tls_key_file": "tls.pem",
        "engine": f"http://127.0.0.1:{engine_port}",
        "input_price": "2 TEST",
        "output_price": "6 TEST",
        "context_length": 4096,
        "credit": "0.05 TEST",
    }
    (folder / "offer.toml").write_text("".join(f"{key} = {json.dumps(offer[key])}\n" for key in offer))
    joined: dict[str, object] = tally.json(
        *("join", folder / "offer.toml", "--write-config", folder / "node.toml"),
        *("--yes", "--wallet", "bob"),
    )
    assert joined["offer"]["endpointKey"] == printed  # type: ignore[index]
    return joined


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
    verified = tally.json("receipt", "verify", saved)
    assert verified["ok"]
    assert len(verified["receipts"]) == 2
    spent = sum(int(entry["receipt"]["cost"]) for entry in listed)

    assert (
        "the key that its offer names"
        in tally(
            *("doctor", "--endpoint", shop.joined["offer"]["endpoint"], "--wallet", "alice")  # type: ignore[index]
        ).out
    )
    closed = close(tally, str(listed[0]["provider"]))
    assert int(closed["settled"]) == spent
    balance = tally.json("balance", "--wallet", "alice")
    assert balance["account"]["free"] == str(100 * DOLLAR - spent)

    paid = tally.json("settle", "--yes", "--wallet", "bob")
    assert paid["withdrawn"] == str(spent)
    audits(tally, tmp_path, spent)


def audits(tally: Tally, folder: Path, spent: int) -> None:
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
    publishes(tally, folder, channel)
    again = tally("receipts", "--from-provider", "--channel", channel, "--wallet", "bob")
    assert "somebody else's" not in again.out
    assert again.status == 1


def publishes(tally: Tally, folder: Path, channel: str) -> None:
    """To an explorer, which takes each receipt once and knows from them what the atoms bought."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tallystick_node.cli", "explorer", "--port", str(port)]
    command += ["--rpc", tally.rpc, "--deployment", str(tally.home / "deployment.json")]
    command += ["--database", f"sqlite+aiosqlite:///{folder / 'explorer.db'}"]
    with closing(Rpc(tally.rpc)) as rpc:
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


def close(tally: Tally, provider: str) -> dict[str, str]:
    """Signed by both; the grant that opens the channel may still be on its way to the chain."""
    import time

    deadline = time.monotonic() + 30
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
