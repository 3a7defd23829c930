"""A payer buys of two real providers, one of which serves a rounded copy, and has the other audit it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick.chain.audits import Audits
from tallystick.chain.duels import Duels
from tallystick.chain.timeline import Timeline
from tallystick.client.client import Client
from tallystick.client.session import open_session
from tallystick.protocol.dossier import Dossier
from tallystick.protocol.finding import Finding, Verdict
from tallystick.protocol.lottery import draws_at, is_drawn
from tallystick.protocol.sample import Sample, sample_to_json
from tallystick.protocol.signed import Key, verify
from tallystick.protocol.units import Atoms, to_hex
from tallystick.protocol.viewing import Shown
from tallystick.protocol.wire import signed_from_json
from tallystick_node.local.calibrate.copies import quantised
from tallystick_node.local.engines import MODEL, EngineKind
from tallystick_node.local.market import LocalMarket, LocalProvider, Make
from tallystick_node.quality.dossiers import Dossiers
from tests.audits.serving import QUESTIONS
from tests.warm import Warm

pytestmark = pytest.mark.e2e

SCALES = MODEL.parent / "good.scales.json"
ENOUGH = 2
"""Answers with log-probabilities, for a strike of a copy rounded to four bits."""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[LocalMarket]:
    folder = tmp_path_factory.mktemp("market")
    copy = quantised(MODEL, folder / "copy", bits=4, group=32)
    makes = (
        Make(name="honest", input_price=1_000_000, output_price=2_000_000),
        Make(
            name="rounds",
            input_price=1_000_000,
            output_price=2_000_000,
            engine_options=("--model", str(copy)),
        ),
    )
    with LocalMarket(
        folder=folder / "market", engine=EngineKind.EMBEDDED, makes=makes, popen=warm.popen
    ) as made:
        yield made


def bought(market: LocalMarket, provider: LocalProvider, home: Path) -> list[Sample]:
    payer, atoms = Key.generate(), Atoms(5_000_000)
    market.fund(payer, atoms).deposit(atoms, payer.address)
    session = open_session(
        payer,
        rpc=market.chain.url,
        deployment=market.deployment,
        budget=tallystick.Budget(total=atoms, per_request=500_000),
        home=home,
        audits=tallystick.Audits(budget=1),
    )
    samples = []
    with Client.of(session) as client:
        for question in QUESTIONS:
            only = {"only": [to_hex(provider.address)]}
            answer = client.chat(
                "tiny-good", question, max_tokens=48, temperature=0, logprobs=True, provider=only
            )
            assert answer.outcome.sample is not None
            samples.append(answer.outcome.sample)
        assert list(client.stream_chat("tiny-good", QUESTIONS[0], max_tokens=9, provider=only))
        assert client.avoided() == [], "real gateways and engines give what an audit takes"
    session.close()
    return samples


def audited(
    market: LocalMarket, auditor: LocalProvider, samples: list[Sample] | Dossier, folder: Path
) -> dict[str, Any]:
    file = folder / "samples.json"
    if isinstance(samples, Dossier):
        file.write_text(json.dumps(samples.to_json()))
    else:
        file.write_text(json.dumps([sample_to_json(sample) for sample in samples]))
    config = auditor.config
    command = [sys.executable, "-m", "tallystick_node.cli", "audit", config, file, "--scales", SCALES]
    environment = {"TALLYSTICK_PASSWORD": market.password}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_rounded_copy_is_struck_by_an_auditor_on_the_same_market(
    market: LocalMarket, tmp_path: Path
) -> None:
    honest, rounds = market.providers
    samples = bought(market, rounds, tmp_path)
    found = audited(market, honest, samples, tmp_path)
    finding = verify(
        signed_from_json(Finding, found), market.deployment.domain, signer=honest.receipt_key
    ).message

    assert (finding.auditor, finding.provider) == (honest.address, rounds.address)
    assert finding.receipt_hash == samples[-1].receipt.message.struct_hash()
    assert (finding.verdict, finding.receipt_count) == (Verdict.STRIKE, len(QUESTIONS))
    assert found["said"]["verdict"] == "strike"


def test_an_honest_provider_is_clear_and_nobody_audits_itself(market: LocalMarket, tmp_path: Path) -> None:
    honest, rounds = market.providers
    samples = bought(market, honest, tmp_path)
    config, file = honest.config, tmp_path / "samples.json"
    file.write_text(json.dumps([sample_to_json(sample) for sample in samples]))
    command = [sys.executable, "-m", "tallystick_node.cli", "audit", config, file, "--scales", SCALES]
    environment = {"TALLYSTICK_PASSWORD": market.password}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1
    assert "Nobody audits its own answers." in done.stderr

    # Its own word against it: what serves a rounded copy finds the model itself to be the cheat.
    found = audited(market, rounds, samples, tmp_path)
    assert found["said"]["verdict"] == "strike"


def test_a_strike_is_filed_where_the_lottery_drew_answer_and_auditor(
    market: LocalMarket, tmp_path: Path
) -> None:
    honest, rounds = market.providers
    market.chain.rpc.call("anvil_setBalance", f"0x{honest.address.hex()}", hex(10**20))
    duels = Duels(market.market_of(honest.key))
    duels.enlist()  # The only judge: it is drawn for all.
    dossier = drawn(market, rounds, tmp_path)
    found = audited(market, honest, dossier, tmp_path)
    file, finding = tmp_path / "samples.json", tmp_path / "finding.json"
    finding.write_text(json.dumps(found))

    done = node(market, "strike", honest.config, file, finding)
    assert done.stdout == f"Struck {to_hex(rounds.address)}: 1 of 3.\n", done.stderr
    (strike,) = Audits(duels.market).strikes(rounds.address)
    assert strike.auditor == honest.address
    kept = Dossiers(honest.config.parent / "dossiers").of(
        signed_from_json(Finding, found).message.struct_hash()
    )
    assert kept is not None  # what its node shows to whoever re-audits
    assert Shown.from_json(json.loads(kept)).dossier == dossier
    until(lambda: "audits.struck" in rounds.log.read_text())  # Its own node says so.
    again = node(market, "strike", honest.config, file, finding)
    assert (again.returncode, "A strike was filed for the receipt" in again.stderr) == (1, True)
    early = node(market, "reaudit", honest.config, to_hex(rounds.address), "--clear")
    assert (early.returncode, "not drawn to re-audit" in early.stderr) == (1, True)


def drawn(market: LocalMarket, provider: LocalProvider, folder: Path) -> Dossier:
    """Of one channel, whatever was drawn of it: one in five is of a channel's first ones."""
    rpc = market.chain.rpc
    for number in range(20):
        samples = bought(market, provider, folder / f"payer{number}")
        rpc.call("evm_increaseTime", 60)
        rpc.call("anvil_mine", "0x4")
        timeline = Timeline(rpc)

        def was_drawn(sample: Sample, timeline: Timeline = timeline) -> bool:
            receipt = sample.receipt.message
            block = timeline.block_at(draws_at(receipt.finished_at))
            assert block is not None
            return is_drawn(block.hash, receipt.struct_hash(), receipt.sequence)

        if len(shown := [sample for sample in samples if was_drawn(sample)]) >= ENOUGH:
            end = samples.index(shown[-1]) + 1
            return Dossier(receipts=tuple(sample.receipt for sample in samples[:end]), samples=tuple(shown))
    raise AssertionError("nothing is drawn")


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def node(market: LocalMarket, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tallystick_node.cli", *map(str, arguments)]
    environment = {"TALLYSTICK_PASSWORD": market.password}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
