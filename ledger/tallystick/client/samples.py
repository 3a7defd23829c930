"""Answers that a payer keeps for a while, so that they can be audited once a later block has drawn.

In memory alone: they hold prompts. What is lost with the process is an audit, and nobody's money.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from tallystick.client.outcome import Outcome
from tallystick.protocol.dossier import auditable
from tallystick.protocol.lottery import Block, BlockAt, draws_at, is_drawn
from tallystick.protocol.sample import Sample
from tallystick.protocol.units import Hash32, Timestamp

KEPT_BYTES: Final = 64 << 20
"""By default, of requests and tokens: some ten thousand answers of a page each."""


class Samples:
    """The newest ones that fit. `transport(on_outcome=samples.keep)` fills it; `draw` empties it."""

    def __init__(self, *, limit: int = KEPT_BYTES, then: Callable[[Outcome], None] | None = None):
        """`then`: also called with each outcome."""
        self._limit, self._then = limit, then
        self._kept: OrderedDict[Hash32, Sample] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def keep(self, outcome: Outcome) -> None:
        """Its answer, if it can be audited. An `OutcomeListener`."""
        if (sample := outcome.sample) is not None and auditable(sample.receipt.message):
            with self._lock:
                self._kept[sample.receipt.message.struct_hash()] = sample
                self._size += sample.size
                while self._size > self._limit:
                    _, oldest = self._kept.popitem(last=False)
                    self._size -= oldest.size
        if self._then is not None:
            self._then(outcome)

    def draw(self, block_at: BlockAt) -> Sequence[Sample]:
        """Those to be audited, of which the block is there; what was drawn or not is kept no longer. Raises
        what `block_at` does, and then all of them stay."""
        with self._lock:
            waiting = sorted(self._kept.items(), key=lambda item: _moment(item[1]))
        asked: list[tuple[Hash32, Sample, Block]] = []
        for name, sample in waiting:
            if (block := block_at(_moment(sample))) is None:
                break  # Nor are the blocks of later moments: one look at the chain's head is enough.
            asked.append((name, sample, block))
        drawn: list[Sample] = []
        for name, sample, block in asked:
            with self._lock:
                if self._kept.pop(name, None) is None:
                    continue
                self._size -= sample.size
            if is_drawn(block.hash, name, sample.receipt.message.sequence):
                drawn.append(sample)
        return drawn

    def __len__(self) -> int:
        return len(self._kept)


def _moment(sample: Sample) -> Timestamp:
    return draws_at(sample.receipt.message.finished_at)
