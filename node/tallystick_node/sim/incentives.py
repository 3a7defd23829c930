"""What pays: providers that seek their profit, under the payers' own rules and the rules of duels and audits.

Flows are those of `fluid`; what one request brings and costs is in units of what an engine spends on one.
What strikes take is as in `accusing`. An audit's power is an assumption, and named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from random import Random
from statistics import fmean
from typing import Final

from tallystick.protocol import lottery
from tallystick.protocol.duel import Panel, Vote, moved
from tallystick.protocol.strikes import SLASHED, STRIKES
from tallystick.protocol.units import Atoms
from tallystick_node.sim.accusing import (
    ANSWER_PERIODS,
    LONGEST_PERIOD_S,
    PERIOD_S,
    REAUDIT_PERIODS,
    WINDOW_S,
    Struck,
    cycle_s,
    falsely,
    remains_s,
    tried,
)
from tallystick_node.sim.fluid import Curve, Seller, Weights, by_default, by_stake, curve, flows
from tallystick_node.sim.hardware import hardware, twelve

AUDITED: Final = lottery.LEAST_SHARE / lottery.WHOLE
"""Share of requests. Of a channel's first ones there are more: nothing is new here."""
POWER: Final = 0.9
"""Chance that an audit of an answer by a cheaper model finds it."""
SLOTS: Final = 64
"""Requests at a time of an A100, for each of which its provider stakes …"""
SLOT_PRICES: Final = 300
"""… so many request prices."""
GAIN: Final = 0.5
"""Share of an honest request's cost that a cheat saves."""
DEAREST: Final = 10.0
"""Price at which payers go elsewhere altogether."""
RULES: Final[Mapping[str, Weights]] = {"ours": by_default(), "the paper's rule": by_stake}


def a100() -> Curve:
    each = hardware("Qwen3-8B", "A100")
    return curve(each.speed, each.slots)


# ------------------------------------------------------------------------------------------ prices


def prices(
    weights: Weights, *, sellers: int, busy: float, rounds: int, seed: int, start: float = 4.0
) -> list[float]:
    """The mean price after each round in which every seller in turn takes the price that pays it best, of
    those near its own. All are alike; `busy`: requests there are, over what all can do."""
    random, engine = Random(f"{seed} prices"), a100()
    market = [Seller(engine=engine, price=start, stake=1.0) for _ in range(sellers)]
    rate = busy * engine.full * sellers
    found: list[float] = []
    for _ in range(rounds):
        now = flows(market, rate, weights)
        for i in random.sample(range(sellers), sellers):
            market[i] = max(
                _prices_near(market[i]), key=lambda new: _profit(market, i, new, rate, weights, now)
            )
        found.append(fmean(seller.price for seller in market))
    return found


def _prices_near(seller: Seller) -> list[Seller]:
    """The one in force first: of equals it stays."""
    factors = (1.0, 0.9, 0.97, 0.99, 1.01, 1.03, 1.1)
    return [replace(seller, price=min(DEAREST, max(0.5, seller.price * factor))) for factor in factors]


def _profit(
    market: Sequence[Seller], i: int, new: Seller, rate: float, weights: Weights, start: Sequence[float]
) -> float:
    changed = [*market]
    changed[i] = new
    return flows(changed, rate, weights, start)[i] * (new.price - new.cost)


# ------------------------------------------------------------------------------------------ honesty


class Ring(Enum):
    """What cheats have with one another."""

    NONE = "each for itself"
    CLEARS = "colluding"
    """Whom one of them audits, or re-audits, is cleared."""
    STRIKES = "colluding, and striking all others"
    """And every honest provider always stands accused: they buy of it, and strike what they are drawn for."""


@dataclass(frozen=True, slots=True)
class Earned:
    """A second, of one provider of each kind, stakes lost taken off."""

    honest: float
    cheat: float


def honesty(
    share: float,
    ring: Ring = Ring.NONE,
    *,
    how: Struck = Struck(),
    price: float = 1.25,
    busy: float = 0.6,
) -> Earned:
    """A hundred providers of one engine; that share sells the smaller model's answers as the larger one's,
    which is faster and costs less. All stake alike, and again what was taken."""
    sellers = 100
    cheats = max(1, round(share * sellers))
    honest, cheat = (
        Seller(engine=curve(hardware(model, "A100").speed, SLOTS), price=price, stake=1.0, cost=cost)
        for model, cost in (("Qwen3-8B", 1.0), ("Qwen3-4B", 1.0 - GAIN))
    )
    market = [cheat] * cheats + [honest] * (sellers - cheats)
    found = flows(market, busy * honest.engine.full * sellers, by_default())
    stake = float(SLOT_PRICES * SLOTS)
    colludes = 0.0 if ring is Ring.NONE else share
    struck_s = found[0] * AUDITED * POWER * (1 - colludes)
    earned = [flow * (each.price - each.cost) for flow, each in ((found[-1], honest), (found[0], cheat))]
    remains = price * remains_s(earned[1] / price, struck_s, how, stake=stake, share=colludes)
    if ring is Ring.STRIKES:
        lost, spent = strikes_s(share, stake=stake, period_s=how.period_s)
        earned[0] -= price * lost
        remains -= price * spent * (sellers - cheats) / cheats
    return Earned(honest=earned[0], cheat=remains)


def least_audits(share: float, how: Struck) -> float:
    """Of all requests those whose payers have to audit, so that nobody gains by cheating on all, each for
    itself, where that share of the providers does; by halves, within a hundredth."""
    low, high = 0.0, 1.0
    while high - low > 0.01:
        middle = (low + high) / 2
        earned = honesty(share, how=replace(how, audits=middle))
        low, high = (low, middle) if earned.honest > earned.cheat else (middle, high)
    return high


def strikes_s(share: float, *, stake: float, period_s: float = PERIOD_S) -> tuple[float, float]:
    """Request prices a second that an honest provider loses which always stands accused, answering at once,
    and that those lose together who strike it; theirs is that share of all stake."""
    done, each_s = tried(falsely(share), stake=stake), REAUDIT_PERIODS * period_s
    lost, spent = -done.provider * stake - done.answerer, -STRIKES * done.striker * stake
    return lost / each_s, spent / each_s


def least_stake(audited: float, power: float, *, slots: int, period_s: float = PERIOD_S) -> float:
    """Request prices a slot at stake from which on cheating on all loses, where margins are thin: what it
    saves until the third strike, and while it is accused."""
    served = slot_s() * slots
    saved = (
        GAIN * served * cycle_s(served * audited * power, accused_s=_accused_s(period_s), window_s=WINDOW_S)
    )
    return saved / slots * SLASHED[1] / SLASHED[0]


def longest_period_s(*, slots: int, slot_prices: float = SLOT_PRICES) -> float:
    """Up to which such a stake deters, at one audit in a hundred; by halves, within a fiftieth."""
    low, high = 1.0, LONGEST_PERIOD_S * 100
    while high > 1.02 * low:
        middle = (low * high) ** 0.5
        if least_stake(AUDITED, POWER, slots=slots, period_s=middle) > slot_prices:
            high = middle
        else:
            low = middle
    return low


def _accused_s(period_s: float) -> float:
    """Of a cheat that answers at the last moment."""
    return (ANSWER_PERIODS + REAUDIT_PERIODS) * period_s


def slot_s(busy: float = 0.6) -> float:
    """Requests a second of each slot of such an engine."""
    return busy * curve(hardware("Qwen3-8B", "A100").speed, SLOTS).full / SLOTS


# ------------------------------------------------------------------------------------------ duels


def duel_of(votes: Sequence[Vote], price: Atoms) -> Panel:
    """Judges read both answers, in both orders, and are paid for it; of theirs nothing is at stake here."""
    return Panel(votes=votes, fee=Atoms(4 * len(votes) * price), stakes=[Atoms(0)] * len(votes))


def twins(*, pairs: int, duels: int, stake: int, price: int, seed: int) -> list[float]:
    """What the poorer of two equal honest providers keeps of its stake, by pair: each judge tosses a coin,
    and none calls it a tie."""
    random, kept = Random(f"{seed} twins"), []
    for _ in range(pairs):
        first, second = Atoms(stake), Atoms(stake)
        for _ in range(duels):
            votes = [Vote.FIRST if random.random() < 0.5 else Vote.SECOND for _ in range(5)]
            panel = duel_of(votes, Atoms(price))
            done = moved(panel, price=Atoms(price), first_stake=first, second_stake=second)
            first, second = Atoms(first + done.first), Atoms(second + done.second)
        kept.append(min(first, second) / stake)
    return kept


# ------------------------------------------------------------------------------------------ concentration


def shares(
    rule: str, *, rounds: int, busy: float, rich: float = 1.0, alike: bool = False
) -> list[list[float]]:
    """Of all requests, by provider and round, where each puts its profit into its stake. The twelve engines
    of the market, or as many that are `alike`; the first begins with `rich` times the others' stake."""
    engines = [a100()] * 12 if alike else [curve(each.speed, each.slots) for each in twelve()]
    market = [
        Seller(engine=engine, price=1.25, stake=rich if i == 0 else 1.0) for i, engine in enumerate(engines)
    ]
    rate = busy * sum(engine.full for engine in engines)
    mean = rate * 0.25 / len(market)
    found = []
    for _ in range(rounds):
        now = flows(market, rate, RULES[rule])
        found.append([flow / sum(now) for flow in now])
        # The mean provider's stake grows by a twentieth a round.
        market = [
            replace(seller, stake=seller.stake * 1.0 + 0.05 * flow * (seller.price - seller.cost) / mean)
            for seller, flow in zip(market, now, strict=True)
        ]
    return found


def sellers_in_effect(parts: Sequence[float]) -> float:
    """As many of equal size would be as concentrated."""
    return 1 / sum(part * part for part in parts)
