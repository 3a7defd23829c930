"""How good a market's providers are, by every duel that ended on it: what anybody can read from its
events."""

from collections.abc import Mapping
from pathlib import Path

from tallystick.chain.deployment import Deployment
from tallystick.chain.duels import Duels
from tallystick.chain.market import Market
from tallystick.chain.rpc import Rpc
from tallystick.chain.verdicts import decided
from tallystick.home import Home
from tallystick.protocol.strength import strengths as strengths_of
from tallystick.protocol.units import Address


def strengths(
    *, rpc: str, deployment: Deployment | Path | str | None = None, home: Path | str | None = None
) -> Mapping[Address, float]:
    """For `Judged`; arguments as of `transport`. Zero is average, 1.1 more wins three of four. It reads all
    blocks since the market began: once an hour is often enough.

    Raises
    ------
    NoContract :
        The deployment cannot be read, or names no duels.
    ChainUnavailable :
        The node does not answer.
    """
    if not isinstance(deployment, Deployment):
        deployment = Deployment.load(Home.at(home).deployment if deployment is None else deployment)
    node = Rpc(rpc)
    try:
        return strengths_of(decided(Duels(Market(node, deployment))))
    finally:
        node.close()
