"""Which engine on which machine: the constants of a simulated engine, from the table that comes along or from
a pool file. It knows no offers and no prices.

A pool file is a CSV with a header. A row names a model and a GPU of the table, and how many there are; a row
that fills the constants' columns as well needs no entry there:

    model,gpu,count
    Qwen3-8B,H100,1
    Qwen3-8B,A100,2
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Final

from tallystick.protocol.speed import Speed
from tallystick.protocol.units import Tokens

PROFILES: Final = "engine_profiles.csv"
TIMES: Final = ("t0_ms", "beta_ms_per_seq", "weights_ms", "ms_per_token_compute", "kv_ms_per_ctx_token")
"""Milliseconds; the fields of `Speed` in their order."""
COUNTS: Final = ("kv_capacity_tokens", "max_batched_tokens", "max_num_seqs")
_MS: Final = 10**9
"""Picoseconds."""
MOST: Final = 100_000
"""Engines in a pool."""


class BadPool(ValueError):
    """A pool file that cannot be read, and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """One engine."""

    name: str
    """As "Qwen3-8B on H100"."""
    speed: Speed
    slots: int
    """Sequences at a time."""


def hardware(model: str, gpu: str) -> Hardware:
    """Of the table. Raises BadPool where it has no such row."""
    found = profiles().get((model, gpu))
    if found is not None:
        return found
    models = sorted({known for known, _ in profiles()})
    if model not in models:
        raise BadPool(f"no model {model!r} is known; known are {', '.join(models)}")
    gpus = sorted({known for its, known in profiles() if its == model})
    raise BadPool(f"{model} on {gpu!r} is not known; known are {', '.join(gpus)}")


@cache
def profiles() -> Mapping[tuple[str, str], Hardware]:
    """By model and GPU."""
    text = files(__package__).joinpath("data", PROFILES).read_text(encoding="utf-8")
    return {(row["model"], row["gpu"]): _own(row) for row in csv.DictReader(text.splitlines())}


def read_pool(path: Path) -> tuple[Hardware, ...]:
    """Raises BadPool."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadPool(f"{path}: it is no text in UTF-8") from error
    except OSError as error:
        raise BadPool(f"{path}: {error.strerror or error}") from error
    return pool(text.splitlines(), name=str(path))


def pool(lines: Iterable[str], *, name: str) -> tuple[Hardware, ...]:
    """The engines of a pool file, in its order. Raises BadPool, which names the line."""
    rows = csv.DictReader((line for line in lines if line.strip()), skipinitialspace=True)
    heads = [head.strip() for head in rows.fieldnames or ()]
    rows.fieldnames = heads
    known = ("model", "gpu", "count", *TIMES, *COUNTS)
    if missing := [head for head in known[:2] if head not in heads]:
        raise BadPool(f"{name}: its first line has no column {' and no '.join(missing)}")
    if unknown := [head for head in heads if head not in (*known, "prefill_tok_s")]:
        raise BadPool(f"{name}: unknown columns {', '.join(unknown)}; known are {', '.join(known)}")
    found: list[Hardware] = []
    for number, row in enumerate(rows, start=2):
        try:
            count = 1 if not (row.get("count") or "").strip() else _whole(row, "count")
            if len(found) + count > MOST:
                raise BadPool(f"more than {MOST} engines")
            found += [_of(row)] * count
        except BadPool as error:
            raise BadPool(f"{name}, row {number}: {error}") from error
    if not found:
        raise BadPool(f"{name}: it names no engine")
    return tuple(found)


def _of(row: Mapping[str, str | None]) -> Hardware:
    constants = (*TIMES, *COUNTS)
    if None in row:
        raise BadPool("it has more fields than the first line has names")
    filled = [head for head in constants if (row.get(head) or "").strip()]
    if not filled:
        return hardware((row["model"] or "").strip(), (row["gpu"] or "").strip())
    if missing := [head for head in constants if head not in filled]:
        raise BadPool(f"constants of one's own need {', '.join(missing)} as well")
    return _own(row)


def _own(row: Mapping[str, str | None]) -> Hardware:
    fixed, sequence, weights, token, context = (round(_MS * _time(row, head)) for head in TIMES)
    capacity, chunk, slots = (_whole(row, head) for head in COUNTS)
    if not any((fixed, sequence, weights, token)):
        raise BadPool("all its times are 0: an engine takes some")
    return Hardware(
        name=f"{(row['model'] or '').strip()} on {(row['gpu'] or '').strip()}",
        speed=Speed(
            fixed=fixed,
            sequence=sequence,
            weights=weights,
            token=token,
            context=context,
            capacity=Tokens(capacity),
            chunk=Tokens(chunk),
        ),
        slots=slots,
    )


def _time(row: Mapping[str, str | None], head: str) -> float:
    try:
        value = float(row[head] or "")
    except ValueError:
        value = -1.0
    if not (isfinite(value) and 0 <= value < 1e6):
        raise BadPool(f"{head} is to be milliseconds, not {row[head]!r}")
    return value


def _whole(row: Mapping[str, str | None], head: str) -> int:
    text = (row[head] or "").strip()
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 32):
        raise BadPool(f"{head} is to be a whole number above 0, not {text!r}")
    return int(text)


def twelve() -> tuple[Hardware, ...]:
    """Qwen3-8B on twelve machines that differ by an order of magnitude."""
    gpus = ("H100", "A100", "A100", "L40S", "A6000", "A6000", "RTX5090", "RTX4090", "RTX4090", "RTX3090")
    return tuple(hardware("Qwen3-8B", gpu) for gpu in (*gpus, "L4", "A10G"))
