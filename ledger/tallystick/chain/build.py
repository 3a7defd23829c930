"""Whether a contract on a chain is the one that these sources give: byte by byte, but for the values that its
constructor was given, which are shown.

It asks no node: whoever calls it has the code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

WORD: Final = 32
"""Bytes of a constructor's value in the code."""


@dataclass(frozen=True, slots=True)
class Build:
    """What the compiler left of one contract."""

    deployed: bytes
    """The code as it would stay on the chain, zeros where the constructor's values come."""
    immutables: Mapping[str, tuple[int, ...]]
    """Where each value stands in it: every use has its own copy."""
    compiler: str
    settings: Mapping[str, Any]
    sources: Mapping[str, str]
    """keccak-256 of each file, as `0x…`, by the path that it was compiled under."""

    @classmethod
    def of(cls, artifact: Mapping[str, Any]) -> "Build":
        start, length = artifact["deployed"]["start"], artifact["deployed"]["length"]
        return cls(
            deployed=bytes.fromhex(artifact["bytecode"].removeprefix("0x"))[start : start + length],
            immutables={name: tuple(places) for name, places in artifact["immutables"].items()},
            compiler=artifact["compiler"],
            settings=artifact["settings"],
            sources=artifact["sources"],
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison of code with a build found."""

    same: bool
    """All of it is the build's, but for the constructor's values."""
    differs_at: int | None
    """The first byte that is not, or the shorter one's length where one is longer."""
    values: Mapping[str, bytes | None]
    """The constructor's, 32 bytes each, by the immutable's name; none where its copies disagree."""


@cache
def built(name: str) -> Build:
    """Of a contract that holds money: `Market`, `Duels` or `Audits`."""
    artifact = files("tallystick.chain") / "artifacts" / f"{name}.json"
    return Build.of(orjson.loads(artifact.read_bytes()))


def market() -> Build:
    return built("Market")


def compare(build: Build, code: bytes) -> Comparison:
    """`code` as the chain has it, with the build. The values are for the caller to judge."""
    masked = bytearray(code)
    values: dict[str, bytes | None] = {}
    for name, places in build.immutables.items():
        copies = {code[place : place + WORD] for place in places}
        (values[name],) = copies if len(copies) == 1 else (None,)
        for place in places:
            masked[place : place + WORD] = bytes(len(code[place : place + WORD]))
    differs_at = _first_difference(build.deployed, bytes(masked))
    same = differs_at is None and None not in values.values()
    return Comparison(same, differs_at, values)


def _first_difference(left: bytes, right: bytes) -> int | None:
    if left == right:
        return None
    shorter = min(len(left), len(right))
    return next((place for place in range(shorter) if left[place] != right[place]), shorter)
