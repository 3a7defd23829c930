"""The market's events, followed block by block, and the news that the chain took some back.

One follower serves one caller. It knows the hashes of the newest blocks it read, so that it finds where the
chain it knew and the chain there is part ways, and reads from there. It believes its node what at least one
witness, another node, says too; without witnesses, everything.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.chain import contracts
from tallystick.chain.blocks import KEPT, MOVED, Block, NodeBlocks, Reading
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainDisputed, ChainError, ChainUnavailable, RpcError
from tallystick.chain.events import EVENTS, ChainEvent, read_event
from tallystick.chain.rpc import Rpc
from tallystick.ports import Head
from tallystick.protocol.units import to_hex

_PATIENCE: Final = 10
"""Polls in a row that find the chain shorter before that is the chain, and not a machine that lags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What is new since the poll before."""

    head: Head
    """The newest block whose events are acted on."""
    events: tuple[ChainEvent, ...]
    """In the chain's order."""
    rewound_to: int | None
    """What was said of later blocks holds no more, before the events do; -1: nothing that was said does."""
    final: int
    """No later update goes back behind this block, but for one that goes back to -1."""


class Follower:
    """Polls its nodes. Not for two threads at once."""

    def __init__(
        self,
        rpc: Rpc,
        deployment: Deployment,
        confirmations: int = 0,
        from_block: int | None = None,
        events: Collection[type[ChainEvent]] = tuple(EVENTS.values()),
        witnesses: Sequence[Rpc] = (),
    ):
        """Acts on blocks that have `confirmations` others on top of them."""
        names = {kind.__name__ for kind in events}
        entries = contracts.market().interface.events
        topics = [to_hex(topic) for topic, entry in entries.items() if entry.name in names]
        self._node = NodeBlocks(rpc, deployment, topics)
        self._witnesses = [NodeBlocks(witness, deployment, topics) for witness in witnesses]
        self._confirmations = confirmations
        self._first = deployment.block if from_block is None else from_block
        self._known: list[Block] = []
        """The newest read, without a gap; nothing before the first poll."""
        self._shorter = 0
        """Polls in a row that found the chain shorter than it was."""

    def poll(self) -> Update:
        """Everything since the last poll; the first one reads from the beginning.

        Raises
        ------
        ChainUnavailable, RpcError, WrongChain :
            Nothing was read, and nothing is lost: poll again.
        ChainDisputed :
            No witness says what the node says, and one contradicts it.
        """
        last = self._known[-1] if self._known else None
        latest, held = self._node.newest(*([last.number] if last else []))
        base, moved = self._base(latest, held[0] if held else None)
        if base is not None and not moved and self._shorter:
            return self._nothing(base)
        begin = self._first if base is None else base.number + 1
        target = min(max(latest.number - self._confirmations, 0), self._seen_by_witnesses(latest.number))
        if target < begin and last is not None and not moved:
            return self._nothing(last)
        if base is None:
            begin = min(begin, target)  # The deployment's own block may not be confirmed yet.
        nothing_new = base is not None and target < begin
        reading = Reading((base,), ()) if base and nothing_new else self._node.read(base, begin, target)
        self._require_witness(base, begin, reading)
        events = [event for event in map(read_event, reading.logs) if event is not None]
        return self._took(reading, base, tuple(events), moved)

    def start_over(self) -> None:
        """The next poll is the first."""
        self._known = []

    def _base(self, latest: Block, held: Block | None) -> tuple[Block | None, bool]:
        """The newest block known that the chain still has, and whether it took later ones back."""
        if not self._known:
            return None, False
        last = self._known[-1]
        if latest.number >= last.number:
            self._shorter = 0
            if held is None:
                raise ChainUnavailable(MOVED)  # Two machines answered, and one is behind.
            return (last, False) if held == last else (self._fork(latest.number), True)
        if self._at(latest.number) not in (None, latest):
            self._shorter = 0
            return self._fork(latest.number), True
        self._shorter += 1
        if self._shorter < _PATIENCE or self._witnesses:
            return last, False
        self._shorter = 0
        return self._fork(latest.number), True

    def _at(self, number: int) -> Block | None:
        index = number - self._known[0].number
        return self._known[index] if 0 <= index < len(self._known) else None

    def _fork(self, latest: int) -> Block | None:
        """The newest block known that is still there; None where none is."""
        candidates = [block for block in self._known if block.number <= latest]
        size = 1
        while candidates:
            part, candidates = candidates[-size:], candidates[:-size]
            _, found = self._node.newest(*(block.number for block in part))
            same = [block for block, there in zip(part, found, strict=True) if block == there]
            if same:
                return same[-1]
            size *= 2
        return None

    def _nothing(self, last: Block) -> Update:
        return Update(head=_head(last), events=(), rewound_to=None, final=self._known[0].number)

    def _took(
        self, reading: Reading, base: Block | None, events: tuple[ChainEvent, ...], moved: bool
    ) -> Update:
        kept = [] if base is None else [block for block in self._known if block.number <= base.number]
        new = [block for block in reading.blocks if not kept or block.number > kept[-1].number]
        if kept and new and new[0].number != kept[-1].number + 1:
            kept = []  # So many are new that a gap would be left.
        self._known = (kept + new)[-KEPT:]
        rewound_to = None if not moved else -1 if base is None else base.number
        return Update(
            head=_head(self._known[-1]), events=events, rewound_to=rewound_to, final=self._known[0].number
        )

    # ------------------------------------------------------------------------------------------- witnesses

    def _seen_by_witnesses(self, latest: int) -> int:
        """The newest block that one of them may know of."""
        if not self._witnesses:
            return latest
        numbers = []
        for witness in self._witnesses:
            try:
                numbers.append(witness.newest()[0].number)
            except (ChainError, RpcError):
                continue
        if not numbers:
            raise ChainUnavailable("None of the chain's witnesses answers.")
        return max(numbers)

    def _require_witness(self, base: Block | None, begin: int, reading: Reading) -> None:
        """One of them read the very same; raises ChainDisputed, or ChainUnavailable where none could."""
        if not self._witnesses:
            return
        target = reading.blocks[-1]
        disputed = None
        for witness in self._witnesses:
            try:
                _, (seen,) = witness.newest(target.number)
                if seen is None:
                    continue
                if seen == target and (
                    target.number < begin or _same(witness.read(base, begin, target.number), reading)
                ):
                    return
                disputed = witness.rpc.place
            except ChainError:
                continue
        if disputed is not None:
            raise ChainDisputed(
                f"The chain's node and its witness {disputed} disagree on block {target.number}, or on what "
                "happened up to it. One of them lies or follows another chain.",
                actual=target.number,
            )
        raise ChainUnavailable("No witness knows the newest block yet.")


def _same(one: Reading, other: Reading) -> bool:
    return one.blocks[-1] == other.blocks[-1] and _facts(one) == _facts(other)


def _facts(reading: Reading) -> list[ChainEvent | None]:
    """Two nodes may write the same logs differently."""
    return [read_event(log) for log in reading.logs]


def _head(block: Block) -> Head:
    return Head(number=block.number, timestamp=block.timestamp)
