"""What a payer has of each channel to be audited: the answers that were drawn since its process began, and
how many of them no auditor has seen.

An auditor may be shown any unbroken stretch of a channel's receipts: a later beginning never speaks more
against a provider. So what is too old, or too much at a time, is left out from the beginning on, and so is
all up to a receipt whose block would never come. Pure."""

from bisect import insort
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from tallystick.protocol.dossier import RECEIPTS, SAMPLES, Dossier
from tallystick.protocol.lottery import DELAY_S
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import ChannelId, Milliseconds, Timestamp

CLOCKS_APART_MS: Final = DELAY_S * 1000 // 2
"""By which a provider's clock may differ from the payer's: half of what keeps a block unknown."""


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
    awaits: Timestamp | None = None
    """Until the chain has a block of then, reading the receipts once more is for nothing."""

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

    def begin_after_dated_ahead(self, receipts: Sequence[Signed[Receipt]], now: Milliseconds) -> bool:
        """Whether one of them is dated ahead of `now`: it would keep the others from being drawn until then.
        Nothing up to it is shown any more."""
        ahead = [one.message.sequence for one in receipts if one.message.finished_at > now + CLOCKS_APART_MS]
        if ahead:
            self.begin_after(ahead[-1])
        return bool(ahead)

    def dossier(
        self, shown: Sequence[Sample], receipts: Sequence[Signed[Receipt]], offers: Sequence[Offer]
    ) -> Dossier:
        """Over all of the channel's receipts from `start` to the last one of `shown`."""
        others = tuple(offer for offer in offers if offer.model != self.model)
        return Dossier(receipts=tuple(receipts), samples=tuple(shown), others=others)


def make_room(stretches: Collection[Stretch], limit: int) -> None:
    """Whichever is largest forgets its oldest answer, until all together take no more than `limit` bytes."""
    while sum(one.size for one in stretches) > limit:
        largest = max(stretches, key=lambda one: one.size)
        largest.begin_after(largest.drawn[0].receipt.message.sequence)


def is_timely(receipt: Receipt, earliest: Milliseconds, latest: Milliseconds) -> bool:
    """Whether the provider dates it between these, as clocks go: else it would choose the block that draws
    it."""
    return earliest - CLOCKS_APART_MS <= receipt.finished_at <= latest + CLOCKS_APART_MS
