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
from tests.vectors.strikes_cases import OPINIONS, moved_to_json

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "strikes.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_what_a_case_moves(case: dict[str, Any]) -> None:
    fee = Atoms(int(case["fee"]))
    opinions = [OPINIONS[letter] for letter in case["opinions"]]
    reaudit = Reaudit(fee=fee, opinions=opinions, stakes=[Atoms(int(stake)) for stake in case["stakes"]])
    done = concluded(
        provider_stake=Atoms(int(case["providerStake"])),
        striker_stakes=[Atoms(int(stake)) for stake in case["strikerStakes"]],
        struck_with=[Atoms(int(stake)) for stake in case["struckWith"]],
        reaudit=reaudit if fee else None,
    )
    assert done.outcome == Outcome(case["outcome"])
    assert moved_to_json(done) == case["moved"]


@pytest.mark.parametrize("named", VECTORS["names"])
def test_what_a_case_and_a_ballot_are_called(named: dict[str, Any]) -> None:
    provider, number = address(named["provider"]), int(named["number"])
    case = keccak(encode(["string", "address", "uint64"], ["reaudit", provider, number]))
    auditor, opinion, salt = address(named["auditor"]), Opinion(named["opinion"]), hash32(named["salt"])
    words = encode(["bytes32", "address", "uint8", "bytes32"], [case, auditor, opinion, salt])

    assert to_hex(accusation_id(provider, number)) == named["accusation"] == to_hex(case)
    assert to_hex(ballot_hash(accusation_id(provider, number), auditor, opinion, salt)) == named["ballotHash"]
    assert named["ballotHash"] == to_hex(keccak(words))
