"""EIP-712 hashing of typed data, strict: nothing is coerced.

https://eips.ethereum.org/EIPS/eip-712. A value of the wrong type or range is a TypeError, because what gets
signed must be what was meant. It knows no key and no message of the market.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Protocol

import sha3

from tallystick.protocol.units import Address, Hash32

_keccak_256: Final = sha3.keccak_256


def keccak(data: bytes) -> Hash32:
    """Keccak-256, as Ethereum means it."""
    hashed: Hash32 = _keccak_256(data).digest()
    return hashed


def named(text: bytes, *words: bytes) -> Hash32:
    """keccak256(abi.encode("text", word, …)) of a text of at most 32 bytes: what is drawn or signed for by a
    name of its own."""
    head = (32 * (1 + len(words))).to_bytes(32, "big") + b"".join(word.rjust(32, b"\0") for word in words)
    return keccak(head + len(text).to_bytes(32, "big") + text.ljust(32, b"\0"))


class Typed(Protocol):
    """A message with an EIP-712 type."""

    def struct_hash(self) -> Hash32: ...


_DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Where a signature holds: one contract on one chain."""

    chain_id: int
    contract: Address
    """20 bytes: the Market."""
    separator: Hash32 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        values = ("Tallystick", "1", self.chain_id, self.contract)
        object.__setattr__(self, "separator", hash_struct(_DOMAIN_TYPE, values))


def digest(domain: Domain, struct_hash: Hash32) -> Hash32:
    """The 32 bytes that get signed."""
    return keccak(b"\x19\x01" + domain.separator + struct_hash)


def hash_struct(type_string: str, values: tuple[object, ...]) -> Hash32:
    """keccak(typeHash ‖ encoded values), the values in the order of the type string's fields.

    A field of struct type takes the 32 bytes of that struct's own hash.

    Raises
    ------
    TypeError :
        A value is not exactly of its field's type, or out of its range.
    """
    type_hash, encoders = _encoding(type_string)
    if len(encoders) != len(values):
        raise TypeError(f"{len(values)} values for {len(encoders)} fields")
    return keccak(
        type_hash + b"".join([encode(value) for encode, value in zip(encoders, values, strict=True)])
    )


Encoder = Callable[[object], bytes]
"""One value as its 32 bytes; TypeError where it is not of the encoder's kind."""


@cache
def _encoding(type_string: str) -> tuple[Hash32, tuple[Encoder, ...]]:
    """Type hash of a type string, and an encoder for each field of its first struct."""
    fields = type_string[type_string.index("(") + 1 : type_string.index(")")]
    return keccak(type_string.encode()), tuple(_encoder(item.split(" ")[0]) for item in fields.split(","))


def _encoder(kind: str) -> Encoder:
    if kind == "string":
        return _encode_string
    if kind.startswith("uint"):
        return _uint_encoder(int(kind[4:]))
    assert kind in ("address", "bytes32") or kind[0].isupper(), kind
    return _bytes_encoder(20 if kind == "address" else 32)


def _encode_string(value: object) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    try:
        return keccak(value.encode())
    except UnicodeEncodeError as error:
        raise TypeError("a string with half a surrogate pair has no UTF-8") from error


def _uint_encoder(bits: int) -> Encoder:
    limit = 1 << bits

    def encode(value: object) -> bytes:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
            raise TypeError(f"{value!r} is not a uint{bits}")
        return value.to_bytes(32, "big")

    return encode


def _bytes_encoder(size: int) -> Encoder:
    def encode(value: object) -> bytes:
        if not isinstance(value, bytes) or len(value) != size:
            raise TypeError(f"{value!r} is not {size} bytes")
        return value.rjust(32, b"\0")

    return encode
