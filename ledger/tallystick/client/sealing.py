"""What the purse keeps secret at rest: session keys, and bodies of requests that are not settled.

The sealing key follows from a signature that only the wallet can make, so whoever can pay can open the purse,
and a purse without its wallet is worth nothing.
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tallystick.client.errors import PurseError, WrongWallet
from tallystick.ports import Signer
from tallystick.protocol.eip712 import Domain, digest, hash_struct

_PURPOSE: Final = "PurseKey(address payer)"
"""Signed by the wallet for nobody: the signature itself is the secret, and never leaves the process."""


class Seal:
    """AES-256-GCM under a key derived (HKDF) from the wallet's signature."""

    __slots__ = ("_cipher",)

    def __init__(self, wallet: Signer, domain: Domain):
        message = digest(domain, hash_struct(_PURPOSE, (wallet.address,)))
        signature = wallet.sign_hash(message)[:64]
        if wallet.sign_hash(message)[:64] != signature:
            raise PurseError(
                "The wallet signs the same message differently each time: no key follows from it."
            )
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"tallystick purse").derive(signature)
        self._cipher = AESGCM(derived)

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
