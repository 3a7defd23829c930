"""What it takes to get a report's figures again beside the seed and what was asked for: which code ran, on
which files, with which constants. It knows no report.
"""

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from importlib import import_module, metadata
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Any, Final

from tallystick.client import (
    avoidance,
    choose,
    drawing,
    haggling,
    looking,
    ordering,
    record,
    refusals,
    rules,
    sight,
    standing,
    steering,
)
from tallystick.client.rules import quoted
from tallystick.protocol import duel, hearsay, length, lottery, panel, quote, rating, speed, strikes
from tallystick_node.gateway import admission, quoting, settling
from tallystick_node.network import lobby, participation, policies, talk
from tallystick_node.network.policies import ByLoad
from tallystick_node.sim.links import Links
from tallystick_node.sim.news import Hearing
from tallystick_node.sim.settings import FOLLOWING

_PACKAGES: Final = ("tallystick", "tallystick_node")
_DATA: Final = "data"
LIVE: Final = (
    *(
        avoidance,
        choose,
        drawing,
        haggling,
        looking,
        ordering,
        record,
        refusals,
        rules,
        sight,
        standing,
        steering,
    ),
    *(duel, hearsay, length, lottery, panel, quote, rating, speed, strikes),
    *(admission, quoting, settling, lobby, participation, policies, talk),
)
"""Modules of the live code by whose constants a simulated market goes."""


@cache
def code() -> Mapping[str, str]:
    """`source`: SHA-256 of both packages' Python files, by path: the version stays alike between releases."""
    digest = sha256()
    for package in _PACKAGES:
        root = Path(str(files(package)))
        for file in sorted(root.rglob("*.py")):
            digest.update(f"{package}/{file.relative_to(root).as_posix()}\0".encode())
            digest.update(sha256(file.read_bytes()).digest())
    return {
        "version": metadata.version("tallystick"),
        "source": digest.hexdigest(),
        "python": platform.python_version(),
    }


def named_file(path: Path) -> Mapping[str, str]:
    """Its name and its SHA-256: where it lay is nobody's business. Raises OSError."""
    return {"name": path.name, "sha256": sha256(path.read_bytes()).hexdigest()}


def chosen_file(path: Path | None, otherwise: str) -> Mapping[str, str]:
    """The caller's, or the one that comes along."""
    return packaged_file(otherwise) if path is None else named_file(path)


def packaged_file(name: str) -> Mapping[str, str]:
    """The same, of one that comes along."""
    return {"name": name, "sha256": sha256(files(__package__).joinpath(_DATA, name).read_bytes()).hexdigest()}


def constants(modules: Sequence[str]) -> Mapping[str, object]:
    """Numbers and words that the constants of these modules of the simulator hold, and of the live code that
    decides, as "settings.SLOTS"; and what the rule, policies, links and news are where nothing is said."""
    usual = quoted, ByLoad(), FOLLOWING, Links(), Hearing()
    found: dict[str, object] = {type(item).__name__: _plain(item) for item in usual}
    for module in (*LIVE, *(import_module(f"{__package__}.{name}") for name in modules)):
        place = module.__name__.rpartition(".")[2]
        for name, value in vars(module).items():
            if name.isupper():
                with suppress(_NotPlain):
                    found[f"{place}.{name}"] = _plain(value)
    return found


class _NotPlain(TypeError):
    """Neither a number, nor a word, nor a collection of such."""


def _plain(value: Any) -> object:
    """As JSON has it. Raises _NotPlain."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {_word(key): _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(map(str, value))
    if isinstance(value, tuple | list | range):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.repr}
    raise _NotPlain(type(value).__name__)


def _word(key: object) -> str:
    return " on ".join(key) if isinstance(key, tuple) else str(key)
