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
    """The block at which the database was made; zero: the provider had no channel before, and so nothing to
    forget; None: not known yet."""
    _payers: set[Address] = field(default_factory=set)
    """With a deposit before."""
    _begun: set[ChannelId] = field(default_factory=set)
    """Epochs that began after."""

    def see_deposit(self, payer: Address, block: int) -> None:
        if self._before(block):
            self._payers.add(payer)

    def see_closed(self, key: ChannelKey, block: int) -> None:
        if not self._before(block):
            self._begun.add(replace(key, epoch=key.epoch + 1).id)

    def may_hold(self, key: ChannelKey) -> bool:
        """Whether receipts may have been issued on a channel that the database does not know."""
        return bool(self.birth) and key.payer in self._payers and key.id not in self._begun

    def _before(self, block: int) -> bool:
        assert self.birth is not None, "events are read once it is known"
        return block <= self.birth
