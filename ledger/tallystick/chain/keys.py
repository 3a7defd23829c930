"""Wallet keys on disk: Keystore V3 files, which `cast wallet` and every other Ethereum wallet open.

One folder, one file a name. A file appears whole or not at all, and only its owner can read it. It knows no
chain; where the folder is, the caller says.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

import orjson

from tallystick.chain.errors import KeystoreError, WalletExists, WalletUnknown, WrongPassword
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address, address

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch
_SCRYPT_N: Final = 1 << 18
"""As every wallet's: about a second and 256 MB for each guess at a password."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """A key that is on disk; its password is elsewhere."""

    name: str
    address: Address
    path: Path


_MOST_WORK: Final = {"c": 1 << 23, "n": 1 << 20, "r": 16, "p": 16, "dklen": 64}
"""Parameters of PBKDF2 and scrypt: seconds, and 2 GiB, at most."""


class Keystore:
    """The wallets of one folder."""

    def __init__(self, folder: Path, *, scrypt_n: int = _SCRYPT_N):
        self.folder = folder
        self._scrypt_n = scrypt_n

    def list(self) -> Sequence[Wallet]:
        """By name. Files that are no keystores are passed over."""
        found = (self._wallet(path) for path in sorted(self.folder.glob("*.json")))
        return [wallet for wallet in found if wallet is not None]

    def find(self, name: str) -> Wallet:
        """Raises WalletUnknown."""
        path = self._path(name)
        wallet = self._wallet(path) if path.exists() else None
        if wallet is None:
            known = ", ".join(wallet.name for wallet in self.list()) or "none"
            raise WalletUnknown(
                f"There is no wallet {name} in {self.folder} (there are: {known}). Make one with "
                f"`tally wallet new {name}`."
            )
        return wallet

    def create(self, name: str, password: str) -> Key:
        """A new key; raises WalletExists."""
        key = Key.generate()
        self.save(name, key, password)
        return key

    def save(self, name: str, key: Key, password: str) -> None:
        """A key made elsewhere; raises WalletExists."""
        try:
            self._write(name, key, password, anew=True)
        except FileExistsError as error:
            raise WalletExists(
                f"There is a wallet {name} in {self.folder} already. Choose another name."
            ) from error

    def load(self, name: str, password: str) -> Key:
        """Raises WalletUnknown, or WrongPassword."""
        return open_keystore(self.find(name).path, password)

    def change_password(self, name: str, old: str, new: str) -> None:
        """Raises WalletUnknown, or WrongPassword."""
        self._write(name, self.load(name, old), new, anew=False)

    def remove(self, name: str) -> None:
        """Raises WalletUnknown. What the key owns is lost with it."""
        self.find(name).path.unlink()

    def _path(self, name: str) -> Path:
        if not _NAME(name):
            raise KeystoreError(
                f"{name!r} cannot name a wallet: use letters, digits, dots, dashes, underscores, 64 at most."
            )
        return self.folder / f"{name}.json"

    def _wallet(self, path: Path) -> Wallet | None:
        content = _content(path)
        try:
            text = str(content["address"]).removeprefix("0x").lower()
            return Wallet(path.stem, address(f"0x{text}"), path)
        except (KeyError, ValueError):
            return None

    def _write(self, name: str, key: Key, password: str, *, anew: bool) -> None:
        from eth_keyfile.keyfile import create_keyfile_json

        path = self._path(name)
        content = create_keyfile_json(
            key.secret, password.encode(), kdf="scrypt", iterations=self._scrypt_n, salt_size=32
        )
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # NamedTemporaryFile makes its files 0600.
        with NamedTemporaryFile("w", dir=self.folder, prefix=".", delete=False) as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        written = Path(file.name)
        try:
            if anew:
                path.hardlink_to(written)  # Fails where a file is, whoever made it meanwhile.
            else:
                written.replace(path)
        finally:
            written.unlink(missing_ok=True)


def open_keystore(path: Path, password: str) -> Key:
    """The key in a file, wherever it lies; raises WrongPassword, or KeystoreError."""
    from eth_keyfile.keyfile import decode_keyfile_json  # Half a second: only where a key is opened.

    content = _content(path)
    _require_affordable(path, content)
    try:
        return Key(decode_keyfile_json(dict(content), password.encode()))
    except ValueError as error:
        raise WrongPassword(f"The password of the wallet {path.stem} is another one.") from error
    except (KeyError, TypeError, NotImplementedError) as error:
        raise KeystoreError(f"{path} is no Keystore V3 file ({error!r}).") from error


def _require_affordable(path: Path, content: Mapping[str, Any]) -> None:
    """A file says itself how much work its password is; raises KeystoreError where no wallet asks so much."""
    crypto = content.get("crypto", content.get("Crypto"))
    asked = crypto.get("kdfparams") if isinstance(crypto, dict) else None
    for name, most in _MOST_WORK.items():
        value = asked.get(name, 1) if isinstance(asked, dict) else 1
        if type(value) is not int or value > most:
            raise KeystoreError(f"{path} asks for more work than any wallet: its {name} is {value!r:.40}.")


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
