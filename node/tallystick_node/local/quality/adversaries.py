"""Part (d): what each who plays against duels gains, beside the bound that it is held to."""

from collections.abc import Iterator
from typing import Final

from tallystick.protocol.judging import prompt
from tallystick_node.local.network.comparing import Target
from tallystick_node.local.quality import gains
from tallystick_node.local.quality.parts import Part, Table, percent

SIGNAL: Final = 10
"""So many times as likely with a duel as without: a better signal than time and payer are thought to be. It
would have to be nearly fifty to gain anything."""
WORTH: Final = 0.23
"""Part of a judge's fee that looking is worth at least: a judgement that costs more is not made by who goes
by its gain alone, so fees have to be five times what judgements cost."""
STAKES: Final = (0.1, 0.3)
"""Of all stake, that colluding judges have."""


def part() -> Part:
    rows, targets = [], []
    for name, found, held, met in _rows():
        rows.append([name, found, held])
        targets.append(Target(name=name, wanted=held, found=found, met=met))
    missed = [target for target in targets if not target.met]
    return Part(
        key="d",
        title="what who plays against duels gains",
        tables=[Table(head=("", "gains, in the mean", "held to"), rows=rows)],
        targets=[
            Target(
                name="adversaries held to their bound",
                wanted=str(len(targets)),
                found=str(len(targets) - len(missed)),
                met=not missed,
            )
        ],
        figures={target.name: target.found for target in targets},
        notes=[
            "Computed from what duels move, in request prices unless it is said otherwise; an honest judge "
            f"is right {10 * gains.HONEST[gains.F]:.0f} times of ten, ties "
            f"{10 * gains.HONEST[gains.T]:.0f} times, and errs once."
        ],
    )


_Row = tuple[str, str, str, bool]
"""Who, what it gains, what that must be, and whether it is."""


def _rows() -> Iterator[_Row]:
    yield from _judges()
    yield from _answers()
    yield from _challengers()


def _judges() -> Iterator[_Row]:
    """Who do not look, and who play with others."""
    for name, odds in gains.LAZY.items():
        less = gains.looking(odds)
        yield (
            f"a judge that does not look: {name}",
            f"{less:.2f} of its fee less than by looking",
            f"≥ {WORTH} less",
            less >= WORTH,
        )
    for stake in STAKES:
        gain = max(gains.best_colluding(stake, seats=seats).own for seats in (3, 5))
        better = max(gains.best_colluding(stake, seats=seats, honest=gains.HONEST).own for seats in (3, 5))
        yield (
            f"challenger, winner and judges with {percent(stake)} of all stake in one hand",
            f"{_prices(gain)} a duel; {_prices(better)} where its answer is the better one",
            "< 0",
            max(gain, better) < 0,
        )
        chosen = max(gains.choosing_judges(stake, seats=seats) for seats in (3, 5))
        yield (
            f"the same, opening until most of the judges are its own, {percent(stake)}",
            f"{_prices(chosen)} a prize",
            "< 0",
            chosen < 0,
        )
    even = min(gains.breaks_even(seats=seats) for seats in (3, 5))
    yield "stake from which that hand gains at all", percent(even), "> 50 %", even > 0.5


def _answers() -> Iterator[_Row]:
    quoted = sum(gains.swayed(order, prompt) for order in gains.ORDERS)
    naive = sum(gains.swayed(order, gains.naive) for order in gains.ORDERS)
    yield (
        "an answer that gives orders to an engine that obeys any",
        f"{quoted} of {2 * len(gains.ORDERS)} verdicts (unquoted {naive})",
        "0",
        quoted == 0 < naive,
    )
    suspecting, sighted = gains.suspecting(SIGNAL), gains.sighted()
    yield (
        f"a duellist that serves a worse model, but on a signal {SIGNAL} times as likely in a duel",
        f"{_prices(suspecting)} a request (could it tell: {_prices(sighted, 3)})",
        "0",
        suspecting <= 0,
    )


def _challengers() -> Iterator[_Row]:
    """Who grief."""
    taunting = gains.worst_taunting()
    yield (
        "a challenger that picks fair fights with a worse one",
        f"{_prices(taunting.own)} a duel, and takes {_prices(-taunting.victim)}",
        "loses more than it takes",
        -taunting.own > -taunting.victim,
    )
    challenger, judges = gains.withholding()
    yield (
        "a challenger that summons judges to a case that it never shows",
        f"{_prices(challenger)}; the judges {_prices(judges)}",
        "loses its fee, they nothing",
        challenger < 0 == judges,
    )


def _prices(atoms: float, digits: int = 2) -> str:
    return f"{atoms / gains.PRICE + 0.0:.{digits}f}".replace("-", "−")
