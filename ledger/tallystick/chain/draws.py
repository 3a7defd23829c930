"""The block that draws a receipt, and how the contract is shown that it is that one: its header and its
parent's, in RLP as the chain hashes them.

A header is believed once its hash is the block's. It decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tallystick.chain.blocks import read_block
from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.rpc import Rpc, quantity
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.lottery import Block
from tallystick.protocol.units import hash32, to_hex

_WORDS: Final = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot")
_NUMBERS: Final = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")
_LATER: Final = (
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
    "blockAccessListHash",
)
"""That hard forks added, in their order; a chain has the first of them, up to some."""
_SCALARS: Final = {*_NUMBERS, "baseFeePerGas", "blobGasUsed", "excessBlobGas"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A block that draws."""

    block: Block
    header: bytes
    parent: bytes
    """Of the block before, which was too early."""


def drawing(rpc: Rpc, block: Block) -> Drawing:
    """Of a block that draws, as `Timeline` finds it. Raises ChainUnavailable."""
    answer, before = (
        rpc.call("eth_getBlockByNumber", hex(number), False) for number in (block.number, block.number - 1)
    )
    parent = read_block(before, block.number - 1)
    return Drawing(
        block=block,
        header=header_of(answer, to_hex(block.hash)),
        parent=header_of(before, parent.hash),
    )


def header_of(block: Mapping[str, Any], expected: str) -> bytes:
    """RLP of a block as a node gives it; raises ChainUnavailable where that is not what the hash is of, as on
    chains whose headers have other fields."""
    try:
        fields = [_bytes(block[name]) for name in _WORDS] + [_bytes(block["logsBloom"])]
        fields += [_scalar(block[name]) for name in _NUMBERS]
        fields += [_bytes(block[name]) for name in ("extraData", "mixHash", "nonce")]
        for name in _LATER:
            if block.get(name) is None:
                break
            fields.append(_scalar(block[name]) if name in _SCALARS else _bytes(block[name]))
    except (KeyError, ValueError, TypeError) as error:
        raise ChainUnavailable("The node answered something that is no block.") from error
    header = _list(fields)
    if keccak(header) != hash32(expected):
        raise ChainUnavailable("The block's header is not what its hash is of: this chain has another kind.")
    return header


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError("no bytes")
    return bytes.fromhex(value[2:])


def _scalar(value: object) -> bytes:
    number = quantity(value, bits=256)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _list(fields: Sequence[bytes]) -> bytes:
    return _framed(b"".join(map(_item, fields)), 0xC0)


def _item(value: bytes) -> bytes:
    return value if len(value) == 1 and value[0] < 0x80 else _framed(value, 0x80)


def _framed(content: bytes, kind: int) -> bytes:
    if len(content) <= 55:
        return bytes((kind + len(content),)) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((kind + 55 + len(size),)) + size + content
