"""Whether the explorer shows every duel, finds nothing wrong in any, and computes the same strengths. It asks
what any visitor may."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from tallystick.protocol.units import Address, Hash32, to_hex

PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """What it says."""

    asked: int
    ended: int
    """Duels that it knows, and whose money has moved."""
    steps: int
    """That it checked again, of all of them, …"""
    wrong: Mapping[str, int]
    """… and those that did not hold, by name."""
    unsaid: Mapping[str, int]
    """Those of which nothing can be said yet."""
    strengths: Mapping[Address, float | None]


def explored(visitor: httpx2.Client, duels: Iterable[Hash32], providers: Iterable[Address]) -> Explored:
    """Asks the visitor's explorer for each of these, no faster than it lets anyone ask."""
    wrong: Counter[str] = Counter()
    unsaid: Counter[str] = Counter()
    asked = ended = steps = 0
    for duel in duels:
        asked += 1
        found = _found(visitor, f"/api/duel/{to_hex(duel)}")
        ended += found.get("duel", {}).get("state") == "ended"
        for step in found.get("steps", ()):
            steps += 1
            wrong[step["name"]] += step["holds"] is False
            unsaid[step["name"]] += step["holds"] is None
    strengths = {
        provider: _found(visitor, f"/api/provider/{to_hex(provider)}").get("strength")
        for provider in providers
    }
    return Explored(asked=asked, ended=ended, steps=steps, wrong=+wrong, unsaid=+unsaid, strengths=strengths)


def _found(visitor: httpx2.Client, path: str) -> Any:
    while (answer := visitor.get(path)).status_code == httpx2.codes.TOO_MANY_REQUESTS:
        time.sleep(int(answer.headers["Retry-After"]))
    return answer.json() if answer.status_code == httpx2.codes.OK else {}
