"""What each sender may still send here. Pure: time comes in as milliseconds of a clock that never goes back.

A turn is one message. Only what a sender signed is counted against it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.errors import NumberNotGreater, TurnSpent
from tallystick.protocol.units import Address

TURN_MS: Final = 500
"""Between two messages of one sender, on average."""
BURST: Final = 6
"""Messages of one sender at once."""
ALL_MS: Final = 30
"""Between two messages of all senders together, on average: more is not read."""
ALL_BURST: Final = 64
BAD: Final = 3
"""Messages with something forged in them before a sender is not listened to: a key may just have been
replaced, and one node know it before another."""
PAUSE_MS: Final = 10_000
"""For which it is not, the first time; twice as long each time after that."""
_DOUBLED: Final = 8


@dataclass(slots=True)
class Turn:
    number: int = -1
    """The greatest so far."""
    spent_until: int = 0
    bad: int = 0
    paused_until: int = 0


class Turns:
    def __init__(self) -> None:
        self._turns: dict[Address, Turn] = {}
        self._spent_until = 0

    def keep(self, senders: Collection[Address]) -> None:
        for gone in [sender for sender in self._turns if sender not in senders]:
            del self._turns[gone]

    def require(self, sender: Address, number: int, now: int) -> None:
        """That the sender may have this message read: asked before its signature is checked.

        Raises
        ------
        NumberNotGreater, TurnSpent
        """
        turn = self._turns.get(sender, Turn())
        if now < turn.paused_until:
            raise TurnSpent("What this sender sent was forged.", required=turn.paused_until - now)
        if turn.spent_until - now > (BURST - 1) * TURN_MS:
            raise TurnSpent("This sender has said all that it may for now.", required=TURN_MS)
        if self._spent_until - now > (ALL_BURST - 1) * ALL_MS:
            raise TurnSpent("All senders together have said all that is read for now.", required=ALL_MS)
        if number <= turn.number:
            raise NumberNotGreater(
                "A message with this number came before.", required=turn.number + 1, actual=number
            )

    def spend(self, sender: Address, number: int, now: int) -> None:
        """The message is the sender's own."""
        turn = self._turns.setdefault(sender, Turn())
        turn.number = number
        turn.spent_until = max(turn.spent_until, now) + TURN_MS
        self._spent_until = max(self._spent_until, now) + ALL_MS

    def charge(self, sender: Address, now: int) -> None:
        """Something in it was forged."""
        turn = self._turns.setdefault(sender, Turn())
        turn.bad += 1
        if turn.bad >= BAD:
            turn.paused_until = now + (PAUSE_MS << min(_DOUBLED, turn.bad - BAD))
