"""One figure: what was measured, what others take, what was aimed at. It measures nothing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure of one run. Targets come from outside and are never moved to fit."""

    section: str
    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False
    """The target is a floor; else a ceiling."""
    baseline: float | None = None
    """The same by somebody else, or without us: `baseline_name` says who."""
    baseline_name: str = ""
    note: str = ""

    @classmethod
    def of(cls, section: str, name: str, value: float, unit: str, target: float | None = None) -> Self:
        """One that has no baseline, and a ceiling if any target."""
        return cls(section=section, name=name, value=value, unit=unit, target=target)

    @property
    def missed(self) -> bool:
        if self.target is None:
            return False
        return self.value < self.target if self.at_least else self.value > self.target

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"missed": self.missed}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{name: value for name, value in data.items() if name != "missed"})
