"""What the events of audits tell of strikes and accusations, put together. Pure: who read them is somebody
else's business."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tallystick.chain import duel_events
from tallystick.chain.audit_events import Concluded, Credited, Penalised
from tallystick.chain.events import ChainEvent, Earned, Slashed, Withdrawn, is_next
from tallystick.protocol.strikes import Opinion, Reaudit, Said, concluded
from tallystick.protocol.units import Address, Atoms

_UNSAID: Final = 3
"""Of a strike of which one who speaks says nothing."""


def packed(opinions: Sequence[Opinion]) -> bytes:
    """A byte for each strike, none of them zero: that is who is silent."""
    return bytes(opinion or _UNSAID for opinion in opinions)


def unpacked(said: bytes) -> tuple[Opinion, ...]:
    """None of one that is silent."""
    return tuple(Opinion(one % _UNSAID) for one in said) if any(said) else ()


def said_from(seats: Sequence[bytes], opinions: Sequence[Sequence[Opinion]]) -> list[Said]:
    """What was said from each seat of each strike. `opinions`: none of one that is silent."""
    return [tuple(its) if any(auditor) else None for auditor, its in zip(seats, opinions, strict=True)]


def standing_of(said: Sequence[Said], strikes: int) -> Sequence[bool]:
    """Which strikes outlast an accusation by which nobody was slashed."""
    reaudit = Reaudit(fee=Atoms(0), said=said, stakes=[Atoms(0)] * len(said))
    stakes = [Atoms(0)] * strikes
    return concluded(provider_stake=Atoms(0), striker_stakes=stakes, reaudit=reaudit).standing


def accusations_of(events: Sequence[ChainEvent]) -> Mapping[int, bytes]:
    """Whose money each of a block's events moved that names no accusation, by log index: what stands before a
    `Concluded` in its transaction and behind the `Concluded` before it, since each is concluded after
    another."""
    found: dict[int, bytes] = {}
    waiting: list[ChainEvent] = []
    before: ChainEvent | None = None
    for event in events:
        if before is None or before.transaction != event.transaction:
            waiting = []
        if isinstance(event, Concluded):
            found |= {moved.log_index: event.id for moved in _moved(waiting, event)}
            waiting = []
        elif not (isinstance(before, duel_events.Penalised) and is_next(before, event)):
            waiting.append(event)  # What a judge lost is its duel's.
        before = event
    return found


def _moved(events: Sequence[ChainEvent], by: Concluded) -> Iterator[ChainEvent]:
    """Stakes that it took, whoever's balance with the market a part of them went to, and its credits."""
    penalised = {event.auditor for event in events if isinstance(event, Penalised)}
    rewarded: set[Address] = set()
    before: ChainEvent | None = None
    for event in events:
        match event:
            case Slashed() if event.provider in {by.provider, *penalised}:
                rewarded.add(event.recipient)
                yield event
            case Earned() if isinstance(before, Slashed) and is_next(before, event):
                yield event
            case Withdrawn() if event.provider in rewarded:
                yield event
            case Credited():
                yield event
            case _:
                pass
        before = event
