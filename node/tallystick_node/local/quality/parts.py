"""One part of what a run showed, as it is printed and written down: tables, and figures beside targets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table as Shown

from tallystick_node.local.bench.page import table as as_table
from tallystick_node.local.network.comparing import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    head: Sequence[str]
    """The first column is words, the others are figures."""
    rows: Sequence[Sequence[str]]
    title: str = ""

    def shown(self) -> Shown:
        found = Shown(title=self.title, title_justify="left")
        for place, name in enumerate(self.head):
            found.add_column(name, justify="left" if place == 0 else "right")
        for row in self.rows:
            found.add_row(*row)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    key: str
    title: str
    tables: Sequence[Table]
    targets: Sequence[Target]
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What the tables are made of, unrounded."""
    notes: Sequence[str] = ()
    """Under which the figures were taken."""

    @property
    def holds(self) -> bool:
        return all(target.met for target in self.targets)

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "tables": [asdict(table) for table in self.tables],
            "targets": [asdict(target) for target in self.targets],
            "figures": dict(self.figures),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, key: str, data: Mapping[str, Any]) -> "Part":
        return cls(
            key=key,
            title=data["title"],
            tables=[Table(**table) for table in data["tables"]],
            targets=[Target(**target) for target in data["targets"]],
            figures=data["figures"],
            notes=data["notes"],
        )

    def print(self, console: Console) -> None:
        console.print(f"[bold]({self.key}) {self.title}[/]")
        for table in self.tables:
            console.print(table.shown())
        for note in self.notes:
            console.print(f"  {note}")
        for target in self.targets:
            mark = "[green]✓[/]" if target.met else "[red]missed[/]"
            console.print(f"{mark} {target.name}: {target.found} (wanted {target.wanted})")
        console.print()

    def markdown(self) -> Iterator[str]:
        yield f"**({self.key}) {self.title[0].upper()}{self.title[1:]}**"
        for table in self.tables:
            yield ""
            if table.title:
                yield from (f"{table.title}:", "")
            yield from as_table(table.head, table.rows, "l" + "r" * (len(table.head) - 1))
        yield ""
        yield from (f"- {note}" for note in self.notes)
        for target in self.targets:
            mark = "" if target.met else "**Missed**: "
            yield f"- {mark}{target.name}: {target.found} (wanted: {target.wanted})"


def percent(value: float, digits: int = 0) -> str:
    return f"{100 * value:.{digits}f} %"


def as_markdown(report: Mapping[str, Any]) -> str:
    """Of what `--json` wrote."""
    load = " and ".join(f"{value:.1f}" for value in report["load"])
    real = " --vllm" if report["vllm"] else ""
    options = f"--duels {report['duels']} --seed {report['seed']}{real}"
    lines = [
        f"`scripts/demo quality --json FILE {options}` printed, in "
        f"{report['seconds']:.0f} s, everything on {report['cores']} shared cores (load before and after: "
        f"{load})."
    ]
    for key, data in report["parts"].items():
        lines += ["", *Part.from_json(key, data).markdown()]
    return "\n".join(lines)
