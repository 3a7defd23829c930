"""A provider that cheats, from the false receipt to the slashed stake, by commands.

Chain and gateway are real; the gateway signs what it should not.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tallystick.chain.market import Market
from tallystick.protocol.units import Address

from .conftest import Tally
from .shop import open_shop

pytestmark = pytest.mark.e2e
DOLLAR = 1_000_000
STAKE = 100 * DOLLAR
"""The local market's minimum."""
BURNT = Address(bytes(18) + b"\xde\xad")


@dataclass(frozen=True, slots=True)
class Den:
    """Bob, who cheats as he is told, and those who find out."""

    tally: Tally
    market: Market
    kind: Path
    node: str
    """Its URL."""

    def stake_seen(self) -> dict[str, Any]:
        """By the node."""
        health = httpx2.get(f"{self.node}/healthz", verify=False, trust_env=False)
        stake: dict[str, Any] = health.json()["stake"]
        assert health.is_success is stake["ok"]
        return stake

    def cheat(self, kind: str) -> None:
        """From now on, with a stake to lose."""
        self.kind.write_text(kind)
        if self.staked() == 0:
            self.tally.json("stake", "100test", "--yes", "--wallet", "bob")

    def payer(self, name: str) -> None:
        """A wallet with a deposit."""
        self.tally.add_wallet(name)
        self.tally.json("faucet", "1000test", "--wallet", name)
        self.tally.json("deposit", "100test", "--yes", "--wallet", name)

    def refused(self, payer: str) -> Any:
        """What the payer holds after a false receipt."""
        paid = self.tally.json("pay", "echo", "one two three", "--wallet", payer)
        assert (paid["refusal"] is not None, paid["cost"]) == (True, "0")
        assert "three" in paid["text"]
        return only(self.tally.json("fraud", "list", "--wallet", payer))

    def staked(self) -> int:
        balance = self.tally.json("balance", "--wallet", "bob")
        return int(balance["stake"]["staked"]) + int(balance["stake"]["exiting"])


@pytest.fixture(scope="module")
def den(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Den]:
    folder = tmp_path_factory.mktemp("den")
    kind = folder / "kind"
    kind.write_text("honest")
    with open_shop(folder, Path(__file__).with_name("cheating_node.py"), kind, payer="dave") as shop:
        yield Den(shop.tally, shop.market, kind, shop.endpoint)


def until(reached: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not reached():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.1)


def only(found: list[Any]) -> Any:
    assert len(found) == 1, found
    return found[0]


def test_an_overcharge_costs_the_provider_its_stake(den: Den, alone: Tally, tmp_path: Path) -> None:
    """And its payer nothing."""
    tally, file = den.tally, tmp_path / "proof.json"
    den.payer("alice")
    assert "No receipt was refused." in tally("fraud", "list", "--wallet", "alice").out
    den.cheat("overcharge")
    held = den.refused("alice")
    assert held["code"] == "receipt-does-not-add-up"
    assert (held["fraud"], held["standing"]) == ("overcharge", "provable")
    assert "overcharge" in tally("fraud", "list", "--wallet", "alice").out
    assert "The contract would slash" in tally("fraud", "show", held["number"], "--wallet", "alice").out
    told = tally("fraud", "export", held["number"], file, "--wallet", "alice")
    assert f"tally fraud report {file}" in told.out
    assert tally("fraud", "export", held["number"], file, "--wallet", "alice").status == 1, (
        "never over another"
    )
    offline = alone.json("fraud", "check", file)
    assert [step["holds"] for step in offline["steps"]] == [None, True, True]

    burnt = den.market.asset_balance(BURNT)
    before = tally.json("balance", "--wallet", "alice")
    unasked = tally("fraud", "report", file, "--wallet", "alice")
    assert (unasked.status, "slashOvercharge" in unasked.err) == (1, True), "shown, and asked for"
    report = tally.json("fraud", "report", file, "--yes", "--wallet", "alice")
    assert (report["reward"], report["burnt"]) == (str(STAKE // 3), str(STAKE - STAKE // 3))
    assert den.staked() == 0
    until(lambda: not den.stake_seen()["ok"])
    assert den.stake_seen() == {"ok": False, "staked": "0", "required": str(STAKE), "slashed": str(STAKE)}
    (stake,) = [
        check
        for check in tally("doctor", "--json", "--wallet", "bob").data["checks"]
        if check["name"] == "stake"
    ]
    assert (stake["ok"], "it was slashed" in stake["text"]) == (False, True)
    assert den.market.asset_balance(BURNT) - burnt == STAKE - STAKE // 3
    after = tally.json("balance", "--wallet", "alice")
    assert int(after["earned"]) - int(before["earned"]) == STAKE // 3
    assert tally.json("receipts", "--wallet", "alice") == []
    tally.json("settle", "--yes", "--wallet", "alice")
    assert int(tally.json("balance", "--wallet", "alice")["wallet"]) - int(before["wallet"]) == STAKE // 3

    again = tally("fraud", "report", file, "--yes", "--wallet", "alice")
    assert (again.status, "proven before" in again.err) == (1, True)
    assert only(tally.json("fraud", "list", "--wallet", "alice"))["standing"] == "proven before"
    den.cheat("honest")
    until(lambda: den.stake_seen()["ok"])
    assert tally("fraud", "report", file, "--yes", "--wallet", "dave").status == 1
    assert den.staked() == STAKE


def test_a_second_receipt_in_one_place_does_too(den: Den, tmp_path: Path) -> None:
    """Whoever reports it: here the payer's proof is filed by somebody else."""
    tally, file = den.tally, tmp_path / "proof.json"
    den.payer("eve")
    den.cheat("honest")
    assert tally.json("pay", "echo", "one two three", "--wallet", "eve")["refusal"] is None
    den.cheat("receipts")
    held = den.refused("eve")
    assert (held["code"], held["fraud"], held["standing"]) == (
        "receipt-mismatch",
        "receipt-equivocation",
        "provable",
    )
    tally.json("fraud", "export", held["number"], file, "--wallet", "eve")
    report = tally.json("fraud", "report", file, "--yes", "--wallet", "dave")
    assert report["reward"] == str(STAKE // 3)
    told = tally("fraud", "report", file, "--yes", "--wallet", "eve")
    assert (told.status, "proven before" in told.err) == (1, True)

    file.write_text(json.dumps(held["proof"] | {"market": "0x" + "12" * 20}))
    told = tally("fraud", "report", file, "--yes", "--wallet", "eve")
    assert (told.status, "holds on no other" in told.err) == (1, True)


def test_so_does_another_offer_with_a_sequence_that_is_on_chain(den: Den, tmp_path: Path) -> None:
    tally = den.tally
    den.cheat("honest")
    assert tally.json("fraud", "look")["found"] == []
    assert "None contradicts another" in tally("fraud", "look").out
    den.cheat("offers")
    found = tally.json("fraud", "look", "--save", tmp_path / "found")
    assert only(found["found"])["fraud"] == "offer-equivocation"
    file = only(found["files"])
    assert tally.json("fraud", "report", file, "--yes", "--wallet", "dave")["burnt"] == str(
        STAKE - STAKE // 3
    )
    assert den.staked() == 0


def test_what_is_no_proof_is_said(den: Den, alone: Tally, tmp_path: Path) -> None:
    tally, file = den.tally, tmp_path / "proof.json"
    den.payer("frank")
    den.cheat("overcharge")
    forged = den.refused("frank")["proof"]
    forged["receipt"]["cost"] = str(int(forged["receipt"]["cost"]) - 1)
    file.write_text(json.dumps(forged))
    told = alone("fraud", "check", file)
    assert (told.status, "NotOvercharged" in told.out) == (1, True)
    told = tally("fraud", "report", file, "--yes", "--wallet", "dave")
    assert (told.status, "It proves no fraud" in told.err) == (1, True)
    told = tally("fraud", "show", 99, "--wallet", "frank")
    assert (told.status, "no evidence 99" in told.err) == (1, True)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"fraud": "arson"}'])
def test_a_file_that_holds_no_proof_is_said(alone: Tally, tmp_path: Path, content: str) -> None:
    file = tmp_path / "proof.json"
    file.write_text(content)
    assert alone("fraud", "check", file).status == 1
