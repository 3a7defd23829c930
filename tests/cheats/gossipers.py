"""Nodes that cheat in gossip. Each has a stake behind it, and talks to one honest node as it likes."""

from dataclasses import dataclass, field

from tallystick.protocol.errors import MarketError
from tallystick.protocol.gossip import write_body
from tallystick.protocol.hearsay import Said, said_suspicion
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.status import Suspicion
from tests.network.wired import DOMAIN, Wires, key_of, message, rating_frame, said_by, said_rating

EVERY_MS = 100
"""Between two messages of an adversary."""


@dataclass
class Gossiping:
    """Base of all: what it says each time, and how that is received."""

    wires: Wires
    key: Key
    victim: Key
    """To whom it talks."""
    other: Key
    """Of whom it talks."""
    sent: int = 0
    refused: list[str] = field(default_factory=list)

    async def act(self) -> None:
        self.sent += 1
        await self.send(*message(self.key, self.victim, self.sent, self.says()))

    async def send(self, header: str, body: bytes) -> None:
        try:
            await self.wires.nodes[self.victim.address].answer(header, body)
        except MarketError as error:
            self.refused.append(error.code)

    def says(self) -> list[Said]:
        return []


class FloodsWithItsOwn(Gossiping):
    """Statuses of its own, sixty in a message, each above the last: all of them are true."""

    def says(self) -> list[Said]:
        return [said_by(self.key, sequence=60 * self.sent + place, running=place) for place in range(60)]


class ForgesOthers(Gossiping):
    """Statuses of another, signed by itself: it is idle, it says, or has no room."""

    def says(self) -> list[Said]:
        return [said_by(self.other, sequence=1 << 40 | self.sent, signer=self.key) for _ in range(60)]


class RepeatsWhatIsKnown(Gossiping):
    """True statuses that everybody has, as many as fit."""

    def says(self) -> list[Said]:
        heard = self.wires.nodes[self.victim.address].talk.hearsay.statuses(self.other.address)
        return [heard[0].said] * 60 if heard else []


class ReplaysAnother(Gossiping):
    """What an honest node sent once, word for word, so that its turns are spent."""

    letter: tuple[str, bytes] | None = None

    async def act(self) -> None:
        if self.letter is None:
            self.letter = message(self.other, self.victim, 1, [said_by(self.other)])
        await self.send(*self.letter)


class SpeaksForAnother(Gossiping):
    """Envelopes in another's name, with forged statuses in them, so that it is not listened to."""

    async def act(self) -> None:
        self.sent += 1
        await self.send(*message(self.key, self.victim, self.sent, self.says(), sender=self.other))

    def says(self) -> list[Said]:
        return [said_by(self.other, sequence=1 << 40 | self.sent, signer=self.key)]


class SendsTooMuch(Gossiping):
    """A body of another size than it may have, in which frames end behind the end."""

    async def act(self) -> None:
        self.sent += 1
        body = write_body(b"", [said_by(self.key, sequence=self.sent)]) + b"\1\xff\xff" + bytes(1 << 14)
        await self.send(*message(self.key, self.victim, self.sent, body=body))


class AccusesTheLiving(Gossiping):
    """With a friend: that another does not answer, again after each time it refuted that, and at the moment
    when nobody has just heard from it."""

    async def act(self) -> None:
        if self.wires.now % 1_000 == 500:
            await super().act()

    def says(self) -> list[Said]:
        sequence = self.wires.nodes[self.victim.address].talk.hearsay.sequence(self.other.address)
        return [
            said_suspicion(
                sign(
                    Suspicion(
                        accuser=accuser.address, provider=self.other.address, sequence=max(0, sequence)
                    ),
                    DOMAIN,
                    accuser,
                )
            )
            for accuser in (self.key, key_of(5))
        ]


class AccusesForEver(AccusesTheLiving):
    """The same, up to a status that the accused will never make, so that nothing refutes it."""

    def says(self) -> list[Said]:
        accusers = (self.key, key_of(5))
        never = (1 << 63) - 1
        return [
            said_suspicion(
                sign(
                    Suspicion(accuser=accuser.address, provider=self.other.address, sequence=never),
                    DOMAIN,
                    accuser,
                )
            )
            for accuser in accusers
        ]


class InventsPayers(Gossiping):
    """Ratings of itself by payers that it makes up, with receipts that it signs."""

    def says(self) -> list[Said]:
        return [said_rating(key_of(1_000 + 10 * self.sent + place), self.key) for place in range(10)]


class SpeaksForPayers(Gossiping):
    """Ratings of itself in the names of payers that have a deposit, each by a session key that it made up,
    with receipts that it signs: above any that they would say themselves."""

    payers = tuple(key_of(300 + number) for number in range(20))

    def says(self) -> list[Said]:
        return [
            said_rating(payer, self.key, sequence=1 << 62, session=key_of(10_000 + 20 * self.sent + place))
            for place, payer in enumerate(self.payers)
        ]


class SilencesRaters(Gossiping):
    """One payer that another provider served rates it all the time, each time above the last, so that nobody
    hears what others found."""

    payer = key_of(60)

    async def act(self) -> None:
        self.sent += 1
        frame = rating_frame(self.payer, self.other, sequence=(1 << 62) + self.sent)
        self.wires.nodes[self.victim.address].take_rating(frame)
