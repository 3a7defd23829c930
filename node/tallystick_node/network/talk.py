"""What one node makes of the gossip: whom to call next, what to repeat to it, who does not answer, and when
to speak itself.

Pure: time comes in as milliseconds of a clock of one's own that never goes back, chance as a function that
draws from [0, 1). What is merged is `Hearsay`; this is what a node does with it. The simulator runs it as it
is.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tallystick.protocol.gossip import BODY_LIMIT, size_of
from tallystick.protocol.hearsay import QUIET, Hearsay, Key, Said
from tallystick.protocol.status import Status, Suspicion
from tallystick.protocol.units import Address
from tallystick_node.network.roster import Peer, Roster

FANOUT: Final = 3
"""Peers called in each round."""
STRANGERS: Final = 0.2
"""How often one of them is one that seems not to be there: dead ones come back, partitions heal."""
KNOWN: Final = {"status": 5, "suspicion": 8, "rating": 5}
"""Peers that had it already, after which a rumour is repeated no more. With three, 15 of 1,000 nodes miss a
status; with four, 3; with five, one. After an accusation no other comes to make up for it."""
_BURST: Final = 4
"""Messages that a speaker may make at once, of each kind, before its pace counts."""
_ROOM: Final = BODY_LIMIT - 64
_OWN: Final = 4
"""Statuses of one's own that each message begins with."""
_CHANGE: Final = 0.2
"""Part by which the load must have changed for a new status to be worth its way."""

Draw = Callable[[], float]


@dataclass(slots=True)
class Rumour:
    """Something that is still repeated."""

    said: Said
    grounds: tuple[Said, ...]
    """What must be known first: an accusation counts only against the status that it names."""
    size: int
    order: int
    """Later ones are newer."""
    sent: int = 0
    known: int = 0
    """How often whoever it was sent to, or had from, knew it already."""


class Talk:
    """One node's part in it."""

    def __init__(self, own: Address):
        self.own = own
        self.roster = Roster()
        self.hearsay = Hearsay()
        self._rumours: dict[Key, Rumour] = {}
        self._heard = 0
        self._paces: dict[tuple[str, bytes, bytes], int] = {}
        """Up to when each pace is used up."""
        self._answered: dict[Address, int] = {}
        """When each peer last proved to be there, by itself."""
        self._spoken: tuple[Status, ...] = ()
        self._spoke_at: int | None = None
        self._sequence = 0
        self._contradicted = False
        """Somebody says of this node what it must refute."""

    def learn(self, roster: Roster) -> None:
        """What the chain says now."""
        if roster == self.roster:
            return
        self.roster = roster
        self.hearsay.keep(roster.models)
        self.hearsay.keep_signed({peer.provider: peer.receipt_key for peer in roster.peers.values()}.get)
        for key in [key for key in self._rumours if self.hearsay.get(key) is None]:
            del self._rumours[key]
        for pace in [pace for pace in self._paces if pace[1] not in roster.peers]:
            del self._paces[pace]
        for gone in [peer for peer in self._answered if peer not in roster.peers]:
            del self._answered[gone]

    # ---------------------------------------------------------------------------------------- what others say

    def wants(self, key: Key, sequence: int, packed: bytes, now: int) -> bool:
        """Whether it is worth checking its signature: it is news, and its speaker keeps its pace."""
        return self.hearsay.is_news(key, sequence, packed, now) and self._is_paced(key, now)

    def is_behind(self, key: Key, sequence: int) -> bool:
        """Whether something later is known: whoever says this should hear it, and most of all a node that
        forgot what it said itself."""
        held = self.hearsay.get(key)
        return held is not None and held.said.sequence > sequence

    def take(self, said: Said, now: int, *, repeated: bool = True) -> bool:
        """Whether it was news; then it is repeated, unless many know it already."""
        if said.provider == self.own and said.key[0] != "rating":
            self._note_own(said)
        elif not self._is_paced(said.key, now):
            return False
        if not self.hearsay.take(said, now):
            return False
        pace = _pace_of(said.key)
        self._paces[pace] = max(self._paces.get(pace, 0), now) + self.hearsay.interval_ms // 2
        if repeated:
            self._repeat(said)
        return True

    def _is_paced(self, key: Key, now: int) -> bool:
        ahead = self._paces.get(_pace_of(key), 0) - now
        return ahead <= (_BURST - 1) * (self.hearsay.interval_ms // 2)

    def _note_own(self, said: Said) -> None:
        """Said by this node before it forgot it, or of this node by others."""
        if said.key[0] == "suspicion" or said.sequence > self._sequence:
            self._sequence = max(self._sequence, self.hearsay.sequence(self.own), said.sequence)
            self._contradicted = True

    def _repeat(self, said: Said) -> None:
        self._heard += 1
        grounds: tuple[Said, ...] = ()
        if said.key[0] == "suspicion":
            statuses = (heard.said for heard in self.hearsay.statuses(said.provider))
            grounds = tuple(status for status in statuses if status.sequence == said.sequence)
        size = sum(map(size_of, (said, *grounds)))
        self._rumours[said.key] = Rumour(said, grounds, size, self._heard)

    # ------------------------------------------------------------------------------------------- whom to call

    def is_suspected(self, provider: Address, now: int) -> bool:
        """Not where it proved to be there since it was accused."""
        since = self.hearsay.suspected_at(provider, now, own=self.own)
        return since is not None and self._answered.get(provider, -1) < since

    def is_gone(self, provider: Address, now: int) -> bool:
        return self.is_suspected(provider, now) and self.hearsay.is_gone(provider, now, own=self.own)

    def targets(self, now: int, draw: Draw) -> list[Peer]:
        """Whom to call in this round: peers that seem to be there, now and then one that does not."""
        order, chosen, strangers = self.roster.order, list[Address](), list[Address]()
        others = len(order) - (self.own in self.roster.peers)
        for _ in range(8 * FANOUT if others > FANOUT else 0):
            if len(chosen) == FANOUT:
                break
            self._sort_in(order[int(draw() * len(order))], chosen, strangers, now)
        if len(chosen) < FANOUT:
            for provider in order[:64] if others <= FANOUT else ():
                self._sort_in(provider, chosen, strangers, now)
        if strangers and (len(chosen) < FANOUT or draw() < STRANGERS):
            chosen = [*strangers[: max(1, FANOUT - len(chosen))], *chosen]
        return [self.roster.peers[provider] for provider in chosen[:FANOUT]]

    def _sort_in(self, provider: Address, chosen: list[Address], strangers: list[Address], now: int) -> None:
        if provider == self.own or provider in chosen or provider in strangers:
            return
        there = self.hearsay.sequence(provider) >= 0 and not self.is_suspected(provider, now)
        (chosen if there else strangers).append(provider)

    def answered(self, provider: Address, now: int) -> None:
        """It proved to be there."""
        if provider in self.roster.peers:
            self._answered[provider] = now

    def failed(self, provider: Address, now: int) -> Suspicion | None:
        """It did not answer: what to say of it, if anything."""
        sequence = self.hearsay.sequence(provider)
        if sequence < 0 or self.is_gone(provider, now):
            return None
        mine = self.hearsay.get(("suspicion", provider, self.own))
        if mine is not None and mine.said.sequence >= sequence:
            return None
        return Suspicion(accuser=self.own, provider=provider, sequence=sequence)

    # -------------------------------------------------------------------------------------- what to tell them

    def message(
        self, recipient: Address, now: int, *, known: Collection[Key] = (), behind: Collection[Key] = ()
    ) -> list[Said]:
        """What this peer is told: what is said against it first, so that it can refute it; what this node
        says; what it told an older version of; then rumours, those least told before the others, and of these
        the newest. It fits a body."""
        told = [heard.said for heard in self.hearsay.suspicions(recipient)]
        told += [heard.said for key in behind if (heard := self.hearsay.get(key))]
        told += [heard.said for key in self._own_keys() if (heard := self.hearsay.get(key))]
        room = _ROOM - sum(map(size_of, told))
        while room < 0:
            room += size_of(told.pop())
        taken = {said.key for said in told} | set(known)
        limit = self.repeats
        for rumour in self._next(room, taken):
            told += [said for said in rumour.grounds if said.key not in taken]
            taken.update(said.key for said in rumour.grounds)
            told.append(rumour.said)
            rumour.sent += 1
            if rumour.sent >= limit:
                del self._rumours[rumour.said.key]
        return told

    @property
    def repeats(self) -> int:
        """How often a rumour is told by one node, at most."""
        return 2 + len(self.roster.order).bit_length()

    def _own_keys(self) -> Iterator[Key]:
        peer = self.roster.peers.get(self.own)
        for status in self._spoken[:_OWN] if peer else ():
            if peer and status.offer_hash in peer.models:
                yield "status", self.own, peer.models[status.offer_hash].encode()

    def _next(self, room: int, taken: set[Key]) -> list[Rumour]:
        """Accusations may fill a third of the room; they are few, and cannot wait."""
        rumours = sorted(self._rumours.values(), key=lambda rumour: (rumour.sent, -rumour.order))
        urgent = [rumour for rumour in rumours if rumour.said.key[0] == "suspicion"]
        others = [rumour for rumour in rumours if rumour.said.key[0] != "suspicion"]
        chosen = list(_fitting(urgent, room // 3, taken))
        room -= sum(rumour.size for rumour in chosen)
        grounds = {said.key for rumour in chosen for said in rumour.grounds}
        return chosen + list(_fitting(others, room, taken | grounds))

    def was_known(self, key: Key) -> None:
        """A peer that this was sent to, or that sent it, knew it already."""
        rumour = self._rumours.get(key)
        if rumour is not None:
            rumour.known += 1
            if rumour.known >= KNOWN[key[0]]:
                del self._rumours[key]

    # ------------------------------------------------------------------------------------------ what to say

    def due(self, statuses: Sequence[Status], now: int) -> list[Status]:
        """The statuses to sign now, under their sequences; none while nothing changed that matters, or the
        last ones are too new. The sequences in `statuses` do not matter."""
        own = self.roster.peers.get(self.own)
        current = tuple(status for status in statuses if own and status.offer_hash in own.models)
        if not current:
            return []
        age = None if self._spoke_at is None else now - self._spoke_at
        changed = self._contradicted or _differ(self._spoken, current)
        if age is not None and age < self.hearsay.interval_ms * (1 if changed else QUIET):
            return []
        self._contradicted = False
        self._spoke_at, self._spoken = now, current
        first = self._sequence + 1
        self._sequence += len(current)
        return [replace(status, sequence=first + place) for place, status in enumerate(current)]

    def begin(self, sequence: int) -> None:
        """What this node says comes after `sequence`: the milliseconds of its clock at the start, so that
        it goes on where it stopped. Where the clock was set back, others tell it what it said last."""
        self._sequence = max(self._sequence, sequence)


def _pace_of(key: Key) -> tuple[str, bytes, bytes]:
    """What counts together: a status of one model, whatever one accuser says, what all say of one's
    promises."""
    match key:
        case "suspicion", _, accuser:
            return "suspicion", accuser, b""
        case "rating", provider, _:
            return "rating", provider, b""
    return key


def _fitting(rumours: list[Rumour], room: int, taken: Collection[Key]) -> Iterator[Rumour]:
    for rumour in rumours:
        if rumour.said.key not in taken and rumour.size <= room:
            room -= rumour.size
            yield rumour


def _differ(spoken: Sequence[Status], current: Sequence[Status]) -> bool:
    if len(spoken) != len(current):
        return True
    return any(_differs(before, now) for before, now in zip(spoken, current, strict=True))


def _differs(before: Status, now: Status) -> bool:
    """Whether whoever chooses among providers should know."""
    loads = [(getattr(before, name), getattr(now, name)) for name in _LOAD]
    if any(abs(one - other) > _CHANGE * max(one, other) for one, other in loads):
        return True
    one, other = ([getattr(status, name) for name in _FIXED] for status in (before, now))
    return one != other


_LOAD: Final = ("room", "running", "waiting", "context", "queued")
_FIXED: Final = ("offer_hash", "parameters", "quantization", "speed")
