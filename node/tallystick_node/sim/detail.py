"""What else of the world a run plays than it does where nothing is said. It knows no study."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tallystick.protocol.units import Atoms
from tallystick_node.config import UsersConfig
from tallystick_node.network.lobby import LobbyLimits
from tallystick_node.sim.links import Links
from tallystick_node.sim.world import Dispatch, NodeSpec, World

_USERS: Final = UsersConfig()
LIVE_LIMITS: Final = LobbyLimits(
    running=_USERS.running, waiting=_USERS.waiting, waiting_s=_USERS.waiting_s, each=_USERS.each
)
"""Of a node that is not configured. Users are not told apart here: `each` limits nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    loss: float = 0.0
    """Part of the messages that is lost."""
    gossip: bool = False
    """News go by the nodes' own gossip."""
    lobby: bool = False
    """Own users that wait are refused as live nodes do it."""
    credit: int = 0
    """Atoms that each provider extends to each payer; zero: credit never runs out."""

    def world(
        self, nodes: Sequence[NodeSpec], dispatch: Dispatch, *, seed: int, sample_s: float = 0.0
    ) -> World:
        credit = Atoms(self.credit) if self.credit else None
        return World(
            [replace(node, credit=credit) for node in nodes] if credit else nodes,
            dispatch,
            seed=seed,
            links=Links(loss=self.loss),
            sample_s=sample_s,
            gossips=self.gossip,
            limits=LIVE_LIMITS if self.lobby else None,
        )


PLAIN: Final = Detail()
