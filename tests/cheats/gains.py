"""What each adversary gained, in atoms, and the most that it may: the figures behind docs/trust.md."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Gain:
    """`seen <= bound`, both measured in the same play. Below zero: the adversary paid for what it did."""

    adversary: type
    bound: int
    seen: int
    way: str = ""
    """Which of several ways to play."""


@dataclass
class Gains:
    noted: list[Gain] = field(default_factory=list)

    def require(self, gain: Gain) -> None:
        self.noted.append(gain)
        assert gain.seen <= gain.bound, gain

    def table(self) -> str:
        """One line an adversary, at its best."""
        best: dict[str, Gain] = {}
        for gain in self.noted:
            name = gain.adversary.__name__ + (", recounted" if gain.way == "recounted" else "")
            if name not in best or gain.seen > best[name].seen:
                best[name] = gain
        width = max(map(len, best), default=0)
        lines = [f"{'adversary':<{width}}  {'most it may gain':>16}  {'gained':>9}"]
        lines += [f"{name:<{width}}  {gain.bound:>16,}  {gain.seen:>9,}" for name, gain in best.items()]
        return "\n".join(lines)
