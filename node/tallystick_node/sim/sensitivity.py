"""How much of what the paper's settings give hangs on what is assumed of their machines: each constant
changed by itself, and S1 and S3 played again. Ratios between ways to dispatch are to hold where absolute
times do not.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Final

from tallystick_node.sim.detail import Detail
from tallystick_node.sim.findings import over
from tallystick_node.sim.found import Found
from tallystick_node.sim.report import over_seeds, shown, table
from tallystick_node.sim.settings import Assumed, settings
from tallystick_node.sim.studies import Played, Run, play

NAME: Final = "sensitivity"
CHANGES: Final[Mapping[str, Assumed]] = {
    "as chosen": Assumed(),
    "bandwidth 0.7": Assumed(memory=0.7),
    "bandwidth 0.9": Assumed(memory=0.9),
    "vLLM half": Assumed(vllm=0.5),
    "vLLM twice": Assumed(vllm=2.0),
    "a reduction 30 µs": Assumed(reduction_ms=0.030),
    "a reduction 120 µs": Assumed(reduction_ms=0.120),
    "reductions at 6.5 GB/s": Assumed(pcie=6.5e9),
    "reductions at 20 GB/s": Assumed(pcie=20e9),
}
ARMS: Final = ("single", "paper", "ours")
_HOSTS: Final = ("as chosen", "bandwidth 0.7", "bandwidth 0.9")
"""All that S1's machines, of one card each and SGLang, know of."""
_SETTINGS: Final[Mapping[str, Sequence[str]]] = {"S1": _HOSTS, "S3": tuple(CHANGES)}


def cases() -> Mapping[str, Run]:
    return {
        _case(name, change, arm): partial(_played, name, change, arm)
        for name, changes in _SETTINGS.items()
        for change in changes
        for arm in ARMS
    }


def _case(name: str, change: str, arm: str) -> str:
    return f"{name}, {change}: {arm}"


def _played(name: str, change: str, arm: str, seed: int, detail: Detail) -> Played:
    return play(settings(CHANGES[change])[name], arm, seed, detail)


def found(runs: Mapping[str, Sequence[Played]]) -> Found:
    """`runs`: by case; one a seed."""
    made = Found()
    for name, changes in _SETTINGS.items():
        rows = []
        for change in changes:
            of = {arm: runs[_case(name, change, arm)] for arm in ARMS}
            means = {arm: [run.mean_s() for run in each] for arm, each in of.items()}
            what = f"{NAME}: {name}, {change}: "
            made.figures += [over_seeds(f"{what}{arm}: mean", means[arm], "s") for arm in ARMS]
            compared = over(f"{what}ours: mean over that of paper", of["ours"], of["paper"])
            made.figures.append(compared)
            rows.append((change, *(shown(fmean(means[arm])) for arm in ARMS), shown(compared.value)))
        made.tables.append(table("", (f"{name}: mean, s", *ARMS, "ours / paper"), rows))
    return made
