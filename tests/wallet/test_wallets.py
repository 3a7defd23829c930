"""Keys on this machine, through the command line."""

import json
from pathlib import Path

import pytest

from tallystick.chain.keys import Keystore
from tallystick.protocol.signed import Key

PASSWORD = "correct horse"


def test_a_new_wallet_is_listed_and_opens(alone) -> None:
    made = alone.json("wallet", "new", "alice")
    assert alone.json("wallet", "list") == [{"name": "alice", "address": made["address"]}]
    assert alone.json("wallet", "address")["address"] == made["address"]
    key = Keystore(alone.home / "keystore").load("alice", PASSWORD)
    assert "0x" + key.address.hex() == made["address"]


def test_people_are_told_where_the_key_is(alone) -> None:
    told = alone("wallet", "new", "alice")
    assert told.status == 0
    assert str(alone.home / "keystore" / "alice.json") in told.out
    assert alone("wallet", "list").out.splitlines()[0].split() == ["name", "address"]


def test_a_private_key_comes_from_a_file_and_never_from_an_argument(alone, tmp_path: Path) -> None:
    key = Key.generate()
    file = tmp_path / "key"
    file.write_text("0x" + key.secret.hex() + "\n")
    made = alone.json("wallet", "import", "bob", "--key-file", file)
    assert made["address"] == "0x" + key.address.hex()
    file.write_text("0x1234zz")
    told = alone("wallet", "import", "carol", "--key-file", file)
    assert (told.status, "no private key" in told.err) == (1, True)
    assert "1234" not in told.err


def test_a_keystore_file_is_copied(alone, tmp_path: Path) -> None:
    key = Keystore(tmp_path / "other", scrypt_n=1024).create("old", PASSWORD)
    made = alone.json("wallet", "import", "bob", "--keystore", tmp_path / "other" / "old.json")
    assert made["address"] == "0x" + key.address.hex()


def test_a_removed_wallet_is_gone_only_after_a_yes(alone) -> None:
    alone.add_wallet("alice")
    assert alone("wallet", "remove", "alice").status == 1
    assert alone.json("wallet", "remove", "alice", "--yes")["removed"] == "alice"
    assert alone.json("wallet", "list") == []
    assert "There is no wallet yet" in alone("wallet", "list").out


def test_a_password_is_changed(alone, tmp_path: Path) -> None:
    alone.add_wallet("alice")
    (tmp_path / "new").write_text("another\nsecond line\n")
    alone.json("wallet", "change-password", "alice", "--new-password-file", tmp_path / "new")
    Keystore(alone.home / "keystore").load("alice", "another")


def test_a_password_file_goes_before_the_environment(alone, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    alone.json("wallet", "new", "alice", "--password-file", tmp_path / "password")
    Keystore(alone.home / "keystore").load("alice", "from a file")
    told = alone("wallet", "new", "bob", "--password-file", tmp_path / "nowhere")
    assert (told.status, "cannot be read" in told.err) == (1, True)


def test_without_a_password_nobody_waits_for_one(alone) -> None:
    told = alone("wallet", "new", "alice", TALLYSTICK_PASSWORD=None)
    assert told.status == 1
    assert "--password-file or TALLYSTICK_PASSWORD" in told.err


def test_one_of_several_wallets_has_to_be_named(alone) -> None:
    assert "tally wallet new NAME" in alone("wallet", "address").err
    alone.add_wallet("alice")
    bob = alone.add_wallet("bob")
    assert "There are several wallets (alice, bob)" in alone("wallet", "address").err
    assert alone.json("wallet", "address", "--wallet", "bob")["address"] == "0x" + bob.address.hex()
    assert alone.json("wallet", "address", TALLYSTICK_WALLET="bob")["name"] == "bob"
    assert "There is no wallet carol" in alone("wallet", "address", "carol").err


def test_a_program_gets_errors_as_json(alone) -> None:
    told = alone("wallet", "address", "carol", "--json")
    assert told.status == 1
    assert told.data["error"]["code"] == "wallet-unknown"
    assert told.data["error"]["retryable"] is False


@pytest.mark.parametrize("arguments", [["wallet", "new"], ["no-such"], ["wallet", "list", "--what"]])
def test_a_usage_error_is_two(alone, arguments: list[str]) -> None:
    assert alone(*arguments).status == 2


@pytest.mark.e2e
def test_a_password_is_typed_twice_and_never_shown(alone, terminal) -> None:
    typed = [(b"Password of alice", PASSWORD), (b"Repeat", PASSWORD)]
    status, out, shown = terminal(alone, ["wallet", "new", "alice", "--json"], typed, hidden=True)
    assert status == 0
    assert json.loads(out)["name"] == "alice"
    assert PASSWORD not in shown
    Keystore(alone.home / "keystore").load("alice", PASSWORD)
