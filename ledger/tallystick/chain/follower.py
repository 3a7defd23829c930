"""The market's events, followed block by block, and the news that the chain took some back.

One follower serves one caller. It keeps the hash of the last block it read, which stands for all before it:
when the chain no longer holds that block, the follower starts again from the deployment's and says so.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.events import EVENTS, ChainEvent, read_event
from tallystick.chain.rpc import Rpc
from tallystick.ports import Head
from tallystick.protocol.units import Timestamp, to_hex

_SPAN: Final = 2_000
"""Blocks asked for at a time, at most: what public nodes commonly allow."""
_MOVED: Final = "The chain moved while it was read; the next poll reads it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What is new since the poll before."""

    head: Head
    """The newest block whose events are acted on."""
    events: tuple[ChainEvent, ...]
    """In the chain's order."""
    rewound: bool
    """Forget everything: the events are all there are, from the first."""


@dataclass(frozen=True, slots=True)
class _Block:
    number: int
    hash: str
    timestamp: int


class Follower:
    """Polls one node. Not for two threads at once."""

    def __init__(
        self,
        rpc: Rpc,
        deployment: Deployment,
        confirmations: int = 0,
        from_block: int | None = None,
        events: Collection[type[ChainEvent]] = tuple(EVENTS.values()),
    ):
        """Acts on blocks that have `confirmations` others on top of them."""
        self._rpc = rpc
        self._deployment = deployment
        self._confirmations = confirmations
        self._first = deployment.block if from_block is None else from_block
        names = {kind.__name__ for kind in events}
        entries = contracts.market().interface.events
        self._topics = [to_hex(topic) for topic, entry in entries.items() if entry.name in names]
        self._last: _Block | None = None
        self._span = _SPAN

    def poll(self) -> Update:
        """Everything since the last poll; the first one reads from the beginning.

        Raises
        ------
        ChainUnavailable :
            Nothing was read, and nothing is lost: poll again.
        """
        last = self._last
        if last is None:
            latest, held = _block(self._rpc.call("eth_getBlockByNumber", "latest", False)), None
        else:
            newest, again = self._rpc.batch(
                [
                    ("eth_getBlockByNumber", ("latest", False)),
                    ("eth_getBlockByNumber", (hex(last.number), False)),
                ]
            )
            latest, held = _block(newest), again
        rewound = last is not None and (held is None or _block(held).hash != last.hash)
        begin = self._first if last is None or rewound else last.number + 1
        target = max(latest.number - self._confirmations, 0)
        if last is not None and not rewound and target <= last.number:
            return Update(head=_head(last), events=(), rewound=False)
        end, events = self._events(begin, target, latest)
        self._last = end
        return Update(head=_head(end), events=tuple(events), rewound=rewound)

    def _events(self, begin: int, target: int, latest: _Block) -> tuple[_Block, list[ChainEvent]]:
        """The target block, and the events up to it, of one and the same chain."""
        before = (
            latest
            if target == latest.number
            else _block(self._rpc.call("eth_getBlockByNumber", hex(target), False))
        )
        logs: list[dict[str, Any]] = []
        while begin <= target:
            until = min(target, begin + self._span - 1)
            try:
                logs += self._rpc.call("eth_getLogs", self._filter(begin, until))
            except RpcError:
                if until == begin:
                    raise
                self._span = max(1, (until - begin + 1) // 2)  # Too many blocks or logs for this node.
                continue
            begin = until + 1
        if _block(self._rpc.call("eth_getBlockByNumber", hex(target), False)).hash != before.hash:
            raise ChainUnavailable(_MOVED)
        return before, [event for event in map(read_event, logs) if event is not None]

    def _filter(self, begin: int, until: int) -> dict[str, Any]:
        return {
            "address": to_hex(self._deployment.market),
            "fromBlock": hex(begin),
            "toBlock": hex(until),
            "topics": [self._topics],
        }


def _block(answer: Any) -> _Block:
    try:
        return _Block(int(answer["number"], 16), answer["hash"], int(answer["timestamp"], 16))
    except (TypeError, KeyError, ValueError) as error:
        raise ChainUnavailable(_MOVED) from error


def _head(block: _Block) -> Head:
    return Head(number=block.number, timestamp=Timestamp(block.timestamp))
