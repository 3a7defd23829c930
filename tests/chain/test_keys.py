"""Keystore V3 files."""

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tallystick.chain.errors import KeystoreError, WalletExists, WalletUnknown, WrongPassword
from tallystick.chain.keys import Keystore
from tallystick.chain.local import find_anvil
from tallystick.protocol.signed import Key


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "keystore", scrypt_n=1 << 10)


def test_a_new_wallet_opens_with_its_password(keystore: Keystore) -> None:
    key = keystore.create("alice", "secret")
    assert keystore.load("alice", "secret").secret == key.secret
    assert [(wallet.name, wallet.address) for wallet in keystore.list()] == [("alice", key.address)]


def test_a_wrong_password_says_so_and_shows_nothing(keystore: Keystore) -> None:
    keystore.create("alice", "secret")
    with pytest.raises(WrongPassword) as error:
        keystore.load("alice", "guess")
    assert "guess" not in str(error.value)


def test_an_imported_key_is_the_same_key(keystore: Keystore) -> None:
    key = Key.generate()
    keystore.save("bob", key, "ä password, not ASCII")
    assert keystore.load("bob", "ä password, not ASCII").address == key.address


def test_no_wallet_is_overwritten(keystore: Keystore) -> None:
    key = keystore.create("alice", "secret")
    with pytest.raises(WalletExists):
        keystore.create("alice", "other")
    assert keystore.load("alice", "secret").address == key.address


def test_a_password_is_changed(keystore: Keystore) -> None:
    key = keystore.create("alice", "old")
    keystore.change_password("alice", "old", "new")
    assert keystore.load("alice", "new").address == key.address
    with pytest.raises(WrongPassword):
        keystore.load("alice", "old")
    with pytest.raises(WrongPassword):
        keystore.change_password("alice", "old", "newer")


def test_a_removed_wallet_is_unknown(keystore: Keystore) -> None:
    keystore.create("alice", "secret")
    keystore.remove("alice")
    with pytest.raises(WalletUnknown, match="tally wallet new alice"):
        keystore.load("alice", "secret")
    assert list(keystore.folder.iterdir()) == []


@pytest.mark.parametrize("name", ["", "../alice", "a/b", ".hidden", "a b", "x" * 65])
def test_a_name_is_no_path(keystore: Keystore, name: str) -> None:
    with pytest.raises(KeystoreError):
        keystore.create(name, "secret")


def test_only_the_owner_can_read_it(keystore: Keystore) -> None:
    keystore.create("alice", "secret")
    assert stat.S_IMODE(keystore.find("alice").path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keystore.folder.stat().st_mode) == 0o700


def test_other_files_are_passed_over(keystore: Keystore) -> None:
    keystore.create("alice", "secret")
    (keystore.folder / "notes.json").write_text("[]")
    (keystore.folder / "broken.json").write_text("{")
    assert [wallet.name for wallet in keystore.list()] == ["alice"]


def test_a_file_without_a_key_is_no_keystore(keystore: Keystore) -> None:
    keystore.folder.mkdir()
    (keystore.folder / "alice.json").write_text(json.dumps({"address": "00" * 20}))
    with pytest.raises(KeystoreError, match="no Keystore V3 file"):
        keystore.load("alice", "secret")


@pytest.mark.e2e
def test_cast_opens_what_we_wrote(keystore: Keystore) -> None:
    cast = shutil.which("cast") or find_anvil().parents[2] / "cast/bin.mjs"
    key = keystore.create("alice", "secret")
    command = [str(cast), "wallet", "address", "--keystore", str(keystore.find("alice").path)]
    done = subprocess.run([*command, "--password", "secret"], capture_output=True, text=True, check=True)
    assert done.stdout.strip().lower() == "0x" + key.address.hex()
