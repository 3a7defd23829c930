"""What pays: providers that seek their profit, under the payers' own rules and the rules of duels and audits.

Flows are those of `fluid`; what one request brings and costs is in units of what an engine spends on one.
Who is audited is the live draw, which counts each channel's requests by themselves. An audit's power is an
assumption, and named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import comb
from random import Random
from statistics import fmean
from typing import Final

from tallystick.protocol import lottery
from tallystick.protocol.duel import Panel, Vote, moved
from tallystick.protocol.units import Atoms
from tallystick_node.sim.fluid import Curve, Seller, Weights, by_default, by_stake, curve, flows
from tallystick_node.sim.hardware import hardware, twelve

AUDITED: Final = lottery.LEAST_SHARE / lottery.WHOLE
"""Share of requests; of a channel's first ones more: see `audit_rate`."""
POWER: Final = 0.9
"""Chance that an audit of an answer by a cheaper model finds it."""
CHANNELS: Final = 20
"""Of a provider, all opened when it begins; its requests come on each in turn."""
STRIKES: Final = 3
"""After which the stake is slashed."""
WINDOW: Final = 30
"""Audits of one provider among which the strikes have to be."""
APPEAL: Final = 5
"""Auditors that look again where a provider denies a strike."""
SLOT_PRICES: Final = 300
"""Request prices that one must stake for each request at a time."""
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


def audit_rate(served: int) -> float:
    """Of a provider's next request, after it served so many."""
    return lottery.share(served // CHANNELS) / lottery.WHOLE


@cache
def requests_until_slashed(honest_first: int, power: float) -> float:
    """Requests that a provider cheats on until it is slashed, in the mean, if it serves so many honestly
    before. `power`: chance that an audit of one strikes and is upheld."""
    if power <= 0:
        return float("inf")
    # The chances of having no strike yet, one, two: request by request, until the audit rate stands still.
    left, expected, served = [1.0] + [0.0] * (STRIKES - 1), 0.0, honest_first
    while audit_rate(served) > AUDITED:
        expected += sum(left)
        struck = audit_rate(served) * power
        left = [(1 - struck) * left[i] + (struck * left[i - 1] if i else 0.0) for i in range(STRIKES)]
        served += 1
    return expected + sum(part * (STRIKES - i) / (AUDITED * power) for i, part in enumerate(left))


def requests_until_struck_out(struck: float, audited: float = AUDITED, *, window: int | None) -> float:
    """Of a provider, of whose audits that part strikes, rightly or wrongly. `window`: strikes count among so
    many of the last audits; None: for ever."""
    if struck <= 0:
        return float("inf")
    audits = STRIKES / struck
    if window is not None:
        few = sum(
            comb(window - 1, n) * struck**n * (1 - struck) ** (window - 1 - n) for n in range(STRIKES - 1)
        )
        audits = max(audits, 1 / (struck * max(1e-12, 1 - few)))
    return audits / audited


def upheld(liars: float) -> float:
    """Chance that more than half of an appeal's auditors are such, of which there is that share."""
    half = APPEAL // 2
    return sum(comb(APPEAL, n) * liars**n * (1 - liars) ** (APPEAL - n) for n in range(half + 1, APPEAL + 1))


@dataclass(frozen=True, slots=True)
class Earned:
    """A second, of one provider of each kind, stakes lost taken off."""

    honest: float
    cheat: float


def honesty(
    share: float, *, collude: bool, window: int | None = WINDOW, price: float = 1.25, busy: float = 0.6
) -> Earned:
    """A hundred providers of one engine; that share sells the smaller model's answers as the larger one's,
    which is faster and costs less. A slashed one comes back at once, with a new stake. `collude`: cheats that
    audit strike the honest and spare each other, and appeals are decided by most of those drawn."""
    sellers, slots = 100, 64
    each = hardware("Qwen3-4B", "A100")
    cheats = max(1, round(share * sellers))
    honest = Seller(engine=a100(), price=price, stake=1.0)
    cheat = Seller(engine=curve(each.speed, each.slots), price=price, stake=1.0, cost=1.0 - GAIN)
    market = [cheat] * cheats + [honest] * (sellers - cheats)
    found = flows(market, busy * honest.engine.full * sellers, by_default())
    stake = SLOT_PRICES * price * slots
    struck, wrong = POWER, 0.0
    if collude:
        struck, wrong = POWER * (1 - share) * upheld(1 - share), share * upheld(share)
    kept = price - honest.cost - stake / requests_until_struck_out(wrong, window=window)
    return Earned(honest=found[-1] * kept, cheat=found[0] * _best_kept(cheat, struck, stake))


def _best_kept(cheat: Seller, power: float, stake: float) -> float:
    """Of one request. It cheats from the start, or after enough honest requests to be audited seldom: what
    pays it best."""
    kept = []
    for first in (CHANNELS * each for each in (0, 50, 100, 200, 400)):
        lasts = requests_until_slashed(first, power)
        gained = first * (cheat.price - 1.0) + lasts * (cheat.price - cheat.cost) - stake
        kept.append(gained / (first + lasts))
    return max(kept)


def least_stake(audited: float, power: float, *, gain: float = GAIN) -> float:
    """Request prices at stake from which on cheating loses, where margins are thin: what it saves until the
    last strike."""
    return gain * STRIKES / (audited * power)


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
