"""The doctor names what is wrong and what to do."""

import pytest


def checks(told) -> dict[str, dict[str, object]]:
    return {check["name"]: check for check in told.data["checks"]}


def test_a_healthy_market_is_ok(tally) -> None:
    tally.add_wallet("alice")
    tally.json("faucet", "1test")
    told = tally("doctor", "--json")
    assert told.status == 0, told
    assert all(check["ok"] for check in checks(told).values())
    notices = "notices: exit 0:10:00, close 1:00:00, unstake 1 day, 0:00:00"
    assert f"settles in TEST; {notices}" in tally("doctor").out


def test_with_nothing_there_every_line_says_what_to_do(alone) -> None:
    told = alone("doctor", "--json")
    assert told.status == 1
    found = checks(told)
    assert "Is it running" in found["chain"]["text"]
    assert "deployment.json" in found["deployment"]["text"]
    assert "tally wallet new" in found["keystore"]["text"]
    assert "FAIL  chain" in alone("doctor").out


@pytest.mark.parametrize("kind", ["engine", "endpoint"])
def test_a_machine_that_does_not_answer_is_named(tally, kind: str) -> None:
    tally.add_wallet("alice")
    tally.json("faucet", "1test")
    told = tally("doctor", f"--{kind}", "http://127.0.0.1:1", "--json")
    assert told.status == 1
    assert "127.0.0.1:1" in checks(told)[kind]["text"]


def test_a_key_that_others_can_read_is_named(tally) -> None:
    tally.add_wallet("alice")
    (tally.home / "keystore" / "alice.json").chmod(0o644)
    assert "chmod 600" in checks(tally("doctor", "--json"))["keystore"]["text"]


def test_without_gas_the_wallet_can_do_nothing(tally) -> None:
    tally.add_wallet("alice")
    assert "holds no gas" in checks(tally("doctor", "--json"))["wallet"]["text"]
