"""Strengths over duels, as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def draw(curves: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> None:
    """`curves`: by name, (duels decided so far, strength by them). The file's ending says its kind."""
    from matplotlib.figure import Figure  # Slow to import, and only wanted here.

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot([count for count, _ in points], [strength for _, strength in points], label=name)
    axes.axhline(0, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="duels decided, of anybody", ylabel="strength (Bradley–Terry; 0 is average)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
