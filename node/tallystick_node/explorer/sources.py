"""The contracts' sources, as the package carries them or the repository has them, each compared with the hash
that the build names."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from tallystick.chain import build
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import to_hex
from tallystick_node.explorer.values import shown

BUILT: Final = ("Market", "Duels", "Audits")
"""Contracts that hold money."""
_OURS: Final = "src/"
"""What is not under it is a library's, and named by its hash alone."""


@shown
class Source:
    path: str
    """That it was compiled under."""
    keccak256: str
    """Of the file that was compiled."""
    text: str | None
    """None: a library's, not carried along."""
    matches: bool
    """The text is the one that was compiled."""

    @property
    def name(self) -> str:
        return self.path.removeprefix(_OURS).removeprefix("node_modules/")


@cache
def sources() -> Sequence[Source]:
    """Of the market, its duels and its audits, their own first."""
    named = {path: digest for name in BUILT for path, digest in build.built(name).sources.items()}
    found = [_source(path, digest) for path, digest in named.items()]
    return sorted(found, key=lambda source: (source.text is None, source.path))


def _source(path: str, digest: str) -> Source:
    file = _folder() / path.removeprefix(_OURS)
    data = file.read_bytes() if path.startswith(_OURS) and file.is_file() else None
    matches = data is not None and to_hex(keccak(data)) == digest
    return Source(path=path, keccak256=digest, text=None if data is None else data.decode(), matches=matches)


def _folder() -> Path:
    packaged = Path(str(files("tallystick_node.explorer") / "contracts"))
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "contracts" / "src"
