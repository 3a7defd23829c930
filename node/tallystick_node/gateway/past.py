"""What may have been forgotten: the time before the provider's database was made.

Two receipts under one sequence of a channel are proof of fraud, whoever forgot the first. So a provider that
has lost its database, or has only an older copy, issues none on any channel on which it may have issued some
before. It cannot know which those are. It knows from the chain which they cannot be: those of payers that had
no deposit yet when the database was made, and those whose epoch began after it. It reads no disk and no
clock.
"""

from dataclasses import dataclass, field, replace

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.units import Address, ChannelId


@dataclass(slots=True)
class Past:
    birth: int | None = None
    """A block that was not there yet when the database was made; zero: there was nothing to forget; None: not
    known yet."""
    reached: int = -1
    """The newest block of which every event was seen."""
    _first_opened: int | None = None
    """When a channel of this provider was first opened, by itself or by anybody else."""
    _first_offered: int | None = None
    """When an offer was first posted that this process did not make."""
    _deposits: dict[Address, int] = field(default_factory=dict)
    """Each payer's first."""
    _begun: dict[ChannelId, int] = field(default_factory=dict)
    """When the epoch before each began to be over."""

    def see_deposit(self, payer: Address, block: int) -> None:
        self._deposits[payer] = min(block, self._deposits.get(payer, block))

    def has_deposited(self, payer: Address) -> bool:
        """Ever, as far as the chain was seen."""
        return payer in self._deposits

    def see_opened(self, block: int) -> None:
        self._first_opened = min(block, block if self._first_opened is None else self._first_opened)

    def see_offered(self, block: int) -> None:
        """By another process, which may have served under it."""
        self._first_offered = min(block, block if self._first_offered is None else self._first_offered)

    def see_closed(self, key: ChannelKey, block: int) -> None:
        following = replace(key, epoch=key.epoch + 1).id
        self._begun[following] = min(block, self._begun.get(following, block))

    def is_empty(self, block: int) -> bool:
        """Whether nothing can have been served by then: the provider had no channel, or no offer but this
        process's own. Anybody can open a channel to it for dust; nobody else can make it offer."""
        return any(first is None or first > block for first in (self._first_opened, self._first_offered))

    def may_hold(self, key: ChannelKey) -> bool | None:
        """Whether receipts may have been issued on a channel of which the database holds none; None while too
        little was seen to say. The chain must have said that this is the channel's epoch: then one whose
        beginning was not seen yet began later than all that was."""
        if self.birth == 0:
            return False
        if self.birth is None or self.reached < self.birth:
            return None
        if self._deposits.get(key.payer, self.birth + 1) > self.birth:
            return False
        return key.epoch == 0 or self._begun.get(key.id, self.birth + 1) <= self.birth
