"""What a market sends to the chain for a million requests, and what that takes in gas: a gateway's own rule
of settling decides, over payers who ask at random. It knows no engine: answers are paid when they are asked
for.
"""

from dataclasses import dataclass
from random import Random
from typing import Final

from tallystick.protocol.pricing import cost_up
from tallystick_node.gateway.settling import ROW_GAS, SETTLE_GAS, SettlePolicy
from tallystick_node.sim.chain import Chain
from tallystick_node.sim.dispatch import Alone
from tallystick_node.sim.events import Events
from tallystick_node.sim.spread import note
from tallystick_node.sim.till import Till
from tallystick_node.sim.workload import CHAT
from tallystick_node.sim.world import SETTLING, NodeSpec, World

OPEN_GAS: Final = 38_445
"""To open a channel by its payer's grant, one of a hundred in a transaction. These two are the contract's
gas snapshot's; a test holds them to it."""
CLOSE_GAS: Final = 47_999
"""To close one, signed by its provider."""
COIN_PRICE: Final = 3_000_000_000
"""Atoms that 10¹⁸ wei cost: 3,000 dollars, where an atom is a millionth of one."""
MILLION: Final = 1_000_000
DAY_S: Final = 86_400.0
_REQUESTS: Final = 5_000
"""That are counted."""
_RUN_IN: Final = 4
"""Requests of each channel before that."""
_BLOCK_S: Final = 2.0
_SAID: Final = 1_024
"""Requests, after each of which it says how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Of a million requests, where a channel has so many in a day."""

    a_day: float
    """Requests of one channel."""
    transactions: float
    rows: float
    income: float
    """Atoms."""

    def gas_part(self, price: int) -> float:
        """Of the income, where a gas is so many wei and a coin costs `COIN_PRICE`."""
        return self.gas * price * COIN_PRICE / 1e18 / self.income

    @property
    def gas(self) -> float:
        """Of settling alone."""
        return SETTLE_GAS * self.transactions + ROW_GAS * self.rows


def settled(a_day: float, *, channels: int = 200, policy: SettlePolicy = SETTLING, seed: int = 1) -> Settled:
    """One provider with so many channels, at the simulator's usual prices. What it settles until its channels
    have run in is left out."""
    random = Random(f"{seed} settled {a_day}")
    offer = World([NodeSpec(hardware=None)], Alone(), seed=seed).nodes[0].offer(0)
    events = Events()
    chain = Chain(events.at, block_s=_BLOCK_S)
    till = Till(events, chain, policy)
    rate = a_day * channels / DAY_S
    warm_s = 2 * policy.interval_s + _RUN_IN * DAY_S / a_day
    end_s = warm_s + max(2 * policy.interval_s, _REQUESTS / rate)
    asked, before, income = 0, (0, 0), 0
    at = random.expovariate(rate)
    drawn = 0
    while at < end_s:
        drawn += 1
        if drawn % _SAID == 0:
            note(_SAID)
        events.run(at)
        if at < warm_s:
            before = chain.counts["settlements"], chain.counts["rows"]
        input_tokens, output_tokens = CHAT.drawn(random)
        cost = cost_up(offer, input_tokens=input_tokens, cached_input_tokens=0, output_tokens=output_tokens)
        if at >= warm_s:
            asked, income = asked + 1, income + cost
        till.take(random.randrange(channels), cost)
        at += random.expovariate(rate)
    scale = MILLION / max(1, asked)
    return Settled(
        a_day=a_day,
        transactions=scale * (chain.counts["settlements"] - before[0]),
        rows=scale * (chain.counts["rows"] - before[1]),
        income=scale * income,
    )
