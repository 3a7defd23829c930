"""Audits by themselves, from end to end: real gateways over real models on a real chain. A provider that
serves a rounded copy is found behind its payers' backs; an honest one is not."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest

import tallystick
from tallystick.client.client import Client
from tallystick.protocol.dossier import drawn, signers
from tallystick.protocol.finding import Verdict
from tallystick.protocol.lottery import DELAY_S
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Atoms, to_hex
from tallystick_node.local.calibrate.copies import quantised
from tallystick_node.local.engines import MODEL, EngineKind
from tallystick_node.local.market import LocalMarket, LocalProvider, Make
from tests.audits.serving import QUESTIONS

pytestmark = pytest.mark.e2e

SCALES = MODEL.parent / "good.scales.json"
AUDITS = f'\n[quality]\naudit = true\nscales = ["{SCALES}"]\nsampler = "embedded"\n'
PRICES = {"input_price": 1_000_000, "output_price": 2_000_000}
MOST_REQUESTS = 120


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMarket]:
    """Two honest ones that audit, and one that serves a copy rounded to four bits."""
    folder = tmp_path_factory.mktemp("audits")
    copy = quantised(MODEL, folder / "copy", bits=4, group=32)
    makes = (
        Make(name="honest", settings=AUDITS, **PRICES),
        Make(name="auditor", settings=AUDITS, **PRICES),
        Make(name="rounds", engine_options=("--model", str(copy)), **PRICES),
    )
    with LocalMarket(folder=folder / "market", engine=EngineKind.EMBEDDED, makes=makes) as made:
        yield made


@pytest.fixture
def mining(market: LocalMarket) -> Iterator[None]:
    """Time passes on the chain as fast as a test can wait."""
    over = Event()

    def mine() -> None:
        while not over.wait(0.5):
            market.chain.rpc.call("anvil_mine", "0x1", hex(DELAY_S))

    thread = Thread(target=mine)
    thread.start()
    yield
    over.set()
    thread.join()


def buying(market: LocalMarket, home: Path) -> Client:
    payer, atoms = Key.generate(), Atoms(20_000_000)
    market.fund(payer, atoms).deposit(atoms, payer.address)
    return tallystick.Client(
        payer,
        rpc=market.chain.url,
        deployment=market.deployment,
        home=home,
        budget=tallystick.Budget(total=atoms, per_request=500_000),
        audits=tallystick.Audits(budget=10_000_000, answers=2),
    )


def audited(client: Client, provider: LocalProvider) -> list[tallystick.HeldFinding]:
    """What is found of it once it has sold enough."""
    only = {"only": [to_hex(provider.address)]}
    for number in range(MOST_REQUESTS):
        question = QUESTIONS[number % len(QUESTIONS)]
        answer = client.chat("tiny-good", question, max_tokens=48, temperature=number % 2, provider=only)
        assert answer.body["choices"][0]["logprobs"] is None
        if found := client.findings():
            return found
        with suppress(TimeoutError):
            time.sleep(0.1)
    raise AssertionError("nothing was drawn")


def test_a_rounded_copy_is_found_without_anybody_asking(
    market: LocalMarket, mining: None, tmp_path: Path
) -> None:
    honest, auditor, rounds = market.providers
    with buying(market, tmp_path) as client:
        audited(client, rounds)
        deadline = time.monotonic() + 60
        while len(found := client.findings()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        findings = client._session.purse.findings
        dossier = findings.shown(found[0].number)
        timeline = client._session.auditing

        assert timeline is not None
        assert {one.verdict for one in found} == {Verdict.STRIKE}
        assert {one.finding.message.auditor for one in found} <= {honest.address, auditor.address}
        assert signers(dossier, market.deployment.domain) == {rounds.receipt_key}
        assert drawn(dossier, timeline._block_at).withheld == 0
        assert 0 < findings.cost() < client.spent


def test_an_honest_provider_is_clear(market: LocalMarket, mining: None, tmp_path: Path) -> None:
    honest, auditor, _ = market.providers
    with buying(market, tmp_path) as client:
        found = audited(client, honest)
    assert {one.verdict for one in found} == {Verdict.CLEAR}
    assert {one.finding.message.auditor for one in found} == {auditor.address}
