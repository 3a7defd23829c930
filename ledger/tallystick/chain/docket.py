"""What the duels' contract tells judges, read from its events: who is summoned, and what awaits its
settlement. It decides nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError
from tallystick.chain.duels import Duels, Ruling
from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.lookout import Lookout
from tallystick.protocol.units import Address, Hash32, Timestamp

_TOLD: Final = ("Summoned", "Decided")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summons:
    """Judges are to vote on chain."""

    duel: Hash32
    judges: tuple[Address, ...]
    reveal_from: Timestamp
    """First second at which they reveal, and commit no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A verdict that not all judges share. Its money moves once nobody may appeal any more, if somebody
    calls."""

    ruling: Ruling
    appeal_by: Timestamp


class Docket:
    """Of one market's duels. Not for two threads at once."""

    def __init__(self, duels: Duels):
        wanted = [topic for topic, entry in contracts.duels().interface.events.items() if entry.name in _TOLD]
        market = duels.market
        self._lookout = Lookout(market.rpc, duels.address, wanted, market.deployment.block)

    def news(self, head: int) -> Iterator[Summons | Split]:
        """Of the blocks up to `head`, in order, the newest of them once more: as `Lookout.logs`."""
        for log in self._lookout.logs(head):
            if (read := _read(log)) is not None:
                yield read


def _read(log: Mapping[str, Any]) -> Summons | Split | None:
    try:
        topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
        told = contracts.duels().interface.log(topics, bytes.fromhex(log["data"][2:]))
    except (AbiError, KeyError, TypeError, ValueError) as error:
        raise ChainUnavailable("The node answered what is no log of the duels' contract.") from error
    if told is None:
        return None
    name, values = told
    if name == "Summoned":
        return Summons(
            duel=values["duel"], judges=tuple(values["judges"]), reveal_from=Timestamp(values["revealFrom"])
        )
    if not values["appealBy"]:
        return None
    duel, first, second, price, known, judges, choices = values["ruling"]
    ruling = Ruling(
        duel=duel, first=first, second=second, price=price, known=known, judges=judges, choices=choices
    )
    return Split(ruling=ruling, appeal_by=Timestamp(values["appealBy"]))
