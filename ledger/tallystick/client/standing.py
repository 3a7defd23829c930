"""How one request stands with those who could serve it: who is out, who is asked after all others, and how
long those that refused are worth waiting for. What one of them says or fails to do changes it.

Pure: it sends nothing and knows no clock. Live payers and the simulator go by it alike.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from tallystick.client.choose import Choice
from tallystick.client.haggling import Haggling, promises_enough
from tallystick.client.ordering import Ordering
from tallystick.ports import PostedOffer
from tallystick.protocol.expect import Expected, Redeemed, Size
from tallystick.protocol.quote import Quote
from tallystick.protocol.units import Hash32, Tokens

CONNECT_S: Final = 0.5
"""To connect in while other providers are left: a way around the world and back, twice."""
_FIRST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 0.25
_LONGER: Final = 1.6
"""Times the one before, each pause."""


class Standing:
    """A round begins with all that are not out, in the rule's order, and ends where one serves, where all
    were tried, or where what one said changes the order."""

    __slots__ = ("_least_s", "_pause_s", "again", "gone", "haggling", "last", "patience")

    def __init__(self, size: Size):
        self.haggling = Haggling(size)
        self.gone: set[Hash32] = set()
        """Offers under which it cannot be had."""
        self.last: set[Hash32] = set()
        """Offers whose provider did not connect in the time that there is while others wait, or did not keep
        the room that it held: those come after all others."""
        self.patience = 0
        """Milliseconds for which those that refused may change their mind."""
        self.again = False
        """What was said changes the order: another round."""
        self._pause_s, self._least_s = _FIRST_PAUSE_S, 0.0

    def begin_round(self) -> None:
        self.patience, self.again = 0, False

    def want(self, size: Size) -> None:
        """Somebody else is to go on with the rest of an answer: nothing was said of that yet."""
        self.haggling = Haggling(size)

    def arranged(self, ordering: Sequence[Choice]) -> Sequence[Choice]:
        if not self.last:
            return ordering
        return sorted(ordering, key=lambda choice: choice.posted.offer_hash in self.last)

    def after_quotes(
        self, ordering: Sequence[Choice], asked: Sequence[PostedOffer], best: Sequence[Choice]
    ) -> Sequence[Choice]:
        """Those of `asked` that said themselves how long it takes, in the order of `best`; then all others as
        they were, for what is heard of somebody is older, and of many the one that seems best is who is worst
        known; then those that were asked and did not say."""
        said = {choice.posted.offer_hash for choice in best}
        named = {posted.offer_hash for posted in asked}
        passed, silent = named | self.gone, named - said - self.gone
        others = (item for item in ordering if item.posted.offer_hash not in passed)
        last = (item for item in ordering if item.posted.offer_hash in silent)
        return Ordering(chain(best, others, last))

    def is_hurried(self, posted: PostedOffer, *, is_last: bool) -> bool:
        """Whether it has `CONNECT_S` to connect in, and not as long as the caller says."""
        return not is_last and posted.offer_hash not in self.last

    def pause_s(self, waited_ms: int) -> float | None:
        """Seconds until the next round, after one in which nobody served; None: nobody will."""
        if waited_ms >= self.patience:
            return None
        pause, self._pause_s = self._pause_s, min(self._pause_s * _LONGER, _LONGEST_PAUSE_S)
        return max(pause, self._least_s)

    def wait(self, patience: int, pause_s: float = 0.0) -> None:
        """Somebody may change its mind within so many milliseconds, but not within `pause_s`."""
        self._least_s = min(pause_s, self._least_s) if self.patience else pause_s
        self.patience = max(self.patience, patience)

    # ------------------------------------------------------------------------------------- what happened

    def refused(
        self,
        posted: PostedOffer,
        *,
        patience: int,
        pause_s: float = 0.0,
        failing: bool,
        bounce: Quote | None,
        expect: Expected | Redeemed | None,
        most: Tokens,
    ) -> bool:
        """Whether it is held against its provider. `patience`: milliseconds for which that may change its
        mind, but not within `pause_s`; `failing`: it says that something is wrong on its side; `bounce`: its
        quote, where it bounced what expected so; `most`: as of `Haggling.bounced`."""
        if bounce is not None and not promises_enough(bounce, expect):
            self.haggling.bounced(posted, bounce, most=most)
            self.again = True
            return False
        if posted.offer_hash in self.haggling.held:
            self.haggling.spent(posted)  # it is asked again, after the others, and promises nothing then
            self.last.add(posted.offer_hash)
            self.again = True
            return False
        if patience:
            self.wait(patience, pause_s)
        else:
            self.gone.add(posted.offer_hash)
        return failing and not patience  # a bounce without a reason is none, too

    def unreached(self, posted: PostedOffer, *, hurried: bool) -> None:
        """`hurried`: it did not connect in the little time that it had."""
        if hurried:
            self.last.add(posted.offer_hash)  # the caller allows more: where nobody serves, it gets it
            self.again = True
        else:
            self.gone.add(posted.offer_hash)

    def broke_off(self, posted: PostedOffer, size: Size) -> None:
        """In mid-answer; others are to go on, with a rest of that size."""
        self.gone.add(posted.offer_hash)
        self.again = True
        self.want(size)
