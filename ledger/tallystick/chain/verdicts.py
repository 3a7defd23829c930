"""What the duels' events say: rulings, and the verdicts that strengths are computed from.

What one duel said is looked for from the block that drew its judges on, what all said from the market's first
block on: so many blocks at a time, and fewer where the node will not answer for as many.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError
from tallystick.chain.duel_events import ruling_of
from tallystick.chain.duels import Duels, Ruling
from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.spans import Spans
from tallystick.protocol.strength import Decided
from tallystick.protocol.units import Hash32, to_hex
from tallystick.protocol.vote import Choice, vote_of_choice

_BLOCKS: Final = 10_000
"""At a time, at first: what public nodes answer."""


def decided(duels: Duels) -> list[Decided]:
    """Every duel whose money has moved, oldest first: the one verdict of each that counts."""
    return [
        Decided(first=said["first"], second=said["second"], verdict=vote_of_choice(Choice(said["verdict"])))
        for said in _told(duels, "Ended", None)
    ]


def rulings(duels: Duels, duel: Hash32 | None = None) -> list[Ruling]:
    """What the panel of a duel, or of an appeal, said; none while it is not decided. Without a duel: of all,
    oldest first."""
    return [ruling_of(said["ruling"]) for said in _told(duels, "Decided", duel)]


def _told(duels: Duels, name: str, duel: Hash32 | None) -> Iterator[Mapping[str, Any]]:
    """Raises ChainUnavailable where a log is not what the ABI says."""
    interface, market = contracts.duels().interface, duels.market
    (topic,) = (topic for topic, entry in interface.events.items() if entry.name == name)
    topics = [to_hex(topic), *([] if duel is None else [to_hex(duel)])]
    start = market.deployment.block
    if duel is not None:  # Nobody can have judged it before.
        start = max(start, duels.duel(duel).draw_block)
    asked = {"address": to_hex(duels.address), "topics": topics}
    spans = Spans(market.rpc, _BLOCKS).logs(asked, start, market.head().number)
    for log in chain.from_iterable(logs for _, logs in spans):
        try:
            said = interface.log(
                [bytes.fromhex(word[2:]) for word in log["topics"]], bytes.fromhex(log["data"][2:])
            )
        except (AbiError, KeyError, ValueError, TypeError) as error:
            raise ChainUnavailable(f"The node gave a log that cannot be read ({error!r}).") from error
        assert said is not None
        yield said[1]
