"""What a payer has of each channel to be audited: the answers that were drawn since its process began, and
how many of them no auditor has seen.

An auditor may be shown any unbroken stretch of a channel's receipts: a later beginning never speaks more
against a provider. So what is too old, or too much at a time, is left out from the beginning on, and so is
all up to a receipt whose block would never come. Pure."""

from bisect import insort
from collections.abc import Collection
from dataclasses import dataclass, field

from tallystick.protocol.dossier import RECEIPTS, SAMPLES, Dossier
from tallystick.protocol.lottery import DELAY_S
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import ChannelId, Milliseconds


@dataclass(slots=True)
class Stretch:
    """Of one channel and one model."""

    channel_id: ChannelId
    model: str
    start: int
    """Sequence of the first receipt that may be shown."""
    drawn: list[Sample] = field(default_factory=list)
    """In sequence."""
    fresh: int = 0
    """Of those, since an auditor was asked last."""
    shown: int = 0
    """To that one."""

    def add(self, sample: Sample) -> None:
        if sample.receipt.message.sequence < self.start:
            return
        insort(self.drawn, sample, key=lambda one: one.receipt.message.sequence)
        self.fresh += sample.is_single
        while len(self.drawn) > SAMPLES:
            self.begin_after(self.drawn[0].receipt.message.sequence)

    @property
    def size(self) -> int:
        """Bytes, roughly, that it takes to keep."""
        return sum(sample.size for sample in self.drawn)

    def begin_after(self, sequence: int) -> None:
        """Nothing up to there is shown any more."""
        self.start = max(self.start, sequence + 1)
        self.drawn = [one for one in self.drawn if one.receipt.message.sequence >= self.start]

    def ask(self) -> None:
        """An auditor is asked now."""
        self.fresh, self.shown = 0, len(self.drawn)

    def shorten(self) -> None:
        """To what one dossier holds."""
        if self.drawn:
            self.begin_after(self.drawn[-1].receipt.message.sequence - RECEIPTS)

    def until(self, end: int | None) -> list[Sample]:
        """Those that were drawn, up to the last one that can be audited, or to the receipt of that
        sequence."""
        shown = [one for one in self.drawn if end is None or one.receipt.message.sequence <= end]
        while shown and not shown[-1].is_single:
            shown.pop()
        return shown

    def dossier(
        self, shown: list[Sample], receipts: list[Signed[Receipt]], offers: list[Offer]
    ) -> Dossier | None:
        """Over the channel's receipts as the purse has them from `start` to the last one of `shown`; None:
        one of them has not come yet."""
        if len(receipts) != shown[-1].receipt.message.sequence + 1 - self.start:
            return None
        others = tuple(offer for offer in offers if offer.model != self.model)
        return Dossier(receipts=tuple(receipts), samples=tuple(shown), others=others)


def make_room(stretches: Collection[Stretch], limit: int) -> None:
    """Whichever is largest forgets its oldest answer, until all together take no more than `limit` bytes."""
    while sum(one.size for one in stretches) > limit:
        largest = max(stretches, key=lambda one: one.size)
        largest.begin_after(largest.drawn[0].receipt.message.sequence)


def is_timely(receipt: Receipt, now: Milliseconds) -> bool:
    """Whether the provider dates it about when it came: else it would choose the block that draws it."""
    return abs(receipt.finished_at - now) <= DELAY_S * 1000 // 2
