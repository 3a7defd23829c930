"""EIP-712 hashing of typed data, strict: nothing is coerced.

https://eips.ethereum.org/EIPS/eip-712. A value of the wrong type or range is a TypeError, because what gets
signed must be what was meant. It knows no key and no message of the market.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

import sha3

from tallystick.protocol.units import Address, Hash32


def keccak(data: bytes) -> Hash32:
    """Keccak-256, as Ethereum means it."""
    return Hash32(sha3.keccak_256(data).digest())


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
    type_hash, kinds = _parsed(type_string)
    if len(kinds) != len(values):
        raise TypeError(f"{len(values)} values for {len(kinds)} fields")
    return keccak(type_hash + b"".join(map(_encoded, kinds, values)))


@cache
def _parsed(type_string: str) -> tuple[Hash32, tuple[str, ...]]:
    """Type hash and field kinds of the first struct in the string."""
    fields = type_string[type_string.index("(") + 1 : type_string.index(")")]
    return keccak(type_string.encode()), tuple(item.split(" ")[0] for item in fields.split(","))


def _encoded(kind: str, value: object) -> bytes:
    match kind, value:
        case "address", bytes() if len(value) == 20:
            return value.rjust(32, b"\0")
        case "bytes32", bytes() if len(value) == 32:
            return value
        case "string", str():
            return keccak(value.encode())
        case _, int() if kind.startswith("uint") and not isinstance(value, bool):
            if 0 <= value < 1 << int(kind[4:]):
                return value.to_bytes(32, "big")
        case _, bytes() if kind[0].isupper() and len(value) == 32:
            return value
    raise TypeError(f"{value!r} is not a {kind}")
