"""What a study found: figures, and how they are shown."""

from dataclasses import dataclass, field

from rich.table import Table

from tallystick_node.sim.plot import Chart
from tallystick_node.sim.report import Figure


@dataclass(slots=True)
class Found:
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
