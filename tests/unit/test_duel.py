"""What duels move is what their vectors say, to which the contract is held too."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tallystick.protocol.duel import moved

FOLDER = Path(__file__).parents[1] / "vectors"
sys.path.insert(0, str(FOLDER))
from duel_cases import panel_of  # noqa: E402  It lies beside what it makes.

CASES = json.loads((FOLDER / "duel.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_it_moves_what_its_vector_says(case: dict[str, Any]) -> None:
    done = moved(
        panel_of(case["panel"]),
        price=int(case["price"]),
        first_stake=int(case["firstStake"]),
        second_stake=int(case["secondStake"]),
        appeal=panel_of(case["appeal"]) if "appeal" in case else None,
    )
    said = case["moved"]
    assert [str(done.first), str(done.second)] == [said["first"], said["second"]]
    assert [str(done.challenger), str(done.appellant)] == [said["challenger"], said["appellant"]]
    assert [str(amount) for amount in done.judges] == said["judges"]
    assert str(done.burnt) == said["burnt"]
