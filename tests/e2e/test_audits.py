"""Audits by themselves, from end to end: real gateways over real models on a real chain. A provider that
serves a rounded copy is found behind its payer's back, struck, and slashed, and nobody does anything for it;
an honest one is not."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

import tallystick
from tallystick.chain.audits import Audits
from tallystick.chain.duels import Duels
from tallystick.client.client import Client
from tallystick.client.errors import NoEligibleOffer
from tallystick.protocol.dossier import drawn, signers
from tallystick.protocol.finding import Verdict
from tallystick.protocol.lottery import DELAY_S
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Atoms, to_hex
from tallystick_node.local.calibrate.copies import quantised
from tallystick_node.local.engines import MODEL, EngineKind
from tallystick_node.local.market import LocalMarket, LocalProvider, Make
from tests.audits.serving import QUESTIONS
from tests.warm import Warm

pytestmark = pytest.mark.e2e

SCALES = MODEL.parent / "good.scales.json"
AUDITS = f'\n[quality]\naudit = true\nscales = ["{SCALES}"]\nsampler = "embedded"\n'
PRICES = {"input_price": 1_000_000, "output_price": 2_000_000}
MOST_REQUESTS = 400
"""Of the first 400 on a channel some 17 are drawn."""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[LocalMarket]:
    """Three honest ones that audit, whom the chain draws, and one that serves a copy rounded to four bits."""
    folder = tmp_path_factory.mktemp("audits")
    copy = quantised(MODEL, folder / "copy", bits=4, group=32)
    makes = (
        *(Make(name=f"honest{number}", settings=AUDITS, **PRICES) for number in range(3)),
        Make(name="rounds", engine_options=("--model", str(copy)), **PRICES),
    )
    with LocalMarket(
        folder=folder / "market", engine=EngineKind.EMBEDDED, makes=makes, popen=warm.popen
    ) as made:
        for provider in made.providers[:3]:
            made.chain.rpc.call("anvil_setBalance", to_hex(provider.address), hex(10**20))
            Duels(made.market_of(provider.key)).enlist()
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
    market.chain.rpc.call("anvil_setBalance", to_hex(payer.address), hex(10**20))
    return tallystick.Client(
        payer,
        rpc=market.chain.url,
        deployment=market.deployment,
        home=home,
        budget=tallystick.Budget(total=atoms, per_request=500_000),
        transactions=True,
        audits=tallystick.Audits(budget=10_000_000, answers=6),
    )


def buys_until(happened: Callable[[], object], client: Client, provider: LocalProvider) -> None:
    """One answer after another, of that provider, until an auditor struck it: then this payer goes elsewhere,
    and what it has goes on to be audited."""
    only = {"only": [to_hex(provider.address)]}
    for number in range(MOST_REQUESTS):
        question = QUESTIONS[number % len(QUESTIONS)]
        try:
            answer = client.chat("tiny-good", question, max_tokens=48, temperature=number % 2, provider=only)
        except NoEligibleOffer:
            assert client.findings()
            until(happened)
            return
        assert answer.body["choices"][0]["logprobs"] is None
        time.sleep(0.1)
        if happened():
            return
    raise AssertionError("nothing came of it")


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 240
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_a_rounded_copy_is_found_and_slashed_though_nobody_does_anything(
    market: LocalMarket, mining: None, tmp_path: Path
) -> None:
    *honest, rounds = market.providers
    chain = market.market_of(honest[0].key)
    before = chain.stake(rounds.address).staked
    with buying(market, tmp_path) as client:
        purse = client._session.purse
        buys_until(lambda: len(purse.findings.all("filed")) == 3, client, rounds)
        found = purse.findings.all("filed")
        dossier, auditing = purse.findings.shown(found[0].number), client._session.auditing
        assert auditing is not None

        assert client.findings()[0] == found[0]
        assert {one.verdict for one in found} == {Verdict.STRIKE}
        assert {one.finding.message.auditor for one in found} == {one.address for one in honest}
        assert signers(dossier, market.deployment.domain) == {rounds.receipt_key}
        assert drawn(dossier, auditing._block_at).withheld == 0
        assert 0 < purse.findings.cost() < client.spent
        assert len(Audits(chain).strikes(rounds.address)) == 3
        # It is accused, answers nothing, and one of those who struck brings it to its end.
        until(lambda: chain.stake(rounds.address).staked < before)
    assert chain.stake(rounds.address).staked < before // 2
    assert [chain.stake(one.address).staked for one in honest] == [before] * 3


def test_an_honest_provider_is_clear(market: LocalMarket, mining: None, tmp_path: Path) -> None:
    honest, *auditors, _ = market.providers
    with buying(market, tmp_path) as client:
        buys_until(client.findings, client, honest)
        (found,) = client.findings()
    assert found.verdict is Verdict.CLEAR
    assert found.finding.message.auditor in {one.address for one in auditors}
    assert not Audits(market.market_of(honest.key)).strikes(honest.address)
