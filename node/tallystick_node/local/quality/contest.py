"""What duels showed of who duelled: tables made of rulings, whose words the chain has. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.chain.duels import Ruling
from tallystick.protocol.duel import Vote, verdict
from tallystick.protocol.strength import Decided, strengths
from tallystick.protocol.units import ZERO_ADDRESS, Address
from tallystick.protocol.vote import vote_of_choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Bout:
    """One duel, as its panel decided it."""

    first: Address
    second: Address
    verdict: Vote
    votes: Mapping[Address, Vote]
    """By judge."""

    @classmethod
    def of(cls, ruling: Ruling) -> "Bout":
        votes = [vote_of_choice(choice) for choice in ruling.choices]
        cast = {
            judge: vote for judge, vote in zip(ruling.judges, votes, strict=True) if judge != ZERO_ADDRESS
        }
        return cls(first=ruling.first, second=ruling.second, verdict=verdict(votes), votes=cast)

    @property
    def decided(self) -> Decided:
        return Decided(first=self.first, second=self.second, verdict=self.verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Of one provider, or of one judge's word beside the panel's."""

    won: int
    tied: int
    lost: int

    @property
    def duels(self) -> int:
        return self.won + self.tied + self.lost

    @property
    def rate(self) -> float:
        """Of duels won, a tie being half; half where there are none."""
        return (self.won + self.tied / 2) / self.duels if self.duels else 0.5

    def to_json(self) -> dict[str, Any]:
        return {"won": self.won, "tied": self.tied, "lost": self.lost, "rate": self.rate}


def tally(
    bouts: Sequence[Bout], side: frozenset[Address], against: frozenset[Address] | None = None
) -> Tally:
    """Of all of `side` together, against anybody else or some of them; among themselves nobody wins."""
    counts = dict.fromkeys(Vote, 0)
    for bout in bouts:
        if (bout.first in side) == (bout.second in side):
            continue
        other = bout.second if bout.first in side else bout.first
        if against is not None and other not in against:
            continue
        turned = {Vote.FIRST: Vote.SECOND, Vote.SECOND: Vote.FIRST}
        counts[bout.verdict if bout.first in side else turned.get(bout.verdict, bout.verdict)] += 1
    return Tally(won=counts[Vote.FIRST], tied=counts[Vote.TIE], lost=counts[Vote.SECOND])


def curve(bouts: Sequence[Bout]) -> Mapping[Address, Sequence[tuple[int, float]]]:
    """Of each who duels: (duels decided so far, of anybody; its strength by them)."""
    found: dict[Address, list[tuple[int, float]]] = {}
    for count in range(1, len(bouts) + 1):
        for provider, strength in strengths(bout.decided for bout in bouts[:count]).items():
            found.setdefault(provider, []).append((count, strength))
    return found


def last_after(bouts: Sequence[Bout], worst: Address, everybody: frozenset[Address]) -> int | None:
    """Duels of its own after which `worst` is last of all, and stays there to the end; None: it is not. Who
    has not duelled yet is average."""
    own, since = 0, None
    for count, bout in enumerate(bouts, 1):
        own += worst in (bout.first, bout.second)
        found = strengths(one.decided for one in bouts[:count])
        others = [found.get(provider, 0.0) for provider in everybody - {worst}]
        is_last = found.get(worst, 0.0) < min(others)
        since = (own if since is None else since) if is_last else None
    return since
