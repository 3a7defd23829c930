"""Time on a local chain: blocks that come by themselves, as elsewhere, and periods that nobody waits for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tallystick.chain.duels import Duels, Status
from tallystick.chain.verdicts import rulings
from tallystick_node.local.market import LocalMarket

_BLOCK_S: Final = 0.25
_AT_ONCE: Final = 20
"""Rulings that one transaction settles."""


@contextmanager
def mining(market: LocalMarket) -> Iterator[None]:
    """A local chain mines what is sent alone; judges are drawn by a block that comes later."""
    over = threading.Event()

    def mine() -> None:
        while not over.wait(_BLOCK_S):
            market.chain.rpc.call("anvil_mine", "0x1")

    thread = threading.Thread(target=mine)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def let_money_move(market: LocalMarket) -> None:
    """The time for appeals passes, in which nobody appeals, and what waited for that is settled."""
    duels = Duels(market.market_of(market.payer))
    market.chain.rpc.call("evm_increaseTime", duels.terms().period_s + 1)
    market.chain.rpc.call("evm_mine")
    waiting = [one for one in rulings(duels) if duels.duel(one.duel).status is Status.SETTLEABLE]
    for place in range(0, len(waiting), _AT_ONCE):
        duels.settle(waiting[place : place + _AT_ONCE])
