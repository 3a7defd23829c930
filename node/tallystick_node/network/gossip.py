"""Gossip: rounds of messages to a few peers, and answers to theirs. What is said is `Talk`'s decision, and
what is believed `Hearsay`'s; here are clock, chance, keys and the network."""

import asyncio
import random
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import orjson
import structlog

from tallystick.chain.errors import ChainError
from tallystick.ports import PostedOffer
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.errors import FormatError, MarketError, PeerUnknown, SignatureError, WrongSigner
from tallystick.protocol.gossip import Frame, Gossip, bits, is_set, read_body, write_body
from tallystick.protocol.hearsay import Key, Said, said_status, said_suspicion
from tallystick.protocol.proving import HIGHEST, named_by, proven
from tallystick.protocol.signed import Key as SigningKey
from tallystick.protocol.signed import Verified, sign, verify
from tallystick.protocol.status import Rating, Status
from tallystick.protocol.told import read_told
from tallystick.protocol.units import Address
from tallystick.protocol.wire import read_envelope, write_envelope
from tallystick_node.network.confirming import Confirming
from tallystick_node.network.posting import PeerRefused, PeerSilent
from tallystick_node.network.roster import Peer, Roster, roster_of
from tallystick_node.network.talk import Talk
from tallystick_node.network.telling import Telling
from tallystick_node.network.turns import Turns

ROUND_S: Final = 1.0
ROSTER_S: Final = 5.0
"""Between looks at who offers something on chain."""
ROSTER_SOON_S: Final = 1.0
"""Where somebody spoke who is not known yet."""
CATCH_UP_MS: Final = 10_000
"""Between two readings of all that a peer knows, at least."""
_IDLE: Final = 10
"""Times as long as a look takes, nobody looks again."""
_BREATH: Final = 8
"""Signatures checked before others get their turn."""

log = structlog.get_logger("tallystick.network")


class Poster(Protocol):
    async def gossip(self, endpoint: str, envelope: str, body: bytes) -> tuple[str, bytes]: ...

    async def network(self, endpoint: str) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Self:
    """Who gossips, and about what."""

    provider: Address
    key: SigningKey
    """The receipt key."""
    domain: Domain
    local: bool
    """As of `reachable_safely`."""
    offers: Callable[[], Sequence[PostedOffer]]
    """All that hold now, of everybody: slow, and raises ChainError."""
    statuses: Callable[[], Sequence[Status]]
    """Of this node, as they are now; their sequences do not matter."""
    is_payer: Callable[[Address], bool]
    """Has an account with a deposit, or had one: of others no rating is looked at."""
    channels: Callable[[Sequence[ChannelKey]], Sequence[Channel]]
    """Each in its epoch of now: slow, and raises ChainError."""
    is_receipt_key: Callable[[Address, Address], bool]
    """Whether a provider ever named a key: slow, and raises ChainError."""


@dataclass(slots=True)
class Reading:
    """Of the messages of one body."""

    flags: list[bool] = field(default_factory=list)
    """One each: whether it was known."""
    same: list[Key] = field(default_factory=list)
    """Of which their sender knows what is known here."""
    behind: list[Key] = field(default_factory=list)
    """Of which something later is known here."""
    untimely: int = 0
    """Signed with a key that is its speaker's, but not as the chain is known here."""


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Gossiper:
    """One node's part in it. Runs in one event loop."""

    def __init__(self, node: Self, post: Poster, *, now: Callable[[], int] = _monotonic_ms):
        self._node = node
        self._post = post
        self._now = now
        self.talk = Talk(node.provider)
        self.talk.begin(time.time_ns() // 1_000_000)
        self.telling = Telling(self.talk.hearsay, lambda: self.talk.roster, now)
        self._turns = Turns()
        self.confirming = Confirming(node.channels, self._confirmed, now)
        self._named: set[tuple[Address, Address]] = set()
        """Providers, and keys that each named at some time, and that are not its own as known here."""
        self._numbers: dict[Address, int] = {}
        """The last one that each peer was sent."""
        self._calling: dict[Address, asyncio.Task[None]] = {}
        self._catching_up: int | None = None
        """When all that a peer knows was last asked for."""
        self._stranger = asyncio.Event()
        """Somebody spoke whom the chain, as known here, does not know."""
        self.sent = self.received = 0
        """Bytes of bodies and envelopes."""

    # ------------------------------------------------------------------------------------------------ rounds

    async def run(self) -> None:
        """For ever."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._rounds())
                group.create_task(self.confirming.run())
        finally:
            for task in list(self._calling.values()):
                task.cancel()

    async def _follow(self) -> None:
        while True:
            began = time.monotonic()
            await self.look_up()
            pause_s = max(ROSTER_SOON_S, _IDLE * (time.monotonic() - began))  # Whoever names strangers.
            await asyncio.sleep(pause_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(ROSTER_S - ROSTER_SOON_S):
                    await self._stranger.wait()

    async def look_up(self) -> None:
        """Who offers something on chain now."""
        self._stranger.clear()
        try:
            roster = await asyncio.to_thread(self._roster)
        except ChainError as error:
            log.warning("roster.failed", code=error.code)
            return
        self.talk.learn(roster)
        self._turns.keep(roster.peers)
        self._named = {named for named in self._named if named[0] in roster.peers}
        self._numbers = {peer: number for peer, number in self._numbers.items() if peer in roster.peers}

    def _roster(self) -> Roster:
        return roster_of(self._node.offers(), local=self._node.local)

    async def _rounds(self) -> None:
        while True:
            self.round()
            await asyncio.sleep(ROUND_S * random.uniform(0.9, 1.1))  # In no step with anybody.

    def round(self) -> list[asyncio.Task[None]]:
        """Speaks, and begins to call a few peers: the calls. One that was called before and has not answered
        yet is not called again."""
        now = self._now()
        for status in self.talk.due(self._node.statuses(), now):
            model = self.talk.roster.peers[self._node.provider].models[status.offer_hash]
            self.talk.take(said_status(sign(status, self._node.domain, self._node.key), model), now)
        for peer in self.talk.targets(now, random.random):
            if peer.provider not in self._calling:
                task = asyncio.create_task(self.call(peer))
                self._calling[peer.provider] = task
                task.add_done_callback(partial(self._called, peer.provider))
        return list(self._calling.values())

    def _called(self, provider: Address, task: asyncio.Task[None]) -> None:
        del self._calling[provider]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("gossip.failed", error=repr(error))

    async def call(self, peer: Peer) -> None:
        """One exchange that this node begins."""
        told = self.talk.message(peer.provider, self._now())
        body = write_body(b"", told)
        number = max(self._numbers.get(peer.provider, 0) + 1, time.time_ns() // 1_000)
        self._numbers[peer.provider] = number
        envelope = self._envelope(peer.provider, number, body)
        self.sent += len(envelope) + len(body)
        try:
            header, answer = await self._post.gossip(peer.endpoint, envelope, body)
            gossip = self._opened(header, answer, peer)
        except PeerSilent:
            self._accuse(peer.provider)
        except PeerRefused as refused:
            self._heed(peer.provider, refused)
        except MarketError as error:
            log.info("gossip.refused", code=error.code)
            self._stranger.set()
        else:
            self.received += len(header) + len(answer)
            if gossip.message.number == number:
                was_away = self.talk.is_gone(peer.provider, self._now())
                self.talk.answered(peer.provider, self._now())
                await self._hear(peer.provider, answer, told)
                if self._catching_up is None or (was_away and self._now() - self._catching_up > CATCH_UP_MS):
                    await self._catch_up(peer)

    async def _catch_up(self, peer: Peer) -> None:
        """Hears all that a peer knows: at the start, and where the network was in parts."""
        self._catching_up = self._now()
        try:
            _, frames = read_told(orjson.loads(await self._post.network(peer.endpoint)))
            checked, heard = 0, Reading()
            for frame, _ in frames:
                checked += await self._taken(frame, heard, peer.provider, repeated=False)
                if heard.untimely == _BREATH:
                    break
                if checked == _BREATH:
                    checked = 0
                    await asyncio.sleep(0)
        except (PeerSilent, PeerRefused, FormatError, SignatureError, ValueError) as error:
            log.info("network.failed", error=type(error).__name__)

    def _accuse(self, provider: Address) -> None:
        now = self._now()
        suspicion = self.talk.failed(provider, now)
        if suspicion is not None:
            self.talk.take(said_suspicion(sign(suspicion, self._node.domain, self._node.key)), now)

    def _heed(self, provider: Address, refused: PeerRefused) -> None:
        """A peer that remembers a later number than this node does, after a restart with an earlier clock."""
        if refused.status != 409:
            return
        try:
            required = int(orjson.loads(refused.content)["error"]["required"])
        except (ValueError, KeyError, TypeError):
            return
        if required < HIGHEST:
            self._numbers[provider] = max(self._numbers.get(provider, 0), required)

    def _envelope(self, recipient: Address, number: int, body: bytes) -> str:
        gossip = Gossip(
            sender=self._node.provider, recipient=recipient, number=number, body_hash=keccak(body)
        )
        return write_envelope(sign(gossip, self._node.domain, self._node.key).signed)

    def _opened(self, header: str, body: bytes, peer: Peer) -> Verified[Gossip]:
        """The answer's envelope, proven; raises FormatError, SignatureError or PeerUnknown."""
        signed = read_envelope(header, Gossip)
        self._require_ours(signed.message, body)
        if signed.message.sender != peer.provider:
            raise PeerUnknown("Another node answered.")
        return verify(signed, self._node.domain, signer=peer.receipt_key)

    def _require_ours(self, gossip: Gossip, body: bytes) -> None:
        if gossip.recipient != self._node.provider:
            raise PeerUnknown("This message is for another node.")
        if gossip.body_hash != keccak(body):
            raise PeerUnknown("This envelope is another body's.")

    # ----------------------------------------------------------------------------------------------- answers

    async def answer(self, header: str | None, body: bytes) -> tuple[str, bytes]:
        """The envelope and body of the answer to a peer's message.

        Raises
        ------
        FormatError, SignatureError, GossipError :
            Nothing of it was read.
        """
        signed = read_envelope(header or "", Gossip)
        gossip, now = signed.message, self._now()
        self._require_ours(gossip, body)
        peer = self.talk.roster.peers.get(gossip.sender)
        if peer is None or gossip.sender == self._node.provider:
            self._stranger.set()
            raise PeerUnknown("Nobody offers anything on chain under this address.")
        self._turns.require(gossip.sender, gossip.number, now)
        verify(signed, self._node.domain, signer=peer.receipt_key)
        self._turns.spend(gossip.sender, gossip.number, now)
        self.received += len(header or "") + len(body)
        heard = await self._hear(gossip.sender, body, ())
        told = self.talk.message(gossip.sender, self._now(), known=heard.same, behind=heard.behind)
        answer = write_body(bits(heard.flags), told)
        envelope = self._envelope(gossip.sender, gossip.number, answer)
        self.sent += len(envelope) + len(answer)
        return envelope, answer

    async def _hear(self, sender: Address, body: bytes, told: Sequence[Said]) -> Reading:
        """What is forged ends the reading and is charged to the sender. `told`: what the body answers."""
        heard, checked = Reading(), 0
        try:
            answered, frames = read_body(body)
            for place, said in enumerate(told):
                if is_set(answered, place):
                    self.talk.was_known(said.key)
            for frame in frames:
                checked += await self._taken(frame, heard, sender)
                if heard.untimely == _BREATH:
                    break
                if checked == _BREATH:
                    checked = 0
                    await asyncio.sleep(0)
        except (FormatError, SignatureError) as error:
            log.info("gossip.forged", code=error.code)
            self._stranger.set()  # Perhaps its key was replaced, and the chain says so.
            self._turns.charge(sender, self._now())
        return heard

    async def _taken(self, frame: Frame, heard: Reading, sender: Address, *, repeated: bool = True) -> bool:
        """As `_take`, but what was signed with a key that its speaker named before, or has named since the
        chain was last read here, is passed over: whoever passes it on forged nothing."""
        try:
            return self._take(frame, heard, sender, repeated=repeated)
        except WrongSigner as error:
            named = named_by(frame.message, error)
            if named not in self._named:
                with suppress(ChainError):
                    if not await asyncio.to_thread(self._node.is_receipt_key, *named):
                        raise
                    self._named.add(named)
            self._stranger.set()
            heard.untimely += 1
            heard.flags.append(False)
            return True

    def _take(self, frame: Frame, heard: Reading, sender: Hashable, *, repeated: bool = True) -> bool:
        """Whether a signature was checked; raises FormatError or SignatureError. `sender`: as of `Raters`."""
        talk, now, message = self.talk, self._now(), frame.message
        key = talk.roster.key_of(message)
        if key is None:
            self._stranger.set()
            heard.flags.append(False)
            return False
        if isinstance(message, Rating) and not self._node.is_payer(message.payer):
            heard.flags.append(True)
            return False
        if talk.wants(key, message.sequence, frame.packed, now):
            if isinstance(message, Rating) and not self.confirming.is_served(message):
                heard.flags.append(False)
                return self._await(frame, message, key, sender)
            said = proven(frame, key, talk.roster.receipt_key, self._node.domain)
            heard.flags.append(not talk.take(said, now, repeated=repeated))
            heard.same.append(key)
            return True
        heard.flags.append(True)
        if talk.is_behind(key, message.sequence):
            heard.behind.append(key)
        else:
            talk.was_known(key)
            heard.same.append(key)
        return False

    # ----------------------------------------------------------------------------------------------- ratings

    def take_rating(self, frame: Frame, sender: str = "") -> bool:
        """Whether a payer's rating is news, or may be once its channel was looked up; raises FormatError or
        SignatureError. `sender`: where it came from."""
        heard = Reading()
        checked = self._take(frame, heard, sender)
        return checked and not heard.flags[0]

    def _await(self, frame: Frame, rating: Rating, key: Key, sender: Hashable) -> bool:
        """As `_take`, of a rating whose channel is not known to be on chain."""
        if not self.confirming.may_wait(rating, sender):
            return False
        said = proven(frame, key, self.talk.roster.receipt_key, self._node.domain)
        self.confirming.wait(said, rating, sender)
        return True

    def _confirmed(self, said: Said) -> None:
        if self.talk.roster.key_of(said.proof.message) == said.key:  # Its provider sells still.
            self.talk.take(said, self._now())
