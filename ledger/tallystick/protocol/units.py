"""The market's quantities, and the only ways from one to another.

*Token* always means an LLM token. Money is counted in *atoms*, the smallest unit of the settlement asset
(1 USDC = 10**6 atoms). Times are unix seconds unless the name says milliseconds, and ranges are half-open.
"""

from typing import Final, NewType

Tokens = NewType("Tokens", int)
Atoms = NewType("Atoms", int)
AtomsPerMTok = NewType("AtomsPerMTok", int)
"""Price of a million tokens: the same integer, in the same unit, as on chain."""
Timestamp = NewType("Timestamp", int)
"""Unix seconds."""
Milliseconds = NewType("Milliseconds", int)
"""Unix milliseconds, of the clock of whoever signs."""

Address = NewType("Address", bytes)
"""20 bytes. Hex only at the CLI, in JSON and on RPC."""
Hash32 = NewType("Hash32", bytes)
"""32 bytes."""
ChannelId = NewType("ChannelId", bytes)
"""32 bytes: one life (epoch) of one channel."""

MTOK: Final = 1_000_000
ZERO_HASH: Final = Hash32(bytes(32))
ZERO_ADDRESS: Final = Address(bytes(20))


def address(text: str) -> Address:
    """The 20 bytes of `0x…`.

    Raises
    ------
    ValueError :
        Not forty hex digits after `0x`.
    """
    return Address(_from_hex(text, 20))


def hash32(text: str) -> Hash32:
    """The 32 bytes of `0x…`; raises ValueError as `address` does."""
    return Hash32(_from_hex(text, 32))


def _from_hex(text: str, size: int) -> bytes:
    # bytes.fromhex skips white space, so the length is checked before and after.
    if len(text) != 2 + 2 * size or text[:2] != "0x" or len(value := bytes.fromhex(text[2:])) != size:
        raise ValueError(f"expected 0x and {2 * size} hex digits")
    return value


def to_hex(value: bytes) -> str:
    """`0x…`, lower case."""
    return "0x" + value.hex()
