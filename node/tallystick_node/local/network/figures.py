"""What a run showed as a section of a page: from what `--json` wrote. It measures nothing."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tallystick_node.local.bench.page import table
from tallystick_node.local.network.comparing import Figures
from tallystick_node.local.network.score import Score

HEAD: Final = ("", "answers", "failed", "SLO met", "mean", "median", "p95", "first p95", "elsewhere")


def cells(score: Score) -> list[str]:
    """Of one arm, under `HEAD` but for its name."""
    seconds = [f"{value:.1f} s" for value in (score.mean_s, score.p50_s, score.p95_s, score.first_p95_s)]
    shares = f"{100 * score.attainment:.1f} %", f"{100 * score.elsewhere:.0f} %"
    return [str(score.requests), str(score.failed), shares[0], *seconds, shares[1]]


def as_markdown(report: Mapping[str, Any]) -> str:
    lines = [_asked(report)]
    for key, data in report["scenarios"].items():
        lines += ["", *_scenario(Figures.from_json(key, data))]
    return "\n".join(lines)


def _asked(report: Mapping[str, Any]) -> str:
    options = f"--seconds {report['seconds']:g} --rate {report['rate']:g} --seed {report['seed']}"
    real = f" --vllm {report['vllm']}" if report["vllm"] else ""
    return (
        f"`scripts/demo network --json FILE {options}{real}` printed, everything on {report['cores']} shared "
        "cores; *elsewhere* is the share that another node than the user's own served."
    )


def _scenario(told: Figures) -> Iterator[str]:
    yield f"**({told.key}) {told.title[0].upper()}{told.title[1:]}**"
    yield ""
    rows = [[name, *cells(score)] for name, score in told.scores.items()]
    yield from table(HEAD, rows, "l" + "r" * (len(HEAD) - 1))
    yield ""
    for target in told.targets:
        mark = "" if target.met else "**Missed**: "
        yield f"- {mark}{target.name}: {target.found} (wanted: {target.wanted})"
    for name, checks in told.money.items():
        for check in checks:
            if not check.holds:
                yield f"- **Does not add up**, {name}: {check.question}: {check.found}"
    adds_up = [name for name, checks in told.money.items() if all(check.holds for check in checks)]
    if adds_up:
        questions = "; ".join(check.question for check in told.money[adds_up[-1]])
        yield f"- Money adds up to the atom ({', '.join(adds_up)}): {questions}"
