"""News as gossip carries it, in place of `news`: each provider has a `network.talk.Talk`, which merges,
repeats, accuses and speaks as it does in a live node, and calls others in each second. Messages take their
way and are signed by nobody. Who offers nothing reads what one gateway knows.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, Protocol

from tallystick.client.choose import Offers
from tallystick.ports import PostedOffer
from tallystick.protocol.hearsay import INTERVAL_MS, Said, interval_ms, key_of, said_status, said_suspicion
from tallystick.protocol.packed import pack
from tallystick.protocol.rating import agreed
from tallystick.protocol.signed import Verified
from tallystick.protocol.status import Rating, Status
from tallystick.protocol.units import Address
from tallystick_node.network.roster import Peer, Roster
from tallystick_node.network.talk import Talk
from tallystick_node.sim.events import Events
from tallystick_node.sim.gossip import TIMEOUT_MS, Answer, answered, bytes_of, hear_answer
from tallystick_node.sim.news import Told

ROUND_S: Final = INTERVAL_MS / 1_000
_UNSIGNED: Final = bytes(65)


class Posted(Protocol):
    """The simulated chain, as far as gossip follows it."""

    posted: dict[int, PostedOffer]

    @property
    def offers(self) -> Mapping[str, Offers]: ...


class Gossiped:
    """Of a fixed list of nodes, by index."""

    def __init__(
        self,
        addresses: Sequence[Address],
        speakers: int,
        events: Events,
        chain: Posted,
        way_s: Callable[[int, int], float],
        seed: int,
    ):
        """`way_s`: from one node to another."""
        self.interval_s = interval_ms(speakers) / 1_000
        self.next_sequence = [0] * len(addresses)
        """Talks count for themselves."""
        self.sent = 0
        """Bytes, of all."""
        self._addresses = addresses
        self._index = {address: index for index, address in enumerate(addresses)}
        self._events = events
        self._chain = chain
        self._way_s = way_s
        self._random = Random(f"{seed} gossip")
        self._talks: dict[int, Talk] = {}
        self._known: list[Said] = []
        """What all have heard before anything begins."""
        self._read: Mapping[str, Offers] | None = None
        """The offers by which the roster was made."""
        self._roster = Roster()

    # ---------------------------------------------------------------------------------------- what is said

    def tell(self, index: int, status: Status, now: float) -> bool:
        """Whether it was worth a message. Before the start, all hear it at once."""
        talk, now_ms = self._talk(index), _ms(now)
        talk.learn(self._rostered())
        made = talk.due([status], now_ms)
        for each in made:
            model = self._roster.peers[each.provider].models[each.offer_hash]
            said = said_status(Verified(each, _UNSIGNED, each.provider), model)
            talk.take(said, now_ms)
            if now < 0:
                self._acquaint(said, now_ms)
        return bool(made)

    def rate(self, index: int, by: int, rating: Rating, now: float) -> None:
        """What a payer says of a provider, at its own node or where it reads."""
        proof = Verified(rating, _UNSIGNED, rating.session_key)
        talk = self._heard_at(by)
        if talk is not None:
            talk.take(Said(key_of(rating), rating.sequence, proof, pack(rating)), _ms(now))

    def died(self, index: int, now: float) -> None:
        self._talks.pop(index, None)

    def _acquaint(self, said: Said, now_ms: int) -> None:
        self._known.append(said)
        for talk in self._talks.values():
            talk.learn(self._roster)
            talk.take(said, now_ms, repeated=False)

    def _talk(self, index: int) -> Talk:
        talk = self._talks.get(index)
        if talk is None:
            talk = self._talks[index] = Talk(self._addresses[index])
            talk.learn(self._rostered())
            for said in self._known:
                talk.take(said, _ms(self._events.now), repeated=False)
            self._events.after(ROUND_S * self._random.random(), self._round, index)
        return talk

    def _rostered(self) -> Roster:
        if self._read is not self._chain.offers:
            self._read = self._chain.offers
            peers = {
                posted.offer.provider: Peer(
                    provider=posted.offer.provider,
                    endpoint=posted.offer.endpoint,
                    receipt_key=posted.offer.provider,
                    models={posted.offer_hash: posted.offer.model},
                )
                for posted in self._chain.posted.values()
            }
            self._roster = Roster(peers, tuple(peers))
        return self._roster

    # ---------------------------------------------------------------------------------------- what is heard

    def heard(self, by: int, index: int, now: float) -> Told | None:
        """The newest that this node has heard of that one, and when it heard it."""
        talk, posted = self._heard_at(by), self._chain.posted.get(index)
        if talk is None or posted is None:
            return None
        found = talk.hearsay.status(posted.offer.provider, posted.offer.model, posted.offer_hash)
        if found is None or not isinstance(status := found.said.proof.message, Status):
            return None
        return Told(found.at / 1_000, status)

    def ratio(self, by: int, index: int) -> float:
        """Observed over quoted time, as payers have told this node."""
        talk = self._heard_at(by)
        rated = () if talk is None else talk.hearsay.rated(self._addresses[index])
        messages = (heard.said.proof.message for heard in rated)
        return agreed(message for message in messages if isinstance(message, Rating))

    def is_suspected(self, by: int, index: int, now: float) -> bool:
        """It is said not to answer."""
        talk = self._heard_at(by)
        return talk is not None and talk.is_suspected(self._addresses[index], _ms(now))

    def _heard_at(self, by: int) -> Talk | None:
        """Its own, or one of those that there are."""
        talk = self._talks.get(by)
        if talk is None and self._talks:
            there = list(self._talks.values())
            talk = there[by % len(there)]
        return talk

    # ---------------------------------------------------------------------------------------- rounds

    def _round(self, index: int) -> None:
        talk, now_ms = self._talks.get(index), _ms(self._events.now)
        if talk is None:
            return
        talk.learn(self._rostered())
        for peer in talk.targets(now_ms, self._random.random):
            other, told = self._index[peer.provider], talk.message(peer.provider, now_ms)
            self.sent += bytes_of(told)
            self._events.after(self._way_s(index, other), self._called, index, other, told)
        self._events.after(ROUND_S, self._round, index)

    def _called(self, caller: int, called: int, told: Sequence[Said]) -> None:
        talk = self._talks.get(called)
        if talk is None:
            self._events.after(TIMEOUT_MS / 1_000, self._failed, caller, called)
            return
        answer = answered(talk, self._addresses[caller], told, _ms(self._events.now))
        self.sent += bytes_of(answer.told)
        self._events.after(self._way_s(called, caller), self._answered, caller, called, told, answer)

    def _answered(self, caller: int, called: int, told: Sequence[Said], answer: Answer) -> None:
        talk = self._talks.get(caller)
        if talk is not None:
            hear_answer(talk, self._addresses[called], told, answer, _ms(self._events.now))

    def _failed(self, caller: int, called: int) -> None:
        talk, now_ms = self._talks.get(caller), _ms(self._events.now)
        suspicion = None if talk is None else talk.failed(self._addresses[called], now_ms)
        if talk is not None and suspicion is not None:
            talk.take(said_suspicion(Verified(suspicion, _UNSIGNED, talk.own)), now_ms)


def _ms(seconds: float) -> int:
    """Of a clock that two moments a second apart are a thousand apart by."""
    return round(1_000 * seconds)
