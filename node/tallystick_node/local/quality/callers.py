"""Parts (b) and (c): what duels are to those whose requests duel. Made of what a bench measured; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tallystick_node.local.network.comparing import Target
from tallystick_node.local.quality.challenger import Costs
from tallystick_node.local.quality.latency import (
    ANSWER,
    CARD,
    PAYERS,
    PROMPT,
    Wait,
    Waited,
    judge_share,
    p95_s,
)
from tallystick_node.local.quality.parts import Part, Table, percent

UNCHANGED: Final = 0.05
NEAR: Final = 0.05
"""By which what duels cost may be above what is foretold."""


def waiting(waited: Waited) -> Part:
    shares = list(waited.rounds)
    plain = [wait.total_s for waits in waited.rounds[shares[0]] for wait in waits]
    at_once = waited.rate * sum(plain) / max(1, len(plain)) / waited.sellers
    rows = [_row(waited, share) for share in shares]
    head = ("p", "requests", "duels", "failed", "p95", "against p = 0", "first token p95", "against p = 0")
    return Part(
        key="b",
        title="callers wait no longer",
        tables=[Table(head=head, rows=rows)],
        targets=list(_waiting_targets(waited, shares)),
        figures={"arms": {f"{share:g}": _figures(waited, share) for share in shares}},
        notes=[
            f"{waited.rate:g} requests a second of {PROMPT} tokens, answered in {ANSWER}, by {PAYERS} "
            f"payers, at {waited.sellers} sellers that keep the pace of an {CARD}, where {at_once:.1f} run "
            f"at once at each without duels, of hundreds that fit; {waited.judges} more to judge; "
            f"{len(waited.rounds[shares[0]])} rounds of {waited.seconds:g} s each, in turn; medians of rounds"
        ],
    )


def progress(rounds: Mapping[float, Sequence[Sequence[Wait]]]) -> Table:
    """While it is measured."""
    rows = [
        [percent(share), str(len(some)), str(sum(map(len, some))), f"{p95_s(some):.3f} s"]
        for share, some in rounds.items()
    ]
    return Table(head=("p", "rounds", "requests", "p95"), rows=rows, title="(b) callers wait")


def costing(waited: Waited | None, graded: Sequence[Costs]) -> Part:
    """`graded`: of the contest in which every request was a duel."""
    measured = {} if waited is None else {share: costs for share, costs in waited.costs.items() if share}
    rows = [_Row(f"p = {percent(share)}", costs, judge_share()) for share, costs in measured.items()]
    rows += [_Row(f"p = 100 %, (a), {costs.seats} judges", costs, costs.judge_share) for costs in graded]
    head = ("", "requests", "duels", "k", "j", "cost factor", "1 + p·(1 + k·j)", "off by")
    return Part(
        key="c",
        title="what duels cost",
        tables=[Table(head=head, rows=[row.cells() for row in rows])],
        targets=[row.target() for row in rows],
        figures={row.name: row.costs.to_json() | {"foretold": row.foretold} for row in rows},
        notes=[
            "p in the formula is the share that chance drew, j what a judgement and its part of the fee cost "
            "over what a request costs, by the price lists alone but for (a), where nobody knows beforehand "
            "how long answers are; what is measured is all that left the payers' hands: fees that no judge "
            "earned came back"
        ],
    )


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    costs: Costs
    judge_share: float

    @property
    def foretold(self) -> float:
        return self.costs.foretold(self.judge_share)

    def cells(self) -> list[str]:
        costs = self.costs
        return [
            self.name,
            str(costs.requests),
            str(costs.duels),
            str(costs.seats),
            f"{self.judge_share:.2f}",
            f"{costs.factor:.3f}",
            f"{self.foretold:.3f}",
            f"{100 * (costs.factor / self.foretold - 1):+.1f} %",
        ]

    def target(self) -> Target:
        return Target(
            name=f"cost factor, {self.name}",
            wanted=f"at most {percent(NEAR)} above the {self.foretold:.3f} foretold",
            found=f"{self.costs.factor:.3f}",
            met=self.costs.factor <= self.foretold * (1 + NEAR),
        )


def _row(waited: Waited, share: float) -> list[str]:
    waits, costs = waited.rounds[share], waited.costs[share]
    plain = not share
    return [
        percent(share),
        str(sum(map(len, waits))),
        str(costs.duels),
        str(waited.failed[share]),
        f"{waited.p95_s(share):.3f} s",
        "" if plain else f"{100 * waited.change(share):+.1f} %",
        f"{waited.p95_s(share, _first):.3f} s",
        "" if plain else f"{100 * waited.change(share, _first):+.1f} %",
    ]


def _waiting_targets(waited: Waited, shares: Sequence[float]) -> Iterator[Target]:
    for share in shares[1:]:
        change = waited.change(share)
        yield Target(
            name=f"p95 latency of callers where {percent(share)} of their requests duel",
            wanted=f"within {percent(UNCHANGED)} of no duels",
            found=f"{100 * change:+.1f} %",
            met=abs(change) <= UNCHANGED,
        )
    idle = [share for share in shares[1:] if not waited.costs[share].duels]
    lost = sum(waited.failed.values())
    yield Target(
        name="requests lost, and shares at which nothing duelled",
        wanted="0, 0",
        found=f"{lost}, {len(idle)}",
        met=not lost and not idle,
    )


def _first(wait: Wait) -> float:
    return wait.first_s


def _figures(waited: Waited, share: float) -> dict[str, Any]:
    return {
        "rounds": [[[wait.first_s, wait.total_s] for wait in waits] for waits in waited.rounds[share]],
        "p95_s": waited.p95_s(share),
        "first_p95_s": waited.p95_s(share, _first),
    }
