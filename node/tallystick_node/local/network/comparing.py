"""What every comparison is made of: a setting, fleets under a load, targets, and what came of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tallystick_node.local.audit import Check
from tallystick_node.local.network import arm as arms
from tallystick_node.local.network.arm import Event, Result
from tallystick_node.local.network.fleet import FLEET, VLLM, Fleet, Node, running
from tallystick_node.local.network.score import Score, Served
from tallystick_node.local.network.traffic import Arrival, arrivals, read_sizes

OURS: Final = 'name = "default"'
_REAL: Final = (7, 5)
"""Places of the nodes that real engines stand behind where there are any."""
_LONGEST_REAL: Final = 300
"""Words of prompt and answer: the tiny model has two and a half tokens for each, and a context of 1,024."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a person may ask of a run."""

    folder: Path
    seconds: float
    rate: float
    seed: int
    vllm: int = 0
    """So many of the nodes have vLLM, and not an engine that keeps a card's pace."""
    on_served: Callable[[str, Served], None] = lambda _, __: None
    tell: Callable[[str], None] = lambda _: None
    """What begins and ends, a line each, and each tenth of a load."""

    @property
    def longest(self) -> int:
        """Tokens of prompt and answer together."""
        return _LONGEST_REAL if self.vllm else arms.LONGEST

    def load(self, homes: int = len(FLEET), hot: Sequence[int] = ()) -> list[Arrival]:
        return arrivals(
            read_sizes(longest=self.longest),
            seed=self.seed,
            rate=self.rate,
            seconds=self.seconds,
            homes=homes,
            hot=hot,
        )

    def fleet(self, policy: str = OURS, rule: str = "quoted") -> list[Node]:
        """`policy`: TOML of each node's."""
        nodes = [Node(card=card, policy=policy, rule=rule) for card in FLEET]
        for place in _REAL[: self.vllm]:
            nodes[place] = replace(nodes[place], card=VLLM)
        return nodes

    async def run(
        self,
        name: str,
        nodes: Sequence[Node],
        load: Sequence[Arrival],
        *,
        events: Sequence[tuple[float, Event]] = (),
        doors: bool = False,
        refuge: Mapping[int, int] | None = None,
    ) -> Result:
        """`doors` as of `Fleet`, `refuge` as of `Users`."""
        fleet = Fleet(folder=self.folder / name.replace(" ", "-"), nodes=nodes, doors=doors)
        answered = 0

        def on_served(served: Served) -> None:
            nonlocal answered
            answered += 1
            if answered * 10 // len(load) > (answered - 1) * 10 // len(load):
                self.tell(f"{name}: {answered} of {len(load)} requests have ended")
            self.on_served(name, served)

        self.tell(f"{name}: {len(nodes)} nodes start")
        async with running(fleet):
            self.tell(f"{name}: {len(load)} requests come within {self.seconds:g} s")
            result = await arms.run(
                name,
                fleet,
                load,
                on_served=on_served,
                on_ended=lambda: self.tell(f"{name}: the nodes drain and settle"),
                events=events,
                refuge=refuge or {},
                lengths_are_asked_for=self.vllm > 0,
            )
        self.tell(f"{name}: done")
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was wanted of a figure."""

    name: str
    wanted: str
    found: str
    met: bool


def none_lost(result: Result) -> Target:
    lost = [item for item in result.served if not item.whole]
    return Target(
        name="requests lost", wanted="0", found=f"{len(lost)} of {len(result.served)}", met=not lost
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one comparison showed."""

    key: str
    title: str
    results: Sequence[Result]
    targets: Sequence[Target]
    marks: Mapping[str, float] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return all(target.met for target in self.targets) and all(one.adds_up for one in self.results)

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "arms": {result.name: result.to_json() for result in self.results},
            "targets": [
                {"name": one.name, "wanted": one.wanted, "found": one.found, "met": one.met}
                for one in self.targets
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The same, as it is written down: what a table is made of."""

    key: str
    title: str
    scores: Mapping[str, Score]
    money: Mapping[str, Sequence[Check]]
    """By arm, as the scores are."""
    targets: Sequence[Target]

    @classmethod
    def from_json(cls, key: str, data: Mapping[str, Any]) -> "Figures":
        names = Score.__dataclass_fields__
        return cls(
            key=key,
            title=data["title"],
            scores={
                name: Score(**{field: value for field, value in arm.items() if field in names})
                for name, arm in data["arms"].items()
            },
            money={name: [Check(**check) for check in arm["money"]] for name, arm in data["arms"].items()},
            targets=[Target(**target) for target in data["targets"]],
        )
