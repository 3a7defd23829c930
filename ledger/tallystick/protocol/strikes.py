"""What three strikes cost a provider that nobody clears, and those who struck where more auditors clear it.

It knows neither findings nor who is drawn. `tests/vectors/strikes.json` holds it and the contract to the same
numbers; docs/decisions/0028 says why they are these.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Address, Atoms, Hash32

STRIKES: Final = 3
"""That accuse, of three owners."""
AUDITORS: Final = 5
"""Drawn for each entry: who may strike."""
SEATS: Final = 11
"""Of a re-audit."""
SLASHED: Final = 2, 3
"""Of a stake: of 300 request prices a slot 200, where 167 deter. Never all of it."""
REWARD_PARTS: Final = 24
"""Each who struck gets one part in so many of what is slashed; the rest is burnt."""
REWARD_STAKE_PARTS: Final = 8
"""No reward is more than one part in so many of what its auditor had at stake, and has."""
PENALTY_PARTS: Final = 50
"""Who struck one that is cleared loses one part in so many of its own stake."""
STAKE_PARTS: Final = 4_000
"""A re-auditor loses at most one part in so many of its stake."""


class Opinion(IntEnum):
    """Of a re-auditor, as the contract writes it."""

    NONE = 0
    """Nothing, in time; or nobody could be drawn for the seat."""
    UPHOLD = 1
    CLEAR = 2
    """Also where nobody showed it what the strikes rest on."""


class Outcome(IntEnum):
    """Of an accusation, as the contract writes it."""

    UNANSWERED = 0
    UPHELD = 1
    CLEARED = 2
    OPEN = 3
    """No majority of all seats: the strikes are gone, and nobody is slashed for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaudit:
    """What re-auditors said, and who paid for it."""

    fee: Atoms
    opinions: Sequence[Opinion]
    """One for each seat; none where they were never summoned."""
    stakes: Sequence[Atoms]
    """Of each re-auditor; zero for a seat without one."""

    @property
    def share(self) -> int:
        return self.fee // SEATS


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded:
    """Atoms, gained or lost; all of it together and what was burnt is zero."""

    outcome: Outcome
    provider: int
    answerer: int
    """Who paid the fee."""
    strikers: tuple[int, ...]
    reauditors: tuple[int, ...]
    burnt: Atoms


def outcome(opinions: Sequence[Opinion]) -> Outcome:
    """What more than half of all seats say, the empty and the silent ones among all."""
    counted = Counter(opinions)
    if 2 * counted[Opinion.UPHOLD] > SEATS:
        return Outcome.UPHELD
    return Outcome.CLEARED if 2 * counted[Opinion.CLEAR] > SEATS else Outcome.OPEN


def concluded(
    *,
    provider_stake: Atoms,
    striker_stakes: Sequence[Atoms],
    struck_with: Sequence[Atoms] | None = None,
    reaudit: Reaudit | None,
) -> Concluded:
    """`striker_stakes`: of those who struck, now; `struck_with`: what they had staked when they struck, none
    where that is the same. `reaudit`: none where nobody answered in time."""
    said = Outcome.UNANSWERED if reaudit is None else outcome(reaudit.opinions)
    earned, reauditors = _reaudited(reaudit, said)
    provider, answerer, strikers = 0, 0 if reaudit is None else -earned, [0] * len(striker_stakes)
    if said in (Outcome.UNANSWERED, Outcome.UPHELD):
        slashed = provider_stake * SLASHED[0] // SLASHED[1]
        provider = -slashed
        risked = map(min, striker_stakes, striker_stakes if struck_with is None else struck_with)
        strikers = [min(slashed // REWARD_PARTS, stake // REWARD_STAKE_PARTS) for stake in risked]
    if said is Outcome.UPHELD and reaudit is not None:
        answerer = -reaudit.fee
    if said is Outcome.CLEARED:
        penalties = [stake // PENALTY_PARTS for stake in striker_stakes]
        strikers = [-penalty for penalty in penalties]
        answerer += sum(min(penalty, 2 * (earned // STRIKES)) // 2 for penalty in penalties)
    burnt = Atoms(-(provider + answerer + sum(strikers) + sum(reauditors)))
    return Concluded(
        outcome=said,
        provider=provider,
        answerer=answerer,
        strikers=tuple(strikers),
        reauditors=reauditors,
        burnt=burnt,
    )


def _reaudited(reaudit: Reaudit | None, said: Outcome) -> tuple[int, tuple[int, ...]]:
    """What re-auditors get of the fee, and what each gains or loses."""
    if reaudit is None:
        return 0, ()
    gains = [_earned_down(opinion, said, reaudit.share) for opinion in reaudit.opinions]
    moved = tuple(
        gain - min(_blame_down(opinion, said, reaudit.share), stake // STAKE_PARTS)
        for gain, opinion, stake in zip(gains, reaudit.opinions, reaudit.stakes, strict=True)
    )
    return sum(gains), moved


def _is_majority(opinion: Opinion, said: Outcome) -> bool:
    return (opinion, said) in ((Opinion.UPHOLD, Outcome.UPHELD), (Opinion.CLEAR, Outcome.CLEARED))


def _earned_down(opinion: Opinion, said: Outcome, share: int) -> int:
    if opinion is Opinion.NONE:
        return 0
    if said is Outcome.OPEN:
        return share // 2
    return share if _is_majority(opinion, said) else 0


def _blame_down(opinion: Opinion, said: Outcome, share: int) -> int:
    """Before the stake's bound."""
    spoke = opinion is not Opinion.NONE
    return 0 if spoke and (said is Outcome.OPEN or _is_majority(opinion, said)) else share


# ---------------------------------------------------------------------------------------------------- names


def accusation_id(provider: Address, number: int) -> Hash32:
    """Of what stands against a provider once `number` accusations were concluded: re-auditors sign for it."""
    text = b"reaudit"
    words = ((96).to_bytes(32, "big"), provider.rjust(32, b"\0"), number.to_bytes(32, "big"))
    return keccak(b"".join(words) + len(text).to_bytes(32, "big") + text.ljust(32, b"\0"))


def ballot_hash(accusation: Hash32, auditor: Address, opinion: Opinion, salt: Hash32) -> Hash32:
    """What a re-auditor commits to, by a `VoteCommitment` for the accusation."""
    return keccak(accusation + auditor.rjust(32, b"\0") + opinion.to_bytes(32, "big") + salt)
