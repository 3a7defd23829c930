"""Signatures, and the type that proves they were checked.

`Signed` comes off the wire and proves nothing. Only `verify` makes a `Verified`, and what moves money takes
nothing else. secp256k1 with low s, 65 bytes or EIP-2098; a key here is one held in memory, a port elsewhere.
"""

from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from coincurve import PrivateKey, PublicKey

from tallystick.protocol.eip712 import Domain, Typed, digest, keccak
from tallystick.protocol.errors import MalformedSignature, WrongSigner
from tallystick.protocol.units import Address, Hash32

M = TypeVar("M", bound=Typed)
M_co = TypeVar("M_co", bound=Typed, covariant=True)

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HALF_ORDER: Final = _ORDER // 2


@dataclass(frozen=True, slots=True)
class Signed(Generic[M_co]):
    """A message and what claims to be its signature."""

    message: M_co
    signature: bytes = field(repr=False)
    """65 bytes r ‖ s ‖ v, or 64 bytes r ‖ yParityAndS (EIP-2098), or anything: it came off the wire."""


@dataclass(frozen=True, slots=True)
class Verified(Generic[M]):
    """Made by `verify`, and by `sign` of what one signed oneself; by nobody else."""

    message: M
    signature: bytes = field(repr=False)
    """As given: good enough to present on chain."""
    signer: Address

    @property
    def signed(self) -> Signed[M]:
        return Signed(self.message, self.signature)


class Key:
    """A private key in memory that signs hashes. Its text form never shows the secret.

    Raises
    ------
    ValueError :
        Not 32 bytes, zero, or not under the curve's order.
    """

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes):
        if len(secret) != 32:  # coincurve would pad it to another key
            raise ValueError("a private key has 32 bytes")
        self._key = PrivateKey(secret)
        self.address = _address(self._key.public_key)

    @classmethod
    def generate(cls) -> "Key":
        return cls(PrivateKey().secret)

    @property
    def secret(self) -> bytes:
        """32 bytes. For keystores only."""
        return self._key.secret

    def sign_hash(self, digest: Hash32) -> bytes:
        """65 bytes, low s, v 27 or 28."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((signature[64] + 27,))

    def __repr__(self) -> str:
        return f"Key({self.address.hex()})"


def sign(message: M, domain: Domain, key: Key) -> Verified[M]:
    """The message under `key`'s signature; what one signed oneself needs no check."""
    return Verified(message, key.sign_hash(digest(domain, message.struct_hash())), key.address)


def verify(signed: Signed[M], domain: Domain, *, signer: Address) -> Verified[M]:
    """The message, once it is proven that `signer` signed it.

    Raises
    ------
    MalformedSignature :
        Not a signature in one of the two forms, or one with high s.
    WrongSigner :
        Somebody else signed it, or nobody.
    """
    actual = recover(digest(domain, signed.message.struct_hash()), signed.signature)
    if actual != signer:
        raise WrongSigner(
            "The signature is somebody else's.", required="0x" + signer.hex(), actual="0x" + actual.hex()
        )
    return Verified(signed.message, signed.signature, actual)


def recover(digest: Hash32, signature: bytes) -> Address:
    """Who signed `digest`; raises MalformedSignature."""
    r, s, parity = _parts(signature)
    if s > _HALF_ORDER:
        raise MalformedSignature("The signature's s is in the upper half of the curve's order.")
    try:
        compact = r + s.to_bytes(32, "big") + bytes((parity,))
        return _address(PublicKey.from_signature_and_message(compact, digest, hasher=None))
    except Exception as error:  # coincurve raises bare Exception and ValueError alike
        raise MalformedSignature("No key made this signature.") from error


def compact(signature: bytes) -> tuple[bytes, bytes]:
    """(r, vs) as EIP-2098 has them, for calldata; raises MalformedSignature."""
    r, s, parity = _parts(signature)
    return r, (s | parity << 255).to_bytes(32, "big")


def _parts(signature: bytes) -> tuple[bytes, int, int]:
    if len(signature) == 65:
        if signature[64] not in (27, 28):
            raise MalformedSignature("The last byte is 27 or 28.", required=27, actual=signature[64])
        return signature[:32], int.from_bytes(signature[32:64], "big"), signature[64] - 27
    if len(signature) == 64:
        vs = int.from_bytes(signature[32:], "big")
        return signature[:32], vs & (1 << 255) - 1, vs >> 255
    raise MalformedSignature("A signature has 64 or 65 bytes.", required=65, actual=len(signature))


def _address(key: PublicKey) -> Address:
    return Address(keccak(key.format(compressed=False)[1:])[12:])
