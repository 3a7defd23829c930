"""Answers that a payer keeps for a while, so that they can be audited once a later block has drawn.

In memory alone: they hold prompts. What is lost with the process is an audit, and nobody's money.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from tallystick.client.outcome import Outcome
from tallystick.protocol.lottery import is_drawn
from tallystick.protocol.sample import Sample
from tallystick.protocol.units import Hash32

KEPT_BYTES: Final = 64 << 20
"""By default, of requests and tokens: some ten thousand answers of a page each."""


class Samples:
    """The newest ones that fit. `transport(on_outcome=samples.keep)` fills it; `draw` empties it."""

    def __init__(self, *, limit: int = KEPT_BYTES, then: Callable[[Outcome], None] | None = None):
        """`then`: also called with each outcome."""
        self._limit, self._then = limit, then
        self._kept: OrderedDict[Hash32, tuple[int | None, Sample]] = OrderedDict()
        """With a height of the chain's head at or after which they came; None: it was not looked at since."""
        self._size = 0
        self._lock = Lock()

    def keep(self, outcome: Outcome) -> None:
        """Its answer, if it can be audited. An `OutcomeListener`."""
        if (sample := outcome.sample) is not None and sample.is_single:
            with self._lock:
                self._kept[sample.receipt.message.struct_hash()] = None, sample
                self._size += sample.size
                while self._size > self._limit:
                    _, (_, oldest) = self._kept.popitem(last=False)
                    self._size -= oldest.size
        if self._then is not None:
            self._then(outcome)

    def draw(self, height: int, block_hash: Hash32, *, delay: int) -> Sequence[Sample]:
        """Those to be audited, by the head of the chain, which is at that height. A block draws what was
        there at least `delay` blocks before it; what was drawn or not is kept no longer."""
        due: list[tuple[Hash32, Sample]] = []
        with self._lock:
            for name, (came, sample) in list(self._kept.items()):
                if came is None:
                    self._kept[name] = height, sample
                elif came + delay <= height:
                    del self._kept[name]
                    self._size -= sample.size
                    due.append((name, sample))
        return [sample for name, sample in due if is_drawn(block_hash, name, sample.receipt.message.sequence)]

    def __len__(self) -> int:
        return len(self._kept)
