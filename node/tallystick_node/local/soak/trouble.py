"""What goes wrong in a soak, when, and to whom: drawn from a seed, so that a run can be had again."""

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tallystick_node.local.market import LocalMarket
from tallystick_node.local.soak.crowd import Crowd

_BETWEEN_S: Final = 5.0
"""Two troubles, on average."""
_STALL_S: Final = 3.0


class Kind(Enum):
    GATEWAY_KILLED = "gateways killed"
    PAYERS_KILLED = "SDK processes killed"
    CHAIN_STALLED = "chain stalled"
    CHAIN_RESTARTED = "chain restarted"


_WEIGHTS: Final = {
    Kind.GATEWAY_KILLED: 5,
    Kind.PAYERS_KILLED: 4,
    Kind.CHAIN_STALLED: 1,
    Kind.CHAIN_RESTARTED: 1,
}


@dataclass(frozen=True, slots=True)
class Trouble:
    at_s: float
    """Since the start."""
    kind: Kind
    whom: int


def troubles(seed: int, *, gateways: int, processes: int) -> Iterator[Trouble]:
    """Without end. The first kinds come one each; the first gateway is spared, so that its memory can be
    watched."""
    chance = random.Random(seed)
    at_s, first = 0.0, list(Kind)
    while True:
        at_s += chance.uniform(0.4, 1.6) * _BETWEEN_S
        kind = first.pop(0) if first else chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        count = processes if kind is Kind.PAYERS_KILLED else gateways - 1
        yield Trouble(at_s, kind, chance.randrange(count))


def make(trouble: Trouble, market: LocalMarket, crowd: Crowd) -> None:
    """It is over when this returns."""
    match trouble.kind:
        case Kind.GATEWAY_KILLED:
            provider = market.providers[1 + trouble.whom]
            provider.running.kill()
            market.start_gateway(provider)
        case Kind.PAYERS_KILLED:
            crowd.kill(trouble.whom)
        case Kind.CHAIN_STALLED:
            os.kill(market.chain.pid, signal.SIGSTOP)
            try:
                time.sleep(_STALL_S)
            finally:
                os.kill(market.chain.pid, signal.SIGCONT)
        case Kind.CHAIN_RESTARTED:
            market.chain.stop()
            market.chain.start()
