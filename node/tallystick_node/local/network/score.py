"""How well a fleet served: SLO attainment and latency, over every request that was made. Pure.

Whatever failed, or had not ended when the run did, is a miss and counts in every share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tallystick_node.local.network.traffic import Arrival

FIRST_S: Final = 3.0
TOKEN_S: Final = 0.1
"""The objective: the first token within 3 s, and 100 ms between tokens after that on average (DistServe's
chat objective, scaled to shared consumer cards)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What one user got."""

    arrival: Arrival
    home: int
    """The node that answered, or was to, by its place in the fleet."""
    provider: str = ""
    """`0x…` of whom that node bought it from; empty: it served it itself."""
    first_s: float | None = None
    """Until the first token came; None: none did."""
    total_s: float | None = None
    """Until the answer ended; None: it did not."""
    tokens: int = 0
    error: str = ""
    tried: str = ""
    """What was wrong with the user's own node, where another was asked then."""

    @property
    def whole(self) -> bool:
        return not self.error and self.total_s is not None

    @property
    def token_s(self) -> float | None:
        if self.first_s is None or self.total_s is None or self.tokens < 2:
            return None
        return (self.total_s - self.first_s) / (self.tokens - 1)

    @property
    def met(self) -> bool:
        """Whether the objective was."""
        if not self.whole or self.first_s is None or self.first_s > FIRST_S:
            return False
        return self.token_s is None or self.token_s <= TOKEN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    requests: int
    failed: int
    attainment: float
    """Share of the requests whose objective was met."""
    mean_s: float
    """Of whole answers, from the request to the last token."""
    p50_s: float
    p95_s: float
    first_p95_s: float
    elsewhere: float
    """Share that another node than the home served."""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def score(served: Sequence[Served]) -> Score:
    whole = [item for item in served if item.whole]
    totals = sorted(item.total_s for item in whole if item.total_s is not None)
    firsts = sorted(item.first_s for item in whole if item.first_s is not None)
    count = max(1, len(served))
    return Score(
        requests=len(served),
        failed=len(served) - len(whole),
        attainment=sum(item.met for item in served) / count,
        mean_s=sum(totals) / max(1, len(totals)),
        p50_s=quantile(totals, 0.5),
        p95_s=quantile(totals, 0.95),
        first_p95_s=quantile(firsts, 0.95),
        elsewhere=sum(bool(item.provider) for item in served) / count,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank; zero where there is nothing."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def within(served: Sequence[Served], start_s: float, end_s: float) -> list[Served]:
    """Those that came between."""
    return [item for item in served if start_s <= item.arrival.at_s < end_s]


def curve(served: Sequence[Served], limits_s: Sequence[float]) -> list[float]:
    """For each limit, the share of all requests whose whole answer came within it: the paper's SLO curve."""
    count = max(1, len(served))
    return [
        sum(item.whole and item.total_s is not None and item.total_s <= limit for item in served) / count
        for limit in limits_s
    ]
