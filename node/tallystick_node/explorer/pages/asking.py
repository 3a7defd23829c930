"""What pages of single things share: what they are asked with, and the chain's node behind the index."""

from collections.abc import Awaitable
from typing import Annotated, TypeVar

from fastapi import Path

from tallystick.chain.errors import ChainError
from tallystick.protocol.units import hash32
from tallystick_node.explorer.errors import Malformed, Unavailable
from tallystick_node.explorer.paging import Cut

T = TypeVar("T")

BlockNumber = Annotated[int, Path(ge=0, lt=2**63)]
LogIndex = Annotated[int, Path(ge=0, lt=2**31)]
Sequence = Annotated[int, Path(ge=0, lt=2**63)]
FEW = Cut(limit=10)
"""Rows of a list that stands on another thing's page; its own page has them all."""


def block_name(text: str) -> int | bytes:
    """A number, or a hash; raises Malformed."""
    if text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) < 1 << 63:
        return int(text)
    try:
        return hash32(text)
    except ValueError as error:
        raise Malformed("A block is named by its number, or by its hash: 0x and 64 hex digits.") from error


async def told_by_node(answer: Awaitable[T]) -> T:
    """Raises Unavailable where the node does not answer, or refuses."""
    try:
        return await answer
    except ChainError as error:
        raise Unavailable(str(error)) from error
