"""Part (a): whether duels tell grades apart, and what they cost twins. Made of what a contest left; pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from tallystick.protocol.duel import Vote
from tallystick.protocol.strength import strengths
from tallystick.protocol.units import Address, Hash32
from tallystick_node.local.network.comparing import Target
from tallystick_node.local.quality.contest import Bout, Tally, curve, last_after, tally
from tallystick_node.local.quality.grading import STAKE, WORST, Graded, Judged
from tallystick_node.local.quality.parts import Part, Table, percent

SOON: Final = 10
"""Duels of its own within which the worst should be last."""
UNCHANGED: Final = 0.05
HEAD: Final = ("", "duels", "won", "tied", "lost", "win rate", "strength")


def standings(names: Mapping[Address, str], bouts: Sequence[Bout]) -> Table:
    """Who stands where after these duels, the strongest first."""
    found = strengths(bout.decided for bout in bouts)
    ordered = sorted(found, key=lambda provider: -found[provider])
    rows = [[names[one], *_cells(tally(bouts, frozenset({one}))), f"{found[one]:+.2f}"] for one in ordered]
    return Table(head=HEAD, rows=rows)


def part(graded: Graded) -> Part:
    bouts = list(graded.bouts.values())
    rates = {grade: tally(bouts, graded.of_grade(grade)) for grade in graded.grades}
    last = last_after(bouts, graded.address(WORST), graded.duellists)
    twins = max(graded.grades.values(), key=len)
    moved = {name: graded.stakes[graded.address(name)] / STAKE - 1 for name in twins}
    return Part(
        key="a",
        title="grades of one model, one that babbles, and the judges who tell them apart",
        tables=[_providers(graded, bouts), _pairs(graded, bouts), _sitting(graded)],
        targets=[
            _ordered(rates),
            _last(last),
            _twins(moved),
            *_complete(graded, bouts),
        ],
        figures={
            "win_rates": {grade: rate.to_json() for grade, rate in rates.items()},
            "last_after": last,
            "stakes": {graded.names[one]: graded.stakes[one] for one in graded.duellists},
            "strengths": _named(graded, strengths(graded.ended)),
            "curve": _named(graded, curve(bouts)),
            "truth": dict(_truth(graded)),
            "seconds": graded.seconds,
        },
        notes=[
            f"{graded.asked} requests in {graded.seconds:.0f} s; judges: "
            f"{', '.join(sorted(graded.names[one] for one in graded.judges))}"
        ],
    )


# ----------------------------------------------------------------------------------------------------- tables


def _cells(found: Tally) -> list[str]:
    return [str(found.duels), str(found.won), str(found.tied), str(found.lost), percent(found.rate)]


def _providers(graded: Graded, bouts: Sequence[Bout]) -> Table:
    plain, right = standings(graded.names, bouts), _right(graded)
    rows = []
    for row in plain.rows:
        address = graded.address(row[0])
        stake = graded.stakes[address] / STAKE - 1
        good, asked = right[address]
        rows.append([*row, f"{good} of {asked}", f"{100 * stake:+.2f} %"])
    return Table(head=(*HEAD, "right answers", "stake"), rows=rows)


def _pairs(graded: Graded, bouts: Sequence[Bout]) -> Table:
    names = [name for members in graded.grades.values() for name in members]

    def cell(one: str, other: str) -> str:
        if one == other:
            return ""
        found = tally(bouts, frozenset({graded.address(one)}), frozenset({graded.address(other)}))
        return f"{found.won}-{found.tied}-{found.lost}"

    rows = [[name, *(cell(name, other) for other in names)] for name in names]
    return Table(head=("won-tied-lost against", *names), rows=rows)


def _sitting(graded: Graded) -> Table:
    """What judges said, by the model that they judge by."""
    right = _known(graded)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for duel, bout in graded.bouts.items():
        for judge, vote in bout.votes.items():
            one = counts[graded.names[judge].rpartition("-")[2]]
            one["votes"] += 1
            one["ties"] += vote is Vote.TIE
            one["with"] += vote is bout.verdict
            if duel in right:
                one["known"] += 1
                one["right"] += vote is right[duel]
                one["wrong"] += vote not in (right[duel], Vote.TIE)
    rows = [
        [
            f"judges by {name}",
            str(one["votes"]),
            percent(one["ties"] / one["votes"]),
            percent(one["with"] / one["votes"]),
            f"{one['right']} of {one['known']}",
            str(one["wrong"]),
        ]
        for name, one in sorted(counts.items())
    ]
    panels = _truth(graded)
    ties = sum(bout.verdict is Vote.TIE for bout in graded.bouts.values())
    panel = [f"{panels['right']} of {len(right)}", str(panels["wrong"])]
    count = len(graded.bouts)
    rows.append(["panels", str(count), percent(ties / max(1, count)), "", *panel])
    head = ("", "votes", "ties", "as the panel", "for the one right answer", "for the wrong one")
    return Table(head=head, rows=rows)


# ------------------------------------------------------------------------------------------------------ truth


def _right(graded: Graded) -> Mapping[Address, tuple[int, int]]:
    """Of each who duelled: right answers, and those to questions of which anybody knows."""
    counts = dict.fromkeys(graded.duellists, (0, 0))
    for one, bout in _both(graded):
        for provider, answer in zip((bout.first, bout.second), one.answers, strict=True):
            if (right := one.question.is_right(answer)) is not None:
                good, asked = counts[provider]
                counts[provider] = good + right, asked + 1
    return counts


def _known(graded: Graded) -> Mapping[Hash32, Vote]:
    """The side that a verdict should name, of duels in which one answer is right and the other is not."""
    found: dict[Hash32, Vote] = {}
    for one, _ in _both(graded):
        first, second = (one.question.is_right(answer) for answer in one.answers)
        if first is not None and first != second:
            found[one.duel] = Vote.FIRST if first else Vote.SECOND
    return found


def _both(graded: Graded) -> Iterator[tuple[Judged, Bout]]:
    return ((one, graded.bouts[one.duel]) for one in graded.judged if one.duel in graded.bouts)


def _truth(graded: Graded) -> Counter[str]:
    """What panels said where one answer is right: that one, the other, or neither."""
    found: Counter[str] = Counter()
    for duel, right in _known(graded).items():
        said = graded.bouts[duel].verdict
        found["right" if said is right else "tied" if said is Vote.TIE else "wrong"] += 1
    return found


def _named(graded: Graded, found: Mapping[Address, Any]) -> dict[str, Any]:
    return {graded.names[provider]: value for provider, value in found.items()}


# ---------------------------------------------------------------------------------------------------- targets


def _ordered(rates: Mapping[str, Tally]) -> Target:
    return Target(
        name="win rates",
        wanted=" > ".join(rates),
        found=" > ".join(f"{grade} {percent(rate.rate, 1)}" for grade, rate in rates.items()),
        met=all(one.rate > other.rate for one, other in pairwise(rates.values())),
    )


def _last(last: int | None) -> Target:
    return Target(
        name="duels of its own until the one that babbles is last, for good",
        wanted=f"≤ {SOON}",
        found="it is not last" if last is None else str(last),
        met=last is not None and last <= SOON,
    )


def _twins(moved: Mapping[str, float]) -> Target:
    return Target(
        name="stake of two equal twins",
        wanted=f"unchanged within {percent(UNCHANGED)}",
        found=", ".join(f"{name} {100 * change:+.2f} %" for name, change in moved.items()),
        met=all(abs(change) <= UNCHANGED for change in moved.values()),
    )


def _complete(graded: Graded, bouts: Sequence[Bout]) -> Iterator[Target]:
    pairs = sum(costs.duels for costs in graded.costs)
    yield Target(
        name=f"duels decided, of {graded.asked} requests",
        wanted=f"{pairs}: all in which both answers say something",
        found=f"{len(bouts)}, of which {len(graded.ended)} moved their money",
        met=len(bouts) == len(graded.ended) == pairs > 0,
    )
    same = strengths(graded.ended) == strengths(bout.decided for bout in bouts)
    yield Target(
        name="strengths recomputed from what the contract says has ended",
        wanted="those of the verdicts, to the last bit",
        found="the same" if same else "others",
        met=same,
    )
    yield _explored(graded)
    wrong = [check for check in graded.money if not check.holds]
    yield Target(
        name="money",
        wanted="adds up to the atom",
        found="; ".join(f"{check.question}: {check.found}" for check in wrong or graded.money),
        met=not wrong,
    )


def _explored(graded: Graded) -> Target:
    """Anybody's view of it."""
    told = graded.explored
    same = told.strengths == strengths(graded.ended)
    wrong = ", ".join(f"{name} ({count})" for name, count in told.wrong.items())
    return Target(
        name="duels in the explorer, which checks each again",
        wanted=f"{len(graded.bouts)}, nothing wrong, and the same strengths",
        found=f"{told.ended}, {told.steps} steps, {wrong or 'none'} wrong, "
        f"{sum(told.unsaid.values())} not known yet, {'the same' if same else 'other'} strengths",
        met=told.ended == told.asked == len(graded.bouts) and told.steps > 0 and not told.wrong and same,
    )
