"""A provider that serves, put together by commands: a chain, an engine, a wallet that joins, and its node."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tallystick.chain.local import LocalChain, deploy
from tallystick.chain.market import Market
from tallystick_node.local.engines import EngineKind, start_engine, wait_for_engine
from tallystick_node.local.process import Process, answers, free_ports

from .conftest import PASSWORD, Tally


@dataclass(frozen=True, slots=True)
class Shop:
    tally: Tally
    market: Market
    endpoint: str


@contextmanager
def open_shop(folder: Path, *program: str | Path, payer: str) -> Iterator[Shop]:
    """Bob's, run by `program CONFIG`. The payer has a deposit from before he joined; a stranger has opened
    a channel of dust to him before his node first starts."""
    with ExitStack() as stack:
        chain = stack.enter_context(LocalChain())
        market = Market(chain.rpc, deploy(chain.rpc, chain.keys[0]))
        market.deployment.save(folder / "home" / "deployment.json")
        tally = Tally(folder / "home", chain.url)
        engine_port, port = free_ports(2)
        endpoint = f"https://127.0.0.1:{port}"
        engine = stack.enter_context(start_engine(EngineKind.ECHO, port=engine_port, log=folder / "engine"))
        wait_for_engine(EngineKind.ECHO, engine, port=engine_port)
        for name in ("bob", payer, "stranger"):
            tally.add_wallet(name)
            tally.json("faucet", "1000test", "--wallet", name)
        for name in (payer, "stranger"):
            tally.json("deposit", "100test", "--yes", "--wallet", name)
        _join(tally, folder, endpoint, engine_port)
        dust = ("--session-key", "0x" + "12" * 20, "--yes", "--wallet", "stranger")
        tally.json("open", "bob", "1", *dust)
        node = Process(
            "gateway",
            [sys.executable, *program, folder / "node.toml"],
            log=folder / "gateway",
            env={"TALLYSTICK_PASSWORD": PASSWORD},
        )
        stack.enter_context(node)
        node.wait_ready(answers(f"{endpoint}/healthz"), timeout_s=60)
        yield Shop(tally, market, endpoint)


def _join(tally: Tally, folder: Path, endpoint: str, engine_port: int) -> None:
    command = [sys.executable, "-m", "tallystick_node.cli", "tls-key", str(folder / "tls.pem")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    offer = {
        "model": "echo",
        "endpoint": endpoint,
        "tls_key_file": "tls.pem",
        "engine": f"http://127.0.0.1:{engine_port}",
        "input_price": "2 TEST",
        "output_price": "6 TEST",
        "context_length": 4096,
        "credit": "0.05 TEST",
    }
    (folder / "offer.toml").write_text("".join(f"{key} = {json.dumps(offer[key])}\n" for key in offer))
    options = ("--write-config", folder / "node.toml", "--yes", "--wallet", "bob")
    assert printed in tally("join", folder / "offer.toml", *options).out
    assert tally.json("offers") == [], "it is the node's to post it"
    tally.json("faucet", "0", "--to", "bob-receipts")
