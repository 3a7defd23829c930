"""What strikes move, and what accusations and ballots are called: as `tests/vectors/strikes.json` has it,
which holds the contract too."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils import keccak

from tallystick.protocol.strikes import Opinion, Outcome, Reaudit, accusation_id, ballot_hash, concluded
from tallystick.protocol.units import Atoms, address, hash32, to_hex
from tests.vectors.strikes_cases import moved_to_json, said

FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "strikes.json").read_text(encoding="utf-8"))
MORE = json.loads((FOLDER / "strikes_more.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", VECTORS["cases"] + MORE["cases"], ids=lambda case: case["name"])
def test_what_a_case_moves(case: dict[str, Any]) -> None:
    fee = Atoms(int(case["fee"]))
    stakes = [Atoms(int(stake)) for stake in case["stakes"]]
    reaudit = Reaudit(fee=fee, said=said(case["opinions"]), stakes=stakes)
    done = concluded(
        provider_stake=Atoms(int(case["providerStake"])),
        striker_stakes=[Atoms(int(stake)) for stake in case["strikerStakes"]],
        struck_with=[Atoms(int(stake)) for stake in case["struckWith"]],
        reaudit=reaudit if fee else None,
    )
    assert done.outcome == Outcome(case["outcome"])
    assert list(done.outcomes) == [Outcome(one) for one in case["outcomes"]]
    assert list(done.standing) == case["standing"]
    assert moved_to_json(done) == case["moved"]


@pytest.mark.parametrize("named", VECTORS["names"])
def test_what_a_case_and_a_ballot_are_called(named: dict[str, Any]) -> None:
    provider, number = address(named["provider"]), int(named["number"])
    case = keccak(encode(["string", "address", "uint64"], ["reaudit", provider, number]))
    auditor, salt = address(named["auditor"]), hash32(named["salt"])
    opinions = [Opinion(opinion) for opinion in named["opinions"]]
    words = encode(["bytes32", "address", "uint8[]", "bytes32"], [case, auditor, opinions, salt])

    assert to_hex(accusation_id(provider, number)) == named["accusation"] == to_hex(case)
    assert (
        to_hex(ballot_hash(accusation_id(provider, number), auditor, opinions, salt)) == named["ballotHash"]
    )
    assert named["ballotHash"] == to_hex(keccak(words))
