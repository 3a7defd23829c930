"""`tally-node` as a process on a real local chain: it refuses to start, serves over TLS, drains, is
killed."""

import asyncio
import os
import random
import re
import signal
import sqlite3
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tallystick.chain.deployment import Deployment
from tallystick.chain.keys import Keystore
from tallystick.chain.local import LocalChain
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import sign
from tallystick.protocol.units import Address, Atoms
from tallystick.protocol.wire import signed_from_json
from tallystick_node.config import Config, ConfigInvalid
from tallystick_node.gateway.serve import serve
from tallystick_node.gateway.start import StartRefused
from tests.conftest import Party
from tests.gateway.payer import Payer
from tests.gateway.test_streaming import asking

CONFIG: dict[str, dict[str, Any]] = {
    "": {"rpc": "", "deployment": "deployment.json", "poll_s": 0.1},
    "keys": {"receipt": "keys/receipt.json", "password_file": "password"},
    "listen": {"port": 0},
    "engine": {"url": ""},
    "limits": {"drain_s": 2},
}
OFFER = {
    "model": "echo",
    "input_price": 10**6,
    "output_price": 10**7,
    "context_length": 8192,
    "credit": 100_000,
}


@dataclass
class Setting:
    """A folder with everything a node needs, and switches to spoil it."""

    folder: Path
    chain: LocalChain
    provider: Party
    engine: str
    config: dict[str, dict[str, Any]]
    offers: list[dict[str, Any]] = field(default_factory=lambda: [dict(OFFER)])

    def write(self) -> Path:
        lines = []
        for section, values in self.config.items():
            lines += [f"[{section}]"] if section else []
            lines += [f"{name} = {value!r}" for name, value in values.items()]
        for offer in self.offers:
            lines += ["[[offers]]"] + [f"{name} = {value!r}" for name, value in offer.items()]
        path = self.folder / "node.toml"
        path.write_text("\n".join(lines).replace("True", "true"))
        return path

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tallystick_node.cli", "serve", str(self.write())]
        environment = {name: value for name, value in os.environ.items() if name != "TALLYSTICK_PASSWORD"}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """The deterministic engine's URL."""
    command = [sys.executable, "-m", "tallystick_node.engine.echo", "--port", "0"]
    with subprocess.Popen(
        [*command, "--served-model-name", "echo", "--max-model-len", "8192"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.terminate()


@pytest.fixture
def setting(
    tmp_path: Path,
    local_chain: LocalChain,
    deployment: Deployment,
    staked_provider: Callable[..., Party],
    echo: str,
) -> Setting:
    provider = staked_provider()
    Keystore(tmp_path / "keys", scrypt_n=2).save("receipt", provider.key, "correct horse")
    (tmp_path / "password").write_text("correct horse\n")
    deployment.save(tmp_path / "deployment.json")
    config = {name: dict(values) for name, values in CONFIG.items()}
    config[""]["rpc"] = local_chain.url
    config["engine"]["url"] = echo
    return Setting(tmp_path, local_chain, provider, echo, config)


# ---------------------------------------------------------------------------------- refusing to start


def _another_chain(setting: Setting, _: Callable[..., Party]) -> None:
    deployment = Deployment.load(setting.folder / "deployment.json")
    Deployment(
        chain_id=5,
        market=deployment.market,
        asset=deployment.asset,
        lens=deployment.lens,
        block=deployment.block,
    ).save(setting.folder / "deployment.json")


def _no_contract(setting: Setting, _: Callable[..., Party]) -> None:
    deployment = Deployment.load(setting.folder / "deployment.json")
    Deployment(
        chain_id=deployment.chain_id,
        market=Address(b"\1" * 20),
        asset=deployment.asset,
        lens=deployment.lens,
        block=deployment.block,
    ).save(setting.folder / "deployment.json")


def _no_stake(setting: Setting, party: Callable[..., Party]) -> None:
    poor = party()
    Keystore(setting.folder / "keys", scrypt_n=2).save("poor", poor.key, "correct horse")
    setting.config["keys"]["receipt"] = "keys/poor.json"


def _another_key(setting: Setting, party: Callable[..., Party]) -> None:
    _no_stake(setting, party)
    setting.config["keys"]["provider"] = "0x" + setting.provider.address.hex()


def _wrong_password(setting: Setting, _: Callable[..., Party]) -> None:
    (setting.folder / "password").write_text("battery staple")


def _no_password(setting: Setting, _: Callable[..., Party]) -> None:
    del setting.config["keys"]["password_file"]


def _no_chain(setting: Setting, _: Callable[..., Party]) -> None:
    setting.config[""]["rpc"] = "http://127.0.0.1:9"


def _no_engine(setting: Setting, _: Callable[..., Party]) -> None:
    setting.config["engine"]["url"] = "http://127.0.0.1:9"


def _another_model(setting: Setting, _: Callable[..., Party]) -> None:
    setting.offers[0]["model"] = "llama"


def _longer_than_the_engine(setting: Setting, _: Callable[..., Party]) -> None:
    setting.offers[0]["context_length"] = 8193


def _longer_than_its_memory(setting: Setting, _: Callable[..., Party]) -> None:
    setting.config["engine.speed"] = {"fixed": 1, "capacity": 4095}
    setting.offers[0]["context_length"] = 4096


def _no_offer(setting: Setting, _: Callable[..., Party]) -> None:
    setting.offers.clear()


def _newer_database(setting: Setting, _: Callable[..., Party]) -> None:
    with sqlite3.connect(setting.folder / "node.db") as db:
        db.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        db.execute("INSERT INTO alembic_version VALUES ('9999')")
    db.close()


def _plain_http(setting: Setting, _: Callable[..., Party]) -> None:
    setting.config["listen"] |= {"host": "0.0.0.0", "plain_http": True}


def _misspelt(setting: Setting, _: Callable[..., Party]) -> None:
    setting.config["limits"]["runing"] = 5


def _no_tls_key(setting: Setting, _: Callable[..., Party]) -> None:
    (setting.folder / "tls.pem").write_text("nonsense")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_another_chain, "chain"),
        (_no_contract, "market"),
        (_no_stake, "has staked 0 atoms and 100000000 are required"),
        (_another_key, "receipt key"),
        (_wrong_password, "password"),
        (_no_password, "TALLYSTICK_PASSWORD"),
        (_no_chain, "does not answer"),
        (_no_engine, "engine at http://127.0.0.1:9"),
        (_another_model, "does not serve llama: it serves echo"),
        (_longer_than_the_engine, "holds 8192 tokens of context for echo, and the offer of echo names 8193"),
        (_longer_than_its_memory, "holds 4095 tokens"),
        (_no_offer, "posted no offer"),
        (_newer_database, "later version"),
        (_plain_http, "loopback"),
        (_misspelt, "runing"),
        (_no_tls_key, "TLS key"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_node_that_refuses_to_start(
    setting: Setting,
    party: Callable[..., Party],
    spoil: Callable[..., None],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoil(setting, party)
    monkeypatch.delenv("TALLYSTICK_PASSWORD", raising=False)
    with pytest.raises((StartRefused, ConfigInvalid)) as refusal:
        serve(Config.load(setting.write()))
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_refusal_is_one_sentence_and_status_1(setting: Setting, party: Callable[..., Party]) -> None:
    _no_stake(setting, party)
    process = setting.start()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert re.fullmatch(r"tally-node: [^\n]+ has staked 0 atoms [^\n]+\n", err)


# ------------------------------------------------------------------------------------------- serving


@dataclass
class Serving:
    process: "subprocess.Popen[str]"
    url: str

    @classmethod
    def of(cls, setting: Setting) -> "Serving":
        process = setting.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"https?://\S+", line)
        if found is None:
            process.kill()
            raise AssertionError(process.communicate()[1])
        return cls(process, found[0])

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


def connect(url: str) -> httpx2.AsyncClient:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return httpx2.AsyncClient(base_url=url, verify=context, timeout=60, trust_env=False)


def paying(setting: Setting, http: httpx2.AsyncClient, wallet: Party) -> tuple[Payer, Any]:
    """A payer of real money, and its grant."""
    posted = setting.provider.market.offers()
    offer = next(item.offer for item in posted if item.offer.provider == setting.provider.address)
    payer = Payer(http, setting.provider.market.deployment.domain, offer, setting.provider.address)
    payer.wallet = wallet.key
    payer.channel = ChannelKey(
        payer=wallet.address, provider=offer.provider, session_key=payer.session.address
    )
    return payer, payer.grant(10**7, deadline=int(time.time()) + 3600)


async def test_a_life(setting: Setting, funded_payer: Callable[..., Party]) -> None:
    """Serve over TLS under the key that the offer names, drain, settle, end."""
    wallet = funded_payer()
    serving = Serving.of(setting)
    async with connect(serving.url) as http:
        payer, grant = paying(setting, http, wallet)
        host, port = serving.url.removeprefix("https://").split(":")
        certificate = ssl.get_server_certificate((host, int(port)))
        assert _key_hash(certificate) == payer.offer.endpoint_key
        await payer.complete(grant=grant)
        async with payer.stream(asking(payer), grant=grant) as stream:
            await stream.finish()
        assert stream.done
        assert (await payer.acknowledge()).status_code == 200
    status, err = serving.stop()
    assert status == 0, err
    assert setting.provider.market.balance_of(setting.provider.address) == payer.tally.amount > 0
    key, receipts = setting.provider.key, payer.receipts.values()
    # Signing draws nothing: these are the signatures that were sent.
    signatures = [sign(receipt, payer.domain, key).signature for receipt in receipts]
    signatures += [grant.signature, payer.credential().voucher.signature]
    assert len(signatures) == 4
    for secret in ["correct horse", "Say something", key.secret.hex()]:
        assert secret not in err
    for signature in signatures:
        assert signature.hex() not in err


def _key_hash(certificate: str) -> bytes:
    from hashlib import sha256

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    return sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


async def test_sigterm_in_mid_stream(setting: Setting, funded_payer: Callable[..., Party]) -> None:
    setting.config["limits"]["drain_s"] = 1
    wallet = funded_payer()
    serving = Serving.of(setting)
    async with connect(serving.url) as http:
        payer, grant = paying(setting, http, wallet)
        body = asking(payer, 4000, messages=[{"role": "user", "content": "word " * 50}])
        async with payer.stream(body, grant=grant) as stream:
            await stream.next_event()
            serving.process.send_signal(signal.SIGTERM)
            await stream.finish()
        await payer.acknowledge()
    status, err = serving.stop()
    assert status == 0, err
    assert stream.receipts
    assert setting.provider.market.balance_of(setting.provider.address) == payer.tally.amount > 0


async def test_killed_at_random_moments(setting: Setting, funded_payer: Callable[..., Party]) -> None:
    """Nothing acknowledged is lost, nothing is charged twice, nothing undelivered is charged."""
    wallet = funded_payer()
    rng = random.Random(7)
    serving = Serving.of(setting)
    async with connect(serving.url) as http:
        payer, grant = paying(setting, http, wallet)
        await payer.complete(grant=grant)
        await payer.acknowledge()
    acknowledged = payer.tally
    for _ in range(5):
        async with connect(serving.url) as http:
            payer.http = http
            load = [asyncio.create_task(_load(payer, grant, which)) for which in range(8)]
            await asyncio.sleep(rng.uniform(0.02, 0.3))
            serving.kill()
            answered = max((tally for tally in await asyncio.gather(*load)), key=lambda tally: tally.count)
            acknowledged = max(acknowledged, answered, key=lambda tally: tally.count)
        serving = Serving.of(setting)
        async with connect(serving.url) as http:
            payer.http = http
            await _catch_up(payer, acknowledged.count, acknowledged.amount)
    status, err = serving.stop()
    assert status == 0, err
    assert setting.provider.market.balance_of(setting.provider.address) == payer.tally.amount


async def _load(payer: Payer, grant: Any, which: int) -> Any:
    """Asks until the node is gone; the largest tally that it acknowledged with a positive answer."""
    answered = payer.tally
    try:
        while True:
            if which % 2:
                await payer.complete(grant=grant)
            else:
                async with payer.stream(asking(payer, 200), grant=grant) as stream:
                    await stream.finish()
            tally = payer.tally
            if (await payer.acknowledge(tally=tally)).status_code == 200:
                answered = max(answered, tally, key=lambda item: item.count)
    except (httpx2.HTTPError, AssertionError):
        return answered


async def _catch_up(payer: Payer, count: int, amount: Atoms) -> None:
    """The node still has all that was acknowledged, and its receipts go on where the payer's end."""
    answer = (await payer.resync()).json()
    held = int(answer["voucher"]["voucher"]["cumulativeAmount"])
    assert held >= amount
    assert int(answer["voucher"]["voucher"]["acknowledgement"]["receiptCount"]) >= count
    receipts = [signed_from_json(Receipt, item).message for item in answer["receipts"]]
    assert [receipt.sequence for receipt in receipts] == list(range(len(receipts)))
    for sequence, seen in payer.receipts.items():
        assert receipts[sequence] == seen, "what was sent is what is kept"
    for receipt in receipts[payer.tally.count :]:
        # Each can be had again under its nonce; the replay is checked elsewhere.
        payer.receipts[receipt.sequence] = receipt
        payer.tally = payer.tally.append(receipt)
    payer._early.clear()
    assert (await payer.acknowledge()).status_code in (200, 409)


def test_the_help_is_quick() -> None:
    """It loads nothing that takes long to load."""
    program = """
        import atexit, sys
        atexit.register(lambda: print(*sys.modules))
        from tallystick_node.cli import main
        sys.argv = ["tally-node", "--help"]
        main()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    *told, imported = subprocess.check_output(command, text=True).splitlines()
    assert any("serve" in line for line in told)
    assert "tallystick_node.cli" in imported.split()
    assert not {"fastapi", "sqlalchemy", "aiohttp", "web3", "uvicorn"} & set(imported.split())


def test_who_only_sells_loads_nothing_of_a_payer() -> None:
    program = (
        "import sys, tallystick_node.gateway.serve, tallystick_node.quality.judge;"
        "print([name for name in sys.modules if name.startswith('tallystick.client')])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_the_tls_key_is_made_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tallystick_node.cli", "tls-key", str(tmp_path / "tls.pem")]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert re.fullmatch(r"0x[0-9a-f]{64}\n", first)
    assert first == second
    assert (tmp_path / "tls.pem").stat().st_mode & 0o777 == 0o600
