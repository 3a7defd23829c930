"""What gossip takes of a node, and how fast a word of it spreads: by simulated networks in which the very
code of nodes decides. Bytes are counted as they would be sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.hearsay import NETWORK_PER_S
from tallystick_node.sim.gossip import Network, status_said

_LONGEST: Final = 12
"""Rounds for which a change is followed."""
_SPEAKING: Final = 2
"""Nodes of which each says something in each round, while what one status costs is measured."""
_SETTLED: Final = 4
"""Rounds before it is measured."""
_MEASURED: Final = 4


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of one node, in bytes sent."""

    nodes: int
    idle_s: float
    """In a second in which nothing is said."""
    status: float
    """For each status that anybody makes."""

    @property
    def full_s(self) -> float:
        """In a second in which all together say as much as they ever may."""
        return self.idle_s + self.status * min(self.nodes, NETWORK_PER_S)


def traffic(nodes: int) -> Traffic:
    network = Network(nodes, seed=nodes)
    for node in network.nodes.values():
        node.hearsay.is_part_of(nodes)
    network.silent = True
    idle = _sent(network, 2) / 2
    said = before = 0
    for sequence in range(1, 1 + _SETTLED + _MEASURED):
        if sequence == 1 + _SETTLED:
            said, before = 0, sum(network.sent.values())
        for _ in range(_SPEAKING):
            number = network.random.randrange(1, nodes + 1)
            network.nodes[number].take(status_said(number, sequence), network.now)
            said += 1
        network.round()
    sent = (sum(network.sent.values()) - before) / nodes
    return Traffic(nodes, idle / nodes, max(0.0, sent - _MEASURED * idle / nodes) / said)


def _sent(network: Network, rounds: int) -> float:
    before = sum(network.sent.values())
    for _ in range(rounds):
        network.round()
    return sum(network.sent.values()) - before


def spread(network: Network, changes: int) -> list[list[float]]:
    """Of each change by another node: which share of all knew it after each round."""
    found = []
    for number in range(1, 1 + changes):
        network.nodes[number].take(status_said(number, sequence=2, running=50), network.now)
        shares = []
        for _ in range(_LONGEST):
            network.round()
            shares.append(network.share_knowing(number, 2))
            if shares[-1] == 1:
                break
        found.append(shares)
    return found


def rounds_to(share: float, shares: Sequence[float]) -> int:
    """Rounds until so many knew, of what `spread` found of one change; too many where they never did."""
    return next((place for place, each in enumerate(shares, 1) if each >= share), _LONGEST)


def first_spread(network: Network, share: float) -> int:
    """Rounds until so many know the first word that anybody says; too many where they never do."""
    for node in network.nodes.values():
        node.hearsay.is_part_of(network.count)
    network.silent = True
    network.nodes[1].take(status_said(1, sequence=1), network.now)
    for place in range(1, _LONGEST):
        network.round()
        if network.share_knowing(1, 1) >= share:
            return place
    return _LONGEST


def death(network: Network, number: int) -> tuple[float, float]:
    """Seconds until it is suspected by all, and gone to all; too many where it never is."""
    network.alive.discard(number)
    out = gone = 30.0
    for second in range(1, 31):
        network.round()
        if out == 30 and network.share_suspecting(number) == 1:
            out = second
        if network.share_without(number) == 1:
            gone = second
            break
    return out, gone
