"""What `scripts/bench` found that one index, one gateway and one payer do: read from the files that its
`--json` writes, where they say it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final


class BadBench(ValueError):
    """A file that `scripts/bench` did not write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benched:
    """As it stands here: two cores that nothing else ran on, in November 2026."""

    index_events_s: float = 4_456.0
    """That one index reads in a second, into SQLite (`scripts/bench index`)."""
    requests_s: float = 1_215.0
    """Of one core of a gateway (`scripts/bench`)."""
    read_s: float = 1.3e6
    """Bytes that a payer reads in a second while it asks, where 1,000 providers sell its model
    (`scripts/bench gossip`)."""


_ROWS: Final[Mapping[tuple[str, str], tuple[str, Callable[[float], float]]]] = {
    ("the explorer's index", "from a made node, into SQLite"): ("index_events_s", lambda found: found),
    ("What a request costs the gateway", "CPU of one at 16, ours"): (
        "requests_s",
        lambda microseconds: 1e6 / microseconds,
    ),
    ("what a payer reads of a node that knows 1,000 rated providers", "it reads"): (
        "read_s",
        lambda kilobytes: 1e3 * kilobytes,
    ),
}
"""By section and name: the field that a row says, and how."""


def benched(files: Iterable[Path]) -> Benched:
    """What these say, and the rest as it stands above. Raises BadBench, OSError."""
    found: dict[str, float] = {}
    for file in files:
        rows = _read(file)
        try:
            said = {
                field: of(float(row["value"]))
                for row in rows
                for field, of in [_ROWS.get((str(row["section"]), str(row["name"])), ("", float))]
                if field
            }
        except (ArithmeticError, TypeError, ValueError) as error:
            raise BadBench(f"{file}: {error}") from error
        if not said:
            raise BadBench(f"{file}: no figure that is asked for; known are {_known()}")
        found |= said
    return replace(Benched(), **found)


def _known() -> str:
    return "; ".join(f"{section}: {name}" for section, name in _ROWS)


def _read(file: Path) -> Sequence[Mapping[str, str]]:
    try:
        rows = json.loads(file.read_text(encoding="utf-8-sig"))
        if all({"section", "name", "value"} <= row.keys() for row in rows):
            return list(rows)
    except (AttributeError, TypeError, ValueError) as error:
        raise BadBench(f"{file}: {error}") from error
    raise BadBench(f"{file}: its rows have no section, name and value")
