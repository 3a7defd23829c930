"""The market's events, followed block by block, and the news that the chain took some back.

One follower serves one caller. It knows the hashes of the newest blocks it read, so that it finds where the
chain it knew and the chain there is part ways, and reads from there. It believes its node what at least one
witness, another node, says too; without witnesses, everything.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tallystick.chain import contracts
from tallystick.chain.blocks import Block, LogFilter, NodeBlocks, Reading
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainDisputed, ChainError, ChainUnavailable, RpcError
from tallystick.chain.events import EVENTS, ChainEvent, read_event
from tallystick.chain.rpc import Rpc
from tallystick.chain.trail import Trail
from tallystick.ports import Head
from tallystick.protocol.units import to_hex


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
        topics = tuple(to_hex(topic) for topic, entry in entries.items() if entry.name in names)
        wanted = LogFilter(to_hex(deployment.market), (topics,))
        self._node = NodeBlocks(rpc, deployment.chain_id, [wanted])
        self._witnesses = [NodeBlocks(witness, deployment.chain_id, [wanted]) for witness in witnesses]
        self._confirmations = confirmations
        self._first = deployment.block if from_block is None else from_block
        self._trail = self._new_trail()

    def poll(self) -> Update:
        """Everything since the last poll; the first one reads from the beginning.

        Raises
        ------
        ChainUnavailable, RpcError, WrongChain :
            Nothing was read, and nothing is lost: poll again.
        ChainDisputed :
            No witness says what the node says, and one contradicts it.
        """
        last = self._trail.last
        parting = self._trail.part()
        base, moved, latest = parting.base, parting.moved, parting.latest
        if base is not None and parting.waits:
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
        self._trail.extend(base, reading.blocks)
        rewound_to = None if not moved else -1 if base is None else base.number
        return self._update(reading.blocks[-1], tuple(events), rewound_to)

    def start_over(self) -> None:
        """The next poll is the first."""
        self._trail = self._new_trail()

    def _new_trail(self) -> Trail:
        return Trail(self._node, trusts_length=not self._witnesses)

    def _nothing(self, last: Block) -> Update:
        return self._update(last, (), None)

    def _update(self, last: Block, events: tuple[ChainEvent, ...], rewound_to: int | None) -> Update:
        oldest = self._trail.oldest
        assert oldest is not None, "something was read"
        return Update(head=_head(last), events=events, rewound_to=rewound_to, final=oldest.number)

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
