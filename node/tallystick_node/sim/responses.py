"""Providers that choose all that they can at once: their price, their stake, how precise the model is that
they declare, and on what part of the requests they serve a cheaper one after all. Each takes what pays it
best against what the others do now.

Flows are those of `fluid`; what strikes take is as in `accusing`. Money is in units of what an
engine spends on one request in full precision.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from random import Random
from typing import Final

from tallystick.protocol.duel import Vote, moved
from tallystick.protocol.units import Atoms
from tallystick_node.sim.accusing import Struck, remains_s
from tallystick_node.sim.fluid import Curve, Seller, Weights, by_default, curve, flows
from tallystick_node.sim.hardware import hardware
from tallystick_node.sim.incentives import AUDITED, DEAREST, POWER, SLOT_PRICES, SLOTS, duel_of

FULL, FAST = "16 bits", "8 bits"
PRECISIONS: Final[Mapping[str, tuple[float, float, float]]] = {
    FULL: (1.0, 1.0, 0.57),
    FAST: (0.5, 0.5, 0.54),
    "4 bits": (0.25, 1.0, 0.49),
}
"""By precision: time to read the weights and to compute a token, over those of the first, and the part of its
duels that it wins, as the paper reports it."""
SMALLER_WINS: Final = 0.39
"""Of its duels, a cheat."""
CHEATED: Final = (0.0, 1e-6, 1e-5, 1e-4, 0.001, 0.01, 0.1, 1.0)
"""Parts of its requests that one may cheat on."""
STAKES: Final = (1.0, 2.0, 4.0, 8.0)
"""Times the least, as far as its capital goes."""
INTEREST: Final = 0.1 / (365 * 86_400)
"""A second, on what is staked."""
JUDGES: Final = 5
_UNIT: Final = 10**6
_ROUNDS: Final = 12


@dataclass(frozen=True, slots=True)
class Terms:
    """Of the market that they play in."""

    audited: float = AUDITED
    """Share of requests."""
    power: float = POWER
    struck: Struck = Struck()
    slot_prices: float = SLOT_PRICES
    duelled: float = 0.05
    """Share of requests."""
    usual: float = 1.25
    """What a request costs, where prices of requests are what is staked."""


@dataclass(frozen=True, slots=True)
class Plan:
    price: float
    stake: float = 1.0
    """Times the least."""
    precision: str = FULL
    cheats: float = 0.0
    """On that part of the requests."""
    slots: int = SLOTS
    """Nobody's choice: how large it is."""

    @property
    def engine(self) -> Curve:
        return _engine(self.precision, self.cheats, self.slots)

    @property
    def seller(self) -> Seller:
        return Seller(engine=self.engine, price=self.price, stake=self.stake, cost=self.cost)

    @property
    def cost(self) -> float:
        """Of a request: the time that it takes of a full engine, over that of the model in full precision."""
        return _engine(FULL, 0.0, self.slots).full / self.engine.full


@cache
def _engine(precision: str, cheats: float, slots: int) -> Curve:
    """A mixture of the declared model and of the smaller one, in the fewest bits that are fast."""
    honest = _curve("Qwen3-8B", precision, slots)
    return honest.mixed(_curve("Qwen3-4B", FAST, slots), cheats) if cheats else honest


def _curve(model: str, precision: str, slots: int) -> Curve:
    each, (reads, computes, _) = hardware(model, "A100"), PRECISIONS[precision]
    weights, token = round(each.speed.weights * reads), round(each.speed.token * computes)
    return curve(replace(each.speed, weights=weights, token=token), slots)


def profit(plan: Plan, flow: float, terms: Terms) -> float:
    """A second, stakes that are lost and duels in the mean among it."""
    prices = terms.slot_prices * plan.slots * plan.stake
    stake = terms.usual * prices
    earned = flow * (plan.price - plan.cost + terms.duelled * _duel(plan, stake))
    if found := flow * plan.cheats * terms.audited * terms.power:
        earned = terms.usual * remains_s(earned / terms.usual, found, terms.struck, stake=prices)
    return earned - INTEREST * stake


def _duel(plan: Plan, stake: float) -> float:
    """What one duel brings against who serves in full precision."""
    wins = (1 - plan.cheats) * PRECISIONS[plan.precision][2] + plan.cheats * SMALLER_WINS
    chance = 0.5 + (wins - PRECISIONS[FULL][2]) / 2
    price, atoms = Atoms(round(_UNIT * plan.price)), Atoms(round(_UNIT * stake))
    won, lost = (
        moved(duel_of([vote] * JUDGES, price), price=price, first_stake=atoms, second_stake=atoms).first
        for vote in (Vote.FIRST, Vote.SECOND)
    )
    return (chance * won + (1 - chance) * lost) / _UNIT


# ------------------------------------------------------------------------------------------ one's best answer


def answer(
    market: Sequence[Plan], i: int, plans: Iterable[Plan], rate: float, weights: Weights, terms: Terms
) -> tuple[Plan, float]:
    """Of these plans, the one that pays the i-th best, the others' standing; and what it earns."""
    sellers = [plan.seller for plan in market]
    start = flows(sellers, rate, weights)
    best, most = market[i], profit(market[i], start[i], terms)
    for plan in plans:
        flow = flows([*sellers[:i], plan.seller, *sellers[i + 1 :]], rate, weights, start)[i]
        earned = profit(plan, flow, terms)
        if earned > most:
            best, most = plan, earned
    return best, most


def near(plan: Plan) -> list[Plan]:
    """All that it may choose next, at once: any precision and honesty, a stake up to twice or half, and a
    price up to a third away."""
    prices = [
        min(DEAREST, max(0.25, plan.price * factor)) for factor in (0.7, 0.9, 0.97, 1.0, 1.03, 1.1, 1.4)
    ]
    return [
        Plan(price, stake, precision, cheats, plan.slots)
        for price, stake, precision, cheats in product(prices, _stakes(plan), PRECISIONS, CHEATED)
    ]


def _stakes(plan: Plan) -> list[float]:
    return [stake for stake in STAKES if plan.stake / 2 <= stake <= 2 * plan.stake]


def settled(
    *, sellers: int, busy: float, seed: int, terms: Terms = Terms(), weights: Weights | None = None
) -> list[list[Plan]]:
    """The market at the start, and after each round in which every provider in turn takes what pays it best
    of all that is near. Half of them begin as cheats."""
    rule, random = weights or by_default(), Random(f"{seed} responses")
    rate = busy * sellers * Plan(1.0).engine.full
    market = [Plan(2.0, cheats=float(i % 2)) for i in range(sellers)]
    found = [[*market]]
    for _ in range(_ROUNDS):
        for i in random.sample(range(sellers), sellers):
            market[i], _earned = answer(market, i, near(market[i]), rate, rule, terms)
        found.append([*market])
    return found


def honest_lead(share: float, terms: Terms, *, price: float = 1.25, busy: float = 0.6) -> float:
    """What the best honest plan of one among a hundred providers earns over its best dishonest one, in parts
    of it; that share of the others cheat on all that they serve."""
    others = 99
    cheats = max(1, round(share * (others + 1)))
    honest, cheat = Plan(price).seller, Plan(price, cheats=1.0).seller
    rest = [honest.times(others - cheats), cheat.times(cheats)]
    rate = busy * (others + 1) * honest.engine.full
    earned: dict[bool, float] = {}
    for plan in near(Plan(price)):
        flow = flows([plan.seller, *rest], rate, by_default())[0]
        is_honest = not plan.cheats
        earned[is_honest] = max(earned.get(is_honest, float("-inf")), profit(plan, flow, terms))
    return 1 - earned[False] / earned[True]


def best_cheat(
    part: float, terms: Terms, *, slots: int = SLOTS, price: float = 1.25, busy: float = 0.6
) -> float:
    """What one among a hundred honest providers gains by cheating on that part of its requests, at its best
    price, over what honesty earns at its own best price, in parts of that."""
    alike = Plan(price, slots=slots)
    others = alike.seller.times(99)
    rate = busy * 100 * alike.engine.full
    earned = []
    for cheats in (0.0, part):
        plans = [
            replace(alike, price=price * factor, cheats=cheats)
            for factor in (0.85, 0.95, 1.0, 1.05, 1.2, 1.5)
        ]
        found = [flows([plan.seller, others], rate, by_default())[0] for plan in plans]
        earned.append(max(profit(plan, flow, terms) for plan, flow in zip(plans, found, strict=True)))
    return earned[1] / earned[0] - 1


def least_slot_prices(terms: Terms, *, least: float = 0.01) -> float:
    """Request prices at stake for each request at a time, from which on nobody gains by cheating on that part
    of its requests or more; by halves, within a fiftieth."""
    low, high = 1.0, 1e6
    while high > 1.02 * low:
        middle = (low * high) ** 0.5
        if all(
            best_cheat(part, replace(terms, slot_prices=middle)) <= 0 for part in CHEATED if part >= least
        ):
            high = middle
        else:
            low = middle
    return high
