"""What strikes take in the mean: how soon three of them accuse, how a re-audit ends, and what that moves.

What moves, and how many opinions decide, is `protocol.strikes`' rule; here is only chance. Who is drawn has a
seat by its share of all stake, each seat by itself.
"""

from cmath import exp as cexp
from cmath import sqrt as csqrt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import comb, exp, factorial
from typing import Final

from tallystick.client.avoidance import FORGIVEN_AFTER, Reason
from tallystick.protocol.strikes import MOST, SEATS, STRIKES, Opinion, Outcome, Reaudit, Said, concluded
from tallystick.protocol.units import Atoms

WINDOW_S: Final = 7 * 86_400.0
"""For which a strike counts, where the market's stakes have a notice of fourteen days."""
PERIOD_S: Final = 600.0
"""The least that the contract takes; docs/incentives.md says what longer ones do."""
LONGEST_PERIOD_S: Final = 1.4 * 86_400
"""What a notice of three weeks leaves beside that window: the most that it takes then."""
ANSWER_PERIODS: Final = 1
"""For which a provider that is accused may leave it at that."""
REAUDIT_PERIODS: Final = 3
"""From its answer on: two to commit in, one to reveal."""
LEFT_S: Final = FORGIVEN_AFTER[Reason.STRUCK] / 1_000
PAYERS: Final = 20
"""Of a provider, each with as many requests as the other."""
AWAY: Final = 0.05
"""Share of all stake whose judges are silent."""
FEE_PRICES: Final = 132
"""Request prices that an answer costs, twelve for each re-auditor: what a prefill and a replay of six answers
cost. An assumption."""
_UPHOLDS: Final = (Opinion.UPHOLD,) * STRIKES
_CLEARS: Final = (Opinion.CLEAR,) * STRIKES
_UNIT: Final = 10**6
_FEW: Final = 1e-3
_MANY: Final = 25.0
"""Strikes that come while one counts, up to which they hardly ever meet, and from which on they always do."""


# ------------------------------------------------------------------------------------------------- how soon


def accused_after_s(rate: float, window_s: float, there: int = 0) -> float:
    """Until three strikes count, where they come by chance, so many a second, and each counts for `window_s`.
    `there`: that were filed just now.

    In units of the mean time between two, `w` being the window: E(x), where the last two came x apart, is
    1 + c·E(w) + ∫ e^(-t)·E(t) dt from w - x to w, with c = e^(-w). So E' (x) = e^(x-w)·E(w - x), and
    E'' = E' - c·E: a sum of two exponentials, which is solved for E(0) = 1 + E'(0) and E'(0) = c·E(w).
    """
    if there >= STRIKES:
        return 0.0
    if rate <= 0:
        return float("inf")
    apart, at_once = _waits(rate * window_s)
    return ((1 + apart, apart, at_once)[there]) / rate


assert STRIKES == 3, "What is solved here is of three strikes."


def _waits(w: float) -> tuple[float, float]:
    """(E(w), E(0)) of `accused_after_s`."""
    if w > _MANY:
        return 2.0, 1.0
    c = exp(-w)
    if w < _FEW:
        apart = 2 / (w * w)
        return apart, 1 + c * apart
    if abs(1 - 4 * c) < 1e-7:  # Two equal roots: those beside them.
        w += 1e-6
        c = exp(-w)
    root = csqrt(1 - 4 * c)
    more = (1 + root) / 2
    less = c / more
    # a·less + b·more = 1, and a·of_more + b·of_less = 0.
    of_more, of_less = more - c * cexp(more * w), less - c * cexp(less * w)
    b = 1 / (more - less * of_less / of_more)
    a = -b * of_less / of_more
    apart = (a * cexp(more * w) + b * cexp(less * w)).real
    return apart, 1 + c * apart


def cycle_s(rate: float, *, accused_s: float, window_s: float, slashed: float = 1.0) -> float:
    """From the end of one accusation to that of the next. `slashed`: chance that its end is that, and then
    those strikes are gone that were taken meanwhile; what was found beside them is filed when it is over."""
    if rate <= 0:
        return float("inf")
    waits = (
        chance * _wait_s(rate, window_s, rate * min(accused_s, window_s), gone)
        for chance, gone in ((slashed, MOST - STRIKES), (1 - slashed, 0))
    )
    return accused_s + sum(waits)


def _wait_s(rate: float, window_s: float, found: float, gone: int) -> float:
    """Until three count, so many having been found meanwhile in the mean, of which the first are gone."""
    chances = [exp(-found) * found**count / factorial(count) for count in range(gone + STRIKES)]
    left = [sum(chances[: gone + 1]), *chances[gone + 1 :]]
    return sum(chance * accused_after_s(rate, window_s, count) for count, chance in enumerate(left))


# --------------------------------------------------------------------------------------------- how it ends


@dataclass(frozen=True, slots=True)
class Bench:
    """Of whom re-auditors are drawn: parts of all stake. The rest is silent."""

    upholds: float
    clears: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """In the mean over all that eleven may say."""

    upheld: float
    """Chance."""
    cleared: float
    provider: float
    """What it gains, in parts of its stake: nothing or less."""
    striker: float
    """What each who struck gains, in parts of its own."""
    answerer: float
    """What who answered gains, in request prices."""


@cache
def tried(bench: Bench, *, stake: float, richer: float = 1.0, fee: float = FEE_PRICES) -> Tried:
    """`stake`: of the accused, in request prices, as `fee`; that is so many times what each other provider
    stakes."""
    upheld = cleared = provider = striker = answerer = 0.0
    atoms, others = Atoms(round(_UNIT * stake)), Atoms(round(_UNIT * stake / richer))
    for chance, said in _said(bench):
        reaudit = Reaudit(fee=Atoms(round(_UNIT * fee)), said=said, stakes=[others] * SEATS)
        done = concluded(provider_stake=atoms, striker_stakes=[others] * STRIKES, reaudit=reaudit)
        upheld += chance * (done.outcome is Outcome.UPHELD)
        cleared += chance * (done.outcome is Outcome.CLEARED)
        provider += chance * done.provider / atoms
        striker += chance * sum(done.strikers) / STRIKES / others
        answerer += chance * done.answerer / _UNIT
    return Tried(upheld=upheld, cleared=cleared, provider=provider, striker=striker, answerer=answerer)


def _said(bench: Bench) -> Iterator[tuple[float, list[Said]]]:
    """All that eleven may say, but for who says it, and how likely."""
    silent = 1 - bench.upholds - bench.clears
    for uphold in range(SEATS + 1):
        for clear in range(SEATS + 1 - uphold):
            none = SEATS - uphold - clear
            ways = comb(SEATS, uphold) * comb(SEATS - uphold, clear)
            chance = ways * bench.upholds**uphold * bench.clears**clear * silent**none
            if chance > 0:
                yield chance, [*[_UPHOLDS] * uphold, *[_CLEARS] * clear, *[()] * none]


def truly(share: float) -> Bench:
    """Three true strikes, where that share of all stake colludes with the accused and clears it."""
    return Bench((1 - AWAY) * (1 - share), share)


def truly_and_silent(share: float) -> Bench:
    """The same where those that collude say nothing."""
    return Bench((1 - AWAY) * (1 - share), 0.0)


def falsely(share: float) -> Bench:
    """Three strikes by such as collude, who uphold them."""
    return Bench(share, (1 - AWAY) * (1 - share))


# ------------------------------------------------------------------------------------ what it costs a cheat


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """How strikes go in a market."""

    period_s: float = PERIOD_S
    window_s: float = WINDOW_S
    """For which a strike counts."""
    left_s: float = LEFT_S
    """For which a payer goes elsewhere from whom its auditor struck; zero: it does not."""
    audits: float = 1.0
    """Part of the requests whose payers have answers audited."""


def remains_s(
    earned: float, found: float, how: Struck = Struck(), *, stake: float, share: float = 0.0
) -> float:
    """What a cheat has left a second of what it `earned` as long as nobody leaves it; so many of its answers
    would be `found` a second if all payers audited. In request prices, as its stake, which it makes up after
    each loss. Payers that leave it come back after a while.

    It makes the most of it: it leaves an accusation unanswered, or answers at the last moment; those that
    collude with it, that share of all stake, clear it or are silent. To report a fraud of its own leaves it
    no more.
    """
    if found <= 0:
        return earned
    stay = 1 / (1 + how.left_s * found / PAYERS)
    earned *= 1 - how.audits * (1 - stay)
    found *= how.audits * stay
    unanswered = concluded(provider_stake=Atoms(_UNIT), striker_stakes=[Atoms(0)] * STRIKES, reaudit=None)
    ways = [(ANSWER_PERIODS, -unanswered.provider / _UNIT * stake, 1.0)]
    for bench in (truly(share), truly_and_silent(share)):
        done = tried(bench, stake=stake)
        ways.append((ANSWER_PERIODS + REAUDIT_PERIODS, -done.provider * stake - done.answerer, done.upheld))
    return earned - min(
        lost / cycle_s(found, accused_s=how.period_s * periods, window_s=how.window_s, slashed=slashed)
        for periods, lost, slashed in ways
    )
