"""The file that says where a market lives."""

import json
from pathlib import Path

import pytest

from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import NoContract
from tallystick.protocol.eip712 import Domain

DEPLOYMENT = Deployment(chain_id=31337, market=b"\1" * 20, asset=b"\2" * 20, lens=b"\3" * 20, block=7)


def test_it_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deployment.json"
    DEPLOYMENT.save(path)
    assert Deployment.load(path) == DEPLOYMENT
    assert set(json.loads(path.read_text())) == {"chainId", "market", "asset", "lens", "block"}
    assert [file.name for file in path.parent.iterdir()] == ["deployment.json"]


def test_its_domain_is_the_market_s() -> None:
    assert DEPLOYMENT.domain == Domain(chain_id=31337, contract=b"\1" * 20)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoContract, match=r"nowhere\.json"):
        Deployment.load(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    "change",
    [
        {"chainId": "31337"},
        {"chainId": True},
        {"chainId": 0},
        {"block": -1},
        {"market": "0x12"},
        {"lens": None},
    ],
)
def test_a_wrong_field_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "deployment.json"
    DEPLOYMENT.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(NoContract, match="no deployment"):
        Deployment.load(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null"])
def test_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deployment.json"
    path.write_text(text)
    with pytest.raises(NoContract):
        Deployment.load(path)
