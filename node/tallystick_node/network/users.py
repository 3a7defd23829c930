"""Who is served without paying: users of this node, by API key.

Of a key only its hash is kept. Keys are random (`tally-node user-key`), so one round of SHA-256 keeps them as
secret as a slow hash would.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Final

from tallystick_node.config import ConfigInvalid, UsersConfig, user_keys
from tallystick_node.network.errors import UserUnknown

_PREFIX: Final = "tk-"
_SHORTEST: Final = 16
"""Characters of a key in the environment: shorter ones can be guessed."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a key."""

    name: str
    key_hash: bytes


class Users:
    """All of a node's."""

    def __init__(self, users: Sequence[User]):
        self._users = users

    @classmethod
    def of(cls, config: UsersConfig) -> "Users":
        """Raises ConfigInvalid."""
        users: list[User] = []
        if config.keys_file is not None:
            users += _read_file(config.keys_file)
        users += [
            User(f"{config.keys_env}-{number}", _hash(key))
            for number, key in enumerate(_long_enough(config), start=1)
        ]
        if not users:
            raise ConfigInvalid(
                "[users] names no key: make one with `tally-node user-key FILE NAME` and name the file in "
                "users.keys_file, or set users.keys_env."
            )
        return cls(users)

    def user(self, authorization: str) -> User:
        """Whose key the header brings; raises UserUnknown. Each is compared whole, in a time that tells
        nothing."""
        given = _hash(authorization[7:].strip())
        found = [user for user in self._users if compare_digest(user.key_hash, given)]
        if not found:
            raise UserUnknown("The API key is none of this node's users'.")
        return found[0]


def add_user(path: Path, name: str) -> str:
    """A new key, of which the file gets the hash. Raises ValueError where the name has spaces, or is there
    already; OSError."""
    if not name or len(name.split()) != 1 or name.startswith("#"):
        raise ValueError(f"{name!r} is no name: write one word.")
    try:
        if name in {user.name for user in _read_file(path)}:
            raise ValueError(f"{name} has a key already: remove its line from {path} first.")
    except ConfigInvalid as error:
        if path.exists():
            raise ValueError(str(error)) from error
    key = _PREFIX + secrets.token_urlsafe(32)
    path.touch(mode=0o600)
    with path.open("a") as file:
        file.write(f"{name} {_hash(key).hex()}\n")
    return key


def is_bearer(authorization: str) -> bool:
    """Whether somebody comes as a user, and not as a payer."""
    return authorization[:7].lower() == "bearer "


def _hash(key: str) -> bytes:
    return sha256(key.encode(errors="surrogateescape")).digest()


def _read_file(path: Path) -> list[User]:
    """`name hash` a line; # begins a comment."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"The users' keys {path} cannot be read: {error}.") from error
    users: list[User] = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            name, text = words
            users.append(User(name, bytes.fromhex(text)))
            if len(users[-1].key_hash) != sha256().digest_size:
                raise ValueError
        except ValueError as error:
            raise ConfigInvalid(f"{path}, line {number}: not a name and the SHA-256 of a key.") from error
    return users


def _long_enough(config: UsersConfig) -> list[str]:
    keys = user_keys(config)
    for number, key in enumerate(keys, start=1):
        if len(key) < _SHORTEST:
            raise ConfigInvalid(
                f"Key {number} in {config.keys_env} has less than {_SHORTEST} characters: it can be guessed."
            )
    return keys
