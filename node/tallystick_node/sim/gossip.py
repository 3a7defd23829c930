"""A simulated network of nodes that gossip: the very code that nodes run decides, and here are only a clock,
chance and the wires between them. It signs nothing, and counts what would be sent."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.gossip import size_of
from tallystick.protocol.hearsay import INTERVAL_MS, Said, said_status, said_suspicion
from tallystick.protocol.signed import Verified
from tallystick.protocol.speed import Speed
from tallystick.protocol.status import Status
from tallystick.protocol.units import Address, Hash32, Tokens
from tallystick_node.network.roster import Peer, Roster
from tallystick_node.network.talk import Talk
from tallystick_node.sim.spread import note

ENVELOPE: Final = 620
"""Bytes of a message or an answer beside its frames: the envelope, and HTTP's own lines."""
TIMEOUT_MS: Final = 2_000
SPEED: Final = Speed(
    fixed=1_000_000_000,
    sequence=55_000_000,
    weights=20_000_000_000,
    token=50_000_000,
    context=100_000,
    capacity=Tokens(185_000),
    chunk=Tokens(2048),
)


def provider(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def offer_hash(number: int) -> Hash32:
    return Hash32(number.to_bytes(32, "big"))


def status(number: int, *, running: int = 0, sequence: int = 0, room: int = 8) -> Status:
    """Of the one offer of that provider."""
    return Status(
        provider=provider(number),
        offer_hash=offer_hash(number),
        sequence=sequence,
        room=room,
        running=running,
        waiting=0,
        context=Tokens(1000 * running),
        queued=Tokens(0),
        parameters=0,
        quantization="bf16",
        speed=SPEED,
    )


def status_said(number: int, sequence: int, running: int = 0) -> Said:
    """Signed by nobody: wires that are only counted check nothing."""
    made = status(number, running=running, sequence=sequence)
    return said_status(Verified(made, bytes(65), provider(number)), "m")


def roster(count: int) -> Roster:
    peers = {
        provider(number): Peer(provider(number), "", provider(number), {offer_hash(number): "m"})
        for number in range(1, count + 1)
    }
    return Roster(peers, tuple(peers))


@dataclass(frozen=True, slots=True)
class Answer:
    """To a message."""

    known: Sequence[bool]
    """Of what it told, which was no news."""
    told: Sequence[Said]


def answered(node: Talk, caller: Address, told: Sequence[Said], now: int) -> Answer:
    """What a node that was told this by another makes of it, and says."""
    behind = [said.key for said in told if node.is_behind(said.key, said.sequence)]
    known = [_hear(node, said, now) for said in told]
    same = {said.key for said in told}.difference(behind)
    return Answer(known, node.message(caller, now, known=same, behind=behind))


def hear_answer(node: Talk, called: Address, told: Sequence[Said], answer: Answer, now: int) -> None:
    """To what that node told."""
    node.answered(called, now)
    for said, was_known in zip(told, answer.known, strict=True):
        if was_known:
            node.was_known(said.key)
    for said in answer.told:
        _hear(node, said, now)


def _hear(node: Talk, said: Said, now: int) -> bool:
    """Whether it was known."""
    if not node.wants(said.key, said.sequence, said.packed, now):
        node.was_known(said.key)
        return True
    return not node.take(said, now)


def bytes_of(told: Sequence[Said]) -> int:
    """Of a message or an answer, as it would be sent."""
    return ENVELOPE + sum(map(size_of, told))


class Network:
    """Nodes 1 to `count`. A round is a second, and each node's begins at a moment of its own in it."""

    def __init__(self, count: int, seed: int = 0):
        self.count = count
        self.random = random.Random(seed)
        self.now = 0
        self.roster = roster(count)
        self.nodes = {number: self._node(number) for number in range(1, count + 1)}
        self.running = dict.fromkeys(self.nodes, 0)
        """What each has to do."""
        self.alive = set(self.nodes)
        self.silent = False
        """Nobody says anything new of itself."""
        self.reaches: Callable[[int, int], bool] = lambda one, other: True
        self.sent = dict.fromkeys(self.nodes, 0)
        """Bytes."""
        self._late: list[tuple[int, int, int]] = []
        """Calls that get no answer: when that is clear, and who called whom."""

    def _node(self, number: int) -> Talk:
        node = Talk(provider(number))
        node.learn(self.roster)
        return node

    def acquaint(self) -> None:
        """All have heard of all, long ago."""
        known = [status_said(number, sequence=1) for number in self.nodes]
        for node in self.nodes.values():
            node.begin(1)
            for said in known:
                node.hearsay.take(said, self.now)

    def restart(self, number: int, clock: int = 0) -> None:
        """With nothing in memory, and a clock that may be wrong."""
        self.nodes[number] = self._node(number)
        self.nodes[number].begin(clock)
        self.alive.add(number)

    def round(self) -> None:
        order = sorted(self.alive)
        self.random.shuffle(order)
        for place, number in enumerate(order):
            if number in self.alive:
                self._step(number, self.now + place * INTERVAL_MS // len(order))
        self.now += INTERVAL_MS
        note(1)
        late, self._late = self._late, []
        for at, caller, called in late:
            if at > self.now:
                self._late.append((at, caller, called))
            elif caller in self.alive:
                self._fail(caller, called, self.now)

    def _step(self, number: int, now: int) -> None:
        node = self.nodes[number]
        if not self.silent:
            self.speak(number, now)
        for peer in node.targets(now, self.random.random):
            other = int.from_bytes(peer.provider, "big")
            if other in self.alive and self.reaches(number, other):
                self._exchange(number, other, now)
            else:
                self._late.append((now + TIMEOUT_MS, number, other))

    def speak(self, number: int, now: int) -> None:
        node = self.nodes[number]
        for made in node.due([status(number, running=self.running[number])], now):
            node.take(said_status(Verified(made, bytes(65), provider(number)), "m"), now)

    def _exchange(self, caller: int, called: int, now: int) -> None:
        one, other = self.nodes[caller], self.nodes[called]
        told = one.message(other.own, now)
        self.sent[caller] += bytes_of(told)
        answer = answered(other, one.own, told, now)
        self.sent[called] += bytes_of(answer.told)
        hear_answer(one, other.own, told, answer, now)

    def _fail(self, caller: int, called: int, now: int) -> None:
        node = self.nodes[caller]
        suspicion = node.failed(provider(called), now)
        if suspicion is not None:
            node.take(said_suspicion(Verified(suspicion, bytes(65), node.own)), now)

    # --------------------------------------------------------------------------------------------- questions

    def share_knowing(self, number: int, sequence: int) -> float:
        """Of the living: those that heard this status of that node, or a later one."""
        whom = provider(number)
        knowing = sum(self.nodes[other].hearsay.sequence(whom) >= sequence for other in self.alive)
        return knowing / len(self.alive)

    def share_suspecting(self, number: int) -> float:
        """Of the living: those to whom that node is out."""
        whom = provider(number)
        suspecting = sum(self.nodes[other].is_suspected(whom, self.now) for other in self.alive)
        return suspecting / len(self.alive)

    def share_without(self, number: int) -> float:
        """Of the living: those to whom that node is gone."""
        whom = provider(number)
        return sum(self.nodes[other].is_gone(whom, self.now) for other in self.alive) / len(self.alive)
