"""What the purse keeps secret at rest: session keys, and bodies of requests that are not settled.

The sealing key follows from a signature that only the wallet can make, so whoever can pay can open the purse,
and a purse without its wallet is worth nothing. The session keys follow from it too: a wallet that has lost
its purse finds them again, by trying all the slots that one may have been drawn from.
"""

import hmac
import os
from collections.abc import Collection, Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tallystick.client.errors import PurseError, WrongWallet
from tallystick.ports import Signer
from tallystick.protocol.eip712 import Domain, digest, hash_struct
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address

SLOTS: Final = 1 << 17
"""Session keys that a wallet can have. So many that two purses of one wallet, on two machines, hardly ever
draw the same, and so few that all can be tried."""
_PURPOSE: Final = "PurseKey(address payer)"
"""Signed by the wallet for nobody: the signature itself is the secret, and never leaves the process."""


class Seal:
    """AES-256-GCM, and session keys, under keys derived (HKDF) from the wallet's signature."""

    __slots__ = ("_cipher", "_sessions")

    def __init__(self, wallet: Signer, domain: Domain):
        message = digest(domain, hash_struct(_PURPOSE, (wallet.address,)))
        signature = wallet.sign_hash(message)[:64]
        if wallet.sign_hash(message)[:64] != signature:
            raise PurseError(
                "The wallet signs the same message differently each time: no key follows from it."
            )
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"tallystick purse").derive(signature)
        self._cipher = AESGCM(derived)
        self._sessions = HKDF(
            algorithm=SHA256(), length=32, salt=None, info=b"tallystick session keys"
        ).derive(signature)

    def session_key(self, slot: int) -> Key:
        """The slot's, the same for ever. Unlike a signature, nobody but the wallet can tell it."""
        secret = hmac.digest(self._sessions, slot.to_bytes(4, "big"), "sha256")
        return Key(secret)

    def find_sessions(self, wanted: Collection[Address]) -> Mapping[Address, Key]:
        """Those of the wanted keys that are ours; some ten seconds at most."""
        found: dict[Address, Key] = {}
        for slot in range(SLOTS):
            if len(found) == len(wanted):
                break
            key = self.session_key(slot)
            if key.address in wanted:
                found[key.address] = key
        return found

    def close_over(self, secret: bytes, *, name: bytes) -> bytes:
        """The secret sealed, good only under the same `name`."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, secret, name)

    def open(self, sealed: bytes, *, name: bytes) -> bytes:
        """Raises WrongWallet."""
        try:
            return self._cipher.decrypt(sealed[:12], sealed[12:], name)
        except InvalidTag as error:
            raise WrongWallet("This purse was sealed by another wallet.") from error
