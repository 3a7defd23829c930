"""What whole transactions cost, measured by forge now, beside other systems and the design's prototype."""

import json
import subprocess
from dataclasses import dataclass
from typing import Final

from tallystick_node.local.bench.row import Row
from tallystick_node.local.engines import REPOSITORY

_SECTION: Final = "gas of whole transactions"
_REQUESTS: Final = 1_000
"""Of one channel, between two settlements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One line of the snapshot, and what it is held against."""

    name: str
    prototype: float | None = None
    """Gas of the prototype that the design started from: the target."""
    others: float | None = None
    who: str = ""


TABLE: Final = (
    Measured(name="settle 1 row", prototype=42_280, others=45_240, who="x402 batch-settlement"),
    Measured(name="settle 10 rows, each", prototype=17_381, others=21_103, who="x402 batch-settlement"),
    Measured(name="settle 100 rows, each", prototype=14_939, others=18_716, who="x402 batch-settlement"),
    Measured(name="open 1 channel", prototype=53_042, others=72_000, who="x402, at least"),
    Measured(name="open 10 channels, each", prototype=28_068, others=72_000, who="x402, at least"),
    Measured(name="open 1 channel by grant", prototype=59_220, others=133_000, who="EIP-3009 deposit"),
    Measured(
        name="open 100 channels by grants, each", prototype=37_245, others=133_000, who="EIP-3009 deposit"
    ),
    Measured(name="close, signed by the provider", prototype=46_601, others=68_000, who="cooperative close"),
)


def measure_gas() -> list[Row]:
    """Raises CalledProcessError where forge fails."""
    subprocess.run(
        [REPOSITORY / "scripts" / "contracts", "snapshot"], check=True, capture_output=True, text=True
    )
    path = REPOSITORY / "contracts" / "snapshots" / "transactions.json"
    snapshot = {name: int(gas) for name, gas in json.loads(path.read_text()).items()}
    rows = [_row(item, snapshot[item.name]) for item in TABLE]
    known = {item.name for item in TABLE}
    rows += [_row(Measured(name=name), gas) for name, gas in sorted(snapshot.items()) if name not in known]
    each = snapshot["settle 1 row"] / _REQUESTS
    batched = snapshot["settle 100 rows, each"] / _REQUESTS
    return [
        *rows,
        _row(Measured(name="a request, of 1,000 a settlement", others=61_000, who="x402 exact"), each),
        _row(Measured(name="  the same in a batch of 100 rows", prototype=15), batched),
    ]


def _row(item: Measured, gas: float) -> Row:
    return Row(
        section=_SECTION,
        name=item.name,
        value=gas,
        unit="gas",
        target=item.prototype,
        baseline=item.others,
        baseline_name=item.who,
    )
