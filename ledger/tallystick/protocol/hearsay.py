"""What providers and payers say beside the chain, merged: of everything said, the latest holds.

It is one rule for all kinds. Each message has a key (what it is about, and who says it) and a sequence; the
higher sequence replaces the lower, and of two under one sequence the one whose bytes are greater, so that all
who hear the same hold the same, in whatever order it came and however often. A payer's next rating is heard
some intervals after its last one, and of more payers than are remembered those heard last count. No sender's
clock decides anything, and no sequence is weighed against another speaker's. Only proven messages come in,
and `now` is milliseconds of a clock of one's own that never goes back. It knows no peer and no socket; nodes
and payers use it alike.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.packed import pack
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Verified
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.units import Address, Hash32

ACCUSERS: Final = 4
"""Of one provider that are remembered."""
RATINGS: Final = 16
"""Of one provider that are remembered, each of another payer."""
RATED: Final = 10
"""Intervals before another rating of the same payer and provider is news: at a pace of two an interval for
all payers of a provider, none has more than a twentieth of it."""
QUORUM: Final = 2
"""Accusers that it takes to suspect a provider, where so many others are there to accuse it."""
GRACE_MS: Final = 3_000
"""In which a suspected provider may say that it is there, before it is gone."""
DOUBT: Final = 3
"""Accusations that were refuted soon, after which an accuser is not believed for a while."""
DOUBT_MS: Final = 60_000
SOON_MS: Final = 10_000
"""An accusation that stood for longer was true when it was made."""

NETWORK_PER_S: Final = 64
"""Statuses that a whole network makes in a second at most: what one node hears does not grow with it."""
INTERVAL_MS: Final = 1_000
"""Between two statuses of one provider and model, at least, where the network is small."""
QUIET: Final = 5
"""Intervals after which a status is made though nothing changed."""
SILENT: Final = 15
"""Intervals without any status after which a provider is suspected though nobody accuses it."""

Key = tuple[str, Address, bytes]
"""Kind, provider that it is about, and who says it; of a status, which model it is of."""


def interval_ms(known: int) -> int:
    """Between two statuses of one provider and model, in a network that has so many."""
    return max(INTERVAL_MS, 1_000 * known // NETWORK_PER_S)


@dataclass(frozen=True, slots=True)
class Said:
    """One message that was proven to be its speaker's, and the evidence that goes with it."""

    key: Key
    sequence: int
    proof: Verified[Status] | Verified[Suspicion] | Verified[Rating]
    packed: bytes
    """The message as `pack` writes it."""
    receipt: Verified[Receipt] | None = None
    """Of a rating: that its payer was served there."""

    @property
    def provider(self) -> Address:
        """Whom it is about."""
        return self.key[1]


def said_status(proof: Verified[Status], model: str) -> Said:
    """`model`: of the posted offer that it names."""
    message = proof.message
    return Said(key_of(message, model), message.sequence, proof, pack(message))


def said_suspicion(proof: Verified[Suspicion]) -> Said:
    return Said(key_of(proof.message), proof.message.sequence, proof, pack(proof.message))


def key_of(message: Status | Suspicion | Rating, model: str = "") -> Key:
    match message:
        case Status():
            return "status", message.provider, model.encode()
        case Suspicion():
            return "suspicion", message.provider, message.accuser
        case Rating():
            return "rating", message.provider, message.payer


@dataclass(frozen=True, slots=True)
class Heard:
    """Something said, and when it was first heard by one's own clock."""

    said: Said
    at: int


class Hearsay:
    """All that was heard of a set of providers. It holds no more than a fixed amount about each."""

    def __init__(self) -> None:
        self._held: dict[Key, Heard] = {}
        self._last: dict[Address, tuple[int, int]] = {}
        """The highest sequence of each provider's statuses, and when it was heard."""
        self._beside: dict[tuple[str, Address], set[Key]] = {}
        """What is said of each provider, by kind."""
        self._refuted: dict[bytes, tuple[int, ...]] = {}
        """When the last few accusations of each accuser were refuted."""
        self.known = 0
        """Statuses that are held."""
        self._whole = 0
        self.interval_ms = INTERVAL_MS
        """Between two statuses of one provider and model, at least."""

    def is_part_of(self, whole: int) -> None:
        """There are said to be so many statuses, and only a part of them is heard here."""
        self._whole = whole
        self._count(0)

    def _count(self, more: int) -> None:
        self.known += more
        self.interval_ms = interval_ms(max(self._whole, self.known))

    # ------------------------------------------------------------------------------------------------ merge

    def is_news(self, key: Key, sequence: int, packed: bytes, now: int) -> bool:
        """Whether it would change anything: to be asked before a signature is checked."""
        kind, provider, _ = key
        if kind == "suspicion" and sequence != self.sequence(provider):
            return False  # Refuted already; or of a status that nobody may ever sign, and so for ever.
        held = self._held.get(key)
        if held is not None:
            if kind == "rating" and now - held.at < RATED * self.interval_ms:
                return False
            return (held.said.sequence, held.said.packed) < (sequence, packed)
        if kind == "status":
            return True
        rivals = self._beside.get((kind, provider), ())
        if len(rivals) < (ACCUSERS if kind == "suspicion" else RATINGS):
            return True
        if kind == "rating":
            return min(self._held[rival].at for rival in rivals) < now
        return min(self._standing(rival, now) for rival in rivals) < self._standing(key, now)

    def take(self, said: Said, now: int) -> bool:
        """Whether it was news."""
        if not self.is_news(said.key, said.sequence, said.packed, now):
            return False
        kind, provider, _ = said.key
        if kind == "status" and said.key not in self._held:
            self._count(1)
        self._held[said.key] = Heard(said, now)
        if kind == "status" and said.sequence > self.sequence(provider):
            self._last[provider] = said.sequence, now
            self._refute(provider, now)
        beside = self._beside.setdefault((kind, provider), set())
        beside.add(said.key)
        if kind != "status" and len(beside) > (ACCUSERS if kind == "suspicion" else RATINGS):
            self._drop(min(beside, key=lambda key: self._rank(key, now)))
        return True

    def keep(self, offered: Mapping[Address, Collection[bytes]]) -> None:
        """Forgets whatever is about none of these providers, and statuses of none of their models."""
        for key in list(self._held):
            kind, provider, who = key
            models = offered.get(provider)
            if models is None or (kind == "status" and who not in models):
                self._drop(key)
        for gone in self._last.keys() - offered.keys():
            del self._last[gone]
        for accuser in [accuser for accuser in self._refuted if accuser not in offered]:
            del self._refuted[accuser]

    def keep_signed(self, receipt_key: Callable[[Address], Address | None]) -> None:
        """Forgets what a provider signed with a key that is not its own any more, but for receipts: whoever
        passed that on would be taken for a forger."""
        for key, heard in list(self._held.items()):
            kind, provider, who = key
            speaker = provider if kind == "status" else Address(who)
            if kind != "rating" and heard.said.proof.signer != receipt_key(speaker):
                self._drop(key)

    def _rank(self, key: Key, now: int) -> tuple[int, Key]:
        """The lowest gives way. Payers count from when they were heard last: whoever speaks often keeps one
        place, and takes no other's."""
        return (self._held[key].at, key) if key[0] == "rating" else self._standing(key, now)

    def _standing(self, key: Key, now: int) -> tuple[int, Key]:
        """Of an accusation: all are of the same status. Who is not believed keeps nobody out."""
        return int(not self._is_doubted(key[2], now)), key

    def _drop(self, key: Key) -> None:
        del self._held[key]
        if key[0] == "status":
            self._count(-1)
        beside = self._beside.get(key[:2])
        if beside is not None:
            beside.discard(key)
            if not beside:
                del self._beside[key[:2]]

    def _refute(self, provider: Address, now: int) -> None:
        """It said something later than what it is accused of."""
        for key in list(self._beside.get(("suspicion", provider), ())):
            heard = self._held[key]
            self._drop(key)
            if now - heard.at <= SOON_MS:
                self._refuted[key[2]] = (*self._refuted.get(key[2], ())[1 - DOUBT :], now)

    # --------------------------------------------------------------------------------------------- questions

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Heard]:
        return iter(list(self._held.values()))

    def get(self, key: Key) -> Heard | None:
        return self._held.get(key)

    def sequence(self, provider: Address) -> int:
        """The highest of its statuses; -1 where none was heard."""
        return self._last.get(provider, (-1, 0))[0]

    def statuses(self, provider: Address) -> list[Heard]:
        """The newest of each model."""
        return [self._held[key] for key in sorted(self._beside.get(("status", provider), ()))]

    def status(self, provider: Address, model: str, offer_hash: Hash32) -> Heard | None:
        """The newest of the model, where it is about this very offer."""
        heard = self._held.get(("status", provider, model.encode()))
        if heard is None or not isinstance(heard.said.proof.message, Status):
            return None
        return heard if heard.said.proof.message.offer_hash == offer_hash else None

    def suspicions(self, provider: Address) -> list[Heard]:
        """Those that nothing of its own refutes."""
        return [self._held[key] for key in self._beside.get(("suspicion", provider), ())]

    def rated(self, provider: Address) -> list[Heard]:
        """Ratings of others, each of another payer."""
        return [self._held[key] for key in sorted(self._beside.get(("rating", provider), ()))]

    def suspected_at(self, provider: Address, now: int, *, own: bytes = b"") -> int | None:
        """Since when enough accusers are believed that the provider does not answer, or it says nothing
        itself; None: it is not suspected. An accusation of one's `own` is enough."""
        last = self._last.get(provider)
        if last is None:
            return None
        times = []
        for heard in self.suspicions(provider):
            if heard.said.key[2] == own:
                return heard.at
            if not self._is_doubted(heard.said.key[2], now):
                times.append(heard.at)
        quorum = min(QUORUM, max(1, len(self._last) - 1))
        if len(times) >= quorum:
            return sorted(times)[quorum - 1]
        silent_at = last[1] + SILENT * self.interval_ms
        return silent_at if now >= silent_at else None

    def is_gone(self, provider: Address, now: int, *, own: bytes = b"") -> bool:
        """It was suspected and said nothing since."""
        since = self.suspected_at(provider, now, own=own)
        return since is not None and now - since >= GRACE_MS

    def _is_doubted(self, accuser: bytes, now: int) -> bool:
        refuted = self._refuted.get(accuser, ())
        return len(refuted) >= DOUBT and now - refuted[0] <= DOUBT_MS
