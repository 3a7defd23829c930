"""What a market of so many payers asks of each part that there is only one of, beside what that part can do:
the first one of which more is asked is the first wall. Arithmetic over figures that other modules find.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.client.sight import IDLE_S
from tallystick_node.sim.benched import Benched
from tallystick_node.sim.plot import Chart, Line
from tallystick_node.sim.settlements import CLOSE_GAS, DAY_S, MILLION, OPEN_GAS

ETHEREUM_GAS_S: Final = 60e6 / 12
"""60 million gas a block, a block each twelve seconds."""
ROLLUP_GAS_S: Final = 75e6
"""Base's limit in late 2025: blog.base.dev, "Scaling Base: doubling capacity in 30 days"."""
INDEX_EVENTS_A_ROW: Final = 1.2
"""A settled row has one event, and a part of its transaction's."""
DISK_A_DAY: Final = 1e12 / 365
"""Bytes: a terabyte a year."""
GATEWAYS: Final = 1_000
LOOKS_S: Final = IDLE_S
"""For which a payer looks after each request, where none follows."""
UPLINK_S: Final = 125e6
"""Bytes a second of one gateway: a gigabit."""
_SIZES: Final = tuple(10.0 ** (power / 2) for power in range(6, 17))


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Of one payer."""

    a_day: float = 20.0
    """Requests."""
    channels: float = 8.0
    """Providers that it buys of."""
    kept_days: float = 90.0
    """A channel, before it is closed and another opened."""

    @property
    def a_channel(self) -> float:
        """Requests of one channel in a day."""
        return self.a_day / self.channels


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Of a million requests, at these habits."""

    gas: float
    """Of settling."""
    rows: float
    row_bytes: float
    """Of the index, for a settled row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    name: str
    asked: float
    can: float
    unit: str

    @property
    def used(self) -> float:
        """1: all of it."""
        return self.asked / self.can


def walls(payers: float, habits: Habits, costs: Costs, bench: Benched = Benched()) -> Sequence[Wall]:
    millions_s = payers * habits.a_day / DAY_S / MILLION
    opening = payers * habits.channels * (OPEN_GAS + CLOSE_GAS) / (habits.kept_days * DAY_S)
    gas = millions_s * costs.gas + opening
    rows_s = millions_s * costs.rows
    reading = payers * habits.a_day * LOOKS_S / DAY_S * bench.read_s
    return (
        Wall(name="gas of Ethereum itself", asked=gas, can=ETHEREUM_GAS_S, unit="gas/s"),
        Wall(name="gas of a rollup", asked=gas, can=ROLLUP_GAS_S, unit="gas/s"),
        Wall(
            name="events that one index reads",
            asked=rows_s * INDEX_EVENTS_A_ROW,
            can=bench.index_events_s,
            unit="events/s",
        ),
        Wall(
            name="disk of one index, a terabyte a year",
            asked=rows_s * DAY_S * costs.row_bytes,
            can=DISK_A_DAY,
            unit="B/day",
        ),
        Wall(
            name=f"what payers read of {GATEWAYS:,} gateways",
            asked=reading,
            can=GATEWAYS * UPLINK_S,
            unit="B/s",
        ),
        Wall(
            name=f"a core of each of {GATEWAYS:,} gateways",
            asked=millions_s * MILLION,
            can=GATEWAYS * bench.requests_s,
            unit="requests/s",
        ),
    )


def chart(name: str, settled_after: str, habits: Habits, costs: Costs, bench: Benched) -> Chart:
    found = [walls(payers, habits, costs, bench) for payers in _SIZES]
    lines = {
        wall.name: Line(x=_SIZES, y=[some[place].used for some in found])
        for place, wall in enumerate(found[0])
    }
    lines["all of it"] = Line(x=_SIZES, y=[1.0] * len(_SIZES))
    return Chart(
        name=name,
        title=f"What a market uses of each part, settled after {settled_after}: above 1 is the wall",
        x="payers",
        y="part in use",
        panels={"": lines},
        log_x=True,
        log_y=True,
    )
