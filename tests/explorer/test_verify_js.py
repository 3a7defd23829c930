"""The page's own verifier, run by Node: it comes to the steps of the vectors, and to those of the shell
against a real chain's node."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tallystick.chain.market import Market
from tallystick.chain.record import Record
from tallystick.protocol.audit import check
from tallystick.protocol.documents import document_to_json
from tallystick.protocol.offer import Offer
from tallystick.protocol.units import to_hex

from .halves import Held, bad_ones

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "node" / "tallystick_node" / "explorer" / "static"
VECTORS = ROOT / "tests" / "vectors"
HEAD = """
import { readFile } from "node:fs/promises";
const receipt = await import("./receipt.js"), chain = await import("./chain.js");
const given = JSON.parse(await readFile(process.argv[2], "utf8"));
const plain = (_, value) => (typeof value === "bigint" ? String(value) : value);
const tell = (answer) => console.log(JSON.stringify(answer, plain));
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's scripts, as a package that Node takes for modules."""
    folder = tmp_path_factory.mktemp("static") / "static"
    shutil.copytree(STATIC, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def told(scripts: Path, program: str, given: Any) -> Any:
    """What a program says of what it is given."""
    path = os.pathsep.join((str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")))
    node = shutil.which("node", path=path)
    assert node is not None, "scripts/install contracts brings Node where there is none"
    (scripts / "test.js").write_text(HEAD + program)
    (scripts / "given.json").write_text(json.dumps(given))
    command = [node, "test.js", "given.json"]
    done = subprocess.run(command, cwd=scripts, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def test_the_steps_are_those_of_the_vectors(scripts: Path) -> None:
    program = """
    const known = given.facts.map(receipt.readFacts);
    tell(given.cases.map(({ document, facts }) => {
      const steps = receipt.checked(document, known[facts]);
      return { steps, verdict: receipt.verdict(steps) };
    }));
    """
    given = vectors("audit")

    found = told(scripts, program, given)

    for case, answer in zip(given["cases"], found, strict=True):
        assert answer["steps"] == case["steps"], case["name"]
        if case["group"] in ("good", "bad"):
            assert answer["verdict"] == {"good": "paid", "bad": "bad"}[case["group"]], case["name"]


def test_hashes_and_signers_are_those_of_the_vectors(scripts: Path) -> None:
    program = """
    const { chainId, verifyingContract: market } = given.eip712.domain;
    const domain = { chainId: BigInt(chainId), market };
    const known = new Set(["Offer", "Receipt", "Acknowledgement"]);
    tell({
      hashes: given.eip712.messages.filter(({ type }) => known.has(type)).map(({ type, message }) => {
        const hash = receipt.structHash(type, receipt.readMessage(type, message));
        return [hash, receipt.digest(domain, hash)];
      }),
      roots: given.merkle.cases.flatMap(({ proofs }) =>
        proofs.map(({ proof, leaf }) => receipt.provenRoot(proof, leaf))),
      signers: given.signatures.valid.flatMap(({ digest, signature, compact }) =>
        [signature, compact].map((form) => receipt.recover(digest, form))),
      invalid: given.signatures.invalid.map(({ digest, signature }) => receipt.recover(digest, signature)),
    });
    """
    given = {name: vectors(name) for name in ("eip712", "merkle", "signatures")}

    found = told(scripts, program, given)

    kinds = ("Offer", "Receipt", "Acknowledgement")
    known = [item for item in given["eip712"]["messages"] if item["type"] in kinds]
    assert found["hashes"] == [[item["structHash"], item["digest"]] for item in known]
    roots = [case["root"] for case in given["merkle"]["cases"] for _ in case["proofs"]]
    assert found["roots"] == roots
    assert found["signers"] == [item["address"] for item in given["signatures"]["valid"] for _ in range(2)]
    assert set(found["invalid"]) == {None}


def test_a_node_of_the_visitor_s_own_is_all_that_it_takes(scripts: Path, held: Held) -> None:
    """Every document, good and bad, comes to the very steps that the shell comes to."""
    program = """
    const found = [];
    for (const document of given.documents) {
      const { facts } = await chain.factsOfNode(receipt.readDocument(document), given.asked);
      found.push(receipt.checked(document, facts));
    }
    tell(found);
    """
    documents = [*held.settled.documents(), *held.closed.documents()]
    documents += [document for document, _ in bad_ones(held).values()]
    given = {"documents": [document_to_json(item) for item in documents], "asked": asked(held)}

    found = told(scripts, program, given)

    record = Record(Market(held.chain.rpc, held.deployment))
    for document, steps in zip(documents, found, strict=True):
        receipt = document.signed.message
        known = record.facts(receipt.channel_id, (receipt.offer_hash,))
        assert steps == [step.to_json() for step in check(document, known)]


def asked(held: Held, **changes: Any) -> dict[str, Any]:
    deployment = held.deployment
    return {
        "rpc": held.chain.url,
        "market": to_hex(deployment.market),
        "chainId": str(deployment.chain_id),
        "fromBlock": str(deployment.block),
        **changes,
    }


def test_a_withdrawn_offer_is_seen_by_a_node_too(scripts: Path, held: Held) -> None:
    held.provider.market.withdraw_offers(2)
    program = """
    const { facts } = await chain.factsOfNode(receipt.readDocument(given.document), given.asked);
    tell(receipt.checked(given.document, facts));
    """
    document = held.settled.documents()[0]

    found = told(scripts, program, {"document": document_to_json(document), "asked": asked(held)})

    known = Record(Market(held.chain.rpc, held.deployment)).facts(
        held.settled.key.id, [document.signed.message.offer_hash]
    )
    assert known.offers[held.offer.struct_hash()].withdrawn_at is not None
    assert found == [step.to_json() for step in check(document, known)]


def test_a_node_that_is_none_or_of_another_chain_is_said(scripts: Path, held: Held) -> None:
    program = """
    const found = [];
    for (const asked of given.asked) {
      try { await chain.factsOfNode(receipt.readDocument(given.document), asked); found.push(null); }
      catch (error) { found.push([error instanceof chain.Unanswered, error.message]); }
    }
    tell(found);
    """
    places = [asked(held, rpc="http://127.0.0.1:1"), asked(held, chainId="1")]
    given = {"document": document_to_json(held.settled.documents()[0]), "asked": places}

    silent, other = told(scripts, program, given)

    assert silent == [True, "127.0.0.1:1 does not answer, or not so that a page may read it."]
    assert other == [True, f"The node follows chain {held.deployment.chain_id}, and not 1."]


def test_offers_are_read_off_the_log_as_they_were_posted(scripts: Path, held: Held) -> None:
    program = """
    const { facts } = await chain.factsOfNode(receipt.readDocument(given.document), given.asked);
    tell([...facts.offers.values()].map(({ offer }) => offer));
    """
    document = held.settled.documents()[2]

    (found,) = told(scripts, program, {"document": document_to_json(document), "asked": asked(held)})

    assert Offer.from_json(found) == held.hostile
