"""The shell stories of docs/provider.md and docs/payer.md, typed word by word: one sells, the other buys.

Only ports differ: the ones in the text may be taken. Transactions are confirmed as a person would, with y.
"""

import os
import pty
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tallystick.chain.local import LocalChain, deploy
from tallystick_node.local.engines import MODEL, REPOSITORY, EngineKind, start_engine, wait_for_engine
from tallystick_node.local.process import Process, answers, free_ports

pytestmark = pytest.mark.e2e

BIN = REPOSITORY / ".venv" / "bin"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a folder, a home and a chain, who types what a page says."""

    folder: Path
    rpc: str

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "TALLYSTICK_HOME": str(self.folder / "home"),
            "TALLYSTICK_RPC": self.rpc,
            "TALLYSTICK_PASSWORD": "correct horse",
        }

    def types(self, line: str) -> str:
        keyboard, terminal = pty.openpty()
        os.write(keyboard, b"y\n" * 9)
        try:
            done = subprocess.run(
                shlex.split(line),
                cwd=self.folder,
                env=self.environment,
                stdin=terminal,
                capture_output=True,
                text=True,
                timeout=240,
            )
        finally:
            os.close(keyboard)
            os.close(terminal)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def block(page: str, language: str, containing: str) -> str:
    """The page's first block of that language that has a line with `containing`."""
    text = (REPOSITORY / "docs" / page).read_text()
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return next(found for found in blocks if containing in found)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChain]:
    with LocalChain() as chain:
        yield chain


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, chain: LocalChain) -> Path:
    folder = tmp_path_factory.mktemp("stories")
    deployment = deploy(chain.rpc, chain.keys[0])
    for name in ("carol", "alice"):
        deployment.save(folder / name / "home" / "deployment.json")
    return folder


@pytest.fixture(scope="module")
def provider(folder: Path, chain: LocalChain) -> Iterator[dict[str, str]]:
    """What each line of docs/provider.md said; its last one, which serves, is still at it."""
    carol, said = Person(folder / "carol", chain.url), {}
    engine_port, port = free_ports(2)
    offer = block("provider.md", "toml", "tls_key_file").replace("8000", str(engine_port))
    (carol.folder / "offer.toml").write_text(offer.replace("8443", str(port)))
    *lines, serve = block("provider.md", "sh", "tally join").splitlines()
    with ExitStack() as stack:
        engine = start_engine(EngineKind.EMBEDDED, port=engine_port, log=folder / "engine.log")
        wait_for_engine(EngineKind.EMBEDDED, stack.enter_context(engine), port=engine_port)
        for line in lines:
            said[line] = carol.types(line)
        program, *arguments = shlex.split(serve)
        node = Process(
            "node",
            [
                BIN / program,
                *(str(carol.folder / item) if item.endswith(".toml") else item for item in arguments),
            ],
            log=folder / "node.log",
            env=carol.environment,
        )
        stack.enter_context(node).wait_ready(answers(f"https://127.0.0.1:{port}/healthz"), timeout_s=60)
        yield said


def test_the_provider_s_story(provider: Mapping[str, str]) -> None:
    assert "Your node posts this" in provider["tally join offer.toml --write-config node.toml"]
    assert "are in order" in provider["tally-node check node.toml"]


def test_the_payer_s_story(provider: Mapping[str, str], folder: Path, chain: LocalChain) -> None:
    alice = Person(folder / "alice", chain.url)
    said = {line: alice.types(line) for line in block("payer.md", "sh", "tally pay").splitlines()}

    paid = next(text for line, text in said.items() if line.startswith("tally pay"))
    answer, told = paid.strip().rsplit("\n", 1)
    assert answer.strip(), "what it says is drawn by chance: the command sets no temperature"
    assert "tokens in and" in told
    assert "atoms" in told
    assert "tiny-good" in said["tally offers"]
    assert "No receipt" not in said["tally receipts"]

    recounted = alice.types(f"tally pay tiny-good 'What is 2 plus 3?' --tokenizer {MODEL} --max-tokens 32")
    assert "receipt" in recounted.splitlines()[-1]
    assert "Not paid" not in recounted


def test_the_proxy_s_story(
    provider: Mapping[str, str], folder: Path, chain: LocalChain, tmp_path: Path
) -> None:
    """After the payer's: it takes a deposit."""
    alice = Person(folder / "alice", chain.url)
    (port,) = free_ports(1)
    (serves,) = block("payer.md", "sh", "tally proxy").splitlines()
    (asks,) = block("payer.md", "sh", "curl").splitlines()
    program, *arguments = shlex.split(serves)
    command = [BIN / program, *arguments, "--port", str(port)]
    log = tmp_path / "proxy.log"
    with Process("proxy", command, log=log, env=alice.environment) as proxy:
        proxy.wait_ready(answers(f"http://127.0.0.1:{port}/v1/models"), timeout_s=60)
        assert '"content":' in alice.types(
            asks.replace("8484", str(port)).replace("curl", "curl -s --noproxy '*'")
        )
        os.kill(proxy.pid, signal.SIGINT)
        assert proxy.wait(60) == 0
    assert "Their answers cost " in log.read_text()
