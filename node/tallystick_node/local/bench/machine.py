"""What the figures were measured on, and whether it had other work at the time."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from tallystick_node.local.bench.cpu import cores
from tallystick_node.local.bench.row import Row

_SECTION = "the machine"


@dataclass(frozen=True, slots=True)
class Machine:
    cores: int
    load: float
    """Average of the minute before: how many processes wanted to run."""

    @property
    def busy(self) -> bool:
        return self.load > self.cores / 2


def measure_machine() -> list[Row]:
    return [
        Row(section=_SECTION, name="cores", value=len(cores()), unit=""),
        Row(section=_SECTION, name="load average before the run", value=os.getloadavg()[0], unit=""),
    ]


def machine_of(rows: Sequence[Row]) -> Machine:
    found = {row.name: row.value for row in rows if row.section == _SECTION}
    return Machine(int(found["cores"]), found["load average before the run"])
