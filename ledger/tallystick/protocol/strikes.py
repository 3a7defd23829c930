"""What strikes cost a provider that nobody clears, and what one costs whoever filed it where it is cleared.

It knows neither findings nor who is drawn. `tests/vectors/strikes.json` holds it and the contract to the same
numbers; docs/decisions/0028 says why they are these.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from tallystick.protocol.eip712 import keccak, named
from tallystick.protocol.units import Address, Atoms, Hash32

STRIKES: Final = 3
"""That accuse, of three owners, and of which so many have to be upheld."""
MOST: Final = 8
"""That are held against one provider: those that accuse it, and those that are taken meanwhile."""
KEPT: Final = STRIKES - 1
"""That outlast their accusation at most: one more accuses again."""
AUDITORS: Final = 5
"""Drawn for each entry: who may strike."""
SEATS: Final = 11
"""Of a re-audit."""
SLASHED: Final = 2, 3
"""Of a stake: of 300 request prices a slot 200, where 167 deter. Never all of it."""
REWARD_PARTS: Final = 8
"""One part in so many of what is slashed is for those whose strikes are upheld; the rest is burnt."""
REWARD_STAKE_PARTS: Final = 8
"""No reward is more than one part in so many of what its auditor had at stake, and has."""
PENALTY_PARTS: Final = 50
"""Who filed a strike that is cleared loses one part in so many of its own stake."""
UNPROVEN_PARTS: Final = 200
"""Who filed one that is unproven: open, though more than half of all seats spoke, and upheld by no more than
`FEW` of them."""
FEW: Final = 2
STAKE_PARTS: Final = 4_000
"""A re-auditor loses at most one part in so many of its stake."""


def fee_up(of_three: Atoms, strikes: int) -> Atoms:
    """For all re-auditors of an accusation of so many strikes, where it is so much for three, or fewer: as
    much for each."""
    return Atoms(-(-of_three * max(strikes, STRIKES) // STRIKES))


class Opinion(IntEnum):
    """Of a re-auditor on one strike, as the contract writes it."""

    NONE = 0
    """Nothing, in time."""
    UPHOLD = 1
    CLEAR = 2
    """Also where nobody showed it what the strike rests on."""


class Outcome(IntEnum):
    """Of an accusation, and of each of its strikes, as the contract writes it."""

    UNANSWERED = 0
    UPHELD = 1
    """By more than half of all seats; of an accusation: three strikes are."""
    CLEARED = 2
    """Likewise; of an accusation: a strike is."""
    OPEN = 3
    """Neither: nobody is slashed for it."""


Said = Sequence[Opinion] | None
"""What is said from one seat, of each strike, of some or all perhaps `NONE`; empty for one that is silent,
None where nobody sits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaudit:
    """What re-auditors said, and who paid for it."""

    fee: Atoms
    said: Sequence[Said]
    """One for each seat; none where they were never summoned."""
    stakes: Sequence[Atoms]
    """Of each re-auditor; zero for a seat without one."""

    @property
    def share(self) -> int:
        return self.fee // SEATS

    @property
    def is_silent(self) -> bool:
        """Whether anybody was, of any strike, who had a seat; or nobody seated them."""
        seated = [one for one in self.said if one is not None]
        return not self.said or any(not one or Opinion.NONE in one for one in seated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded:
    """Atoms, gained or lost; all of it together and what was burnt is zero."""

    outcome: Outcome
    outcomes: tuple[Outcome, ...]
    """Of each strike."""
    standing: tuple[bool, ...]
    """Which strikes count on, if they are not too old by then."""
    provider: int
    answerer: int
    """Who paid the fee."""
    strikers: tuple[int, ...]
    reauditors: tuple[int, ...]
    burnt: Atoms


def concluded(
    *,
    provider_stake: Atoms,
    striker_stakes: Sequence[Atoms],
    struck_with: Sequence[Atoms] | None = None,
    reaudit: Reaudit | None,
) -> Concluded:
    """`striker_stakes`: of those who struck, now; `struck_with`: what they had staked when they struck, none
    where that is the same. `reaudit`: none where nobody answered in time."""
    count = len(striker_stakes)
    outcomes, unproven, standing = _found(reaudit, count)
    outcome = _outcome(outcomes)
    earned, reauditors = _reaudited(reaudit, outcomes)
    provider, strikers = 0, [0] * count
    if outcome in (Outcome.UNANSWERED, Outcome.UPHELD):
        slashed = provider_stake * SLASHED[0] // SLASHED[1]
        provider, standing = -slashed, [False] * count
        risked = map(min, striker_stakes, striker_stakes if struck_with is None else struck_with)
        part = slashed // (REWARD_PARTS * outcomes.count(outcome))
        rewards = [min(part, stake // REWARD_STAKE_PARTS) for stake in risked]
        strikers = [reward * (one is outcome) for reward, one in zip(rewards, outcomes, strict=True)]
    penalties = _penalties_down(striker_stakes, outcomes, unproven)
    made_good = 0
    if outcome is Outcome.CLEARED and Outcome.UPHELD not in outcomes:
        each = earned // outcomes.count(outcome)
        made_good = sum(
            min(penalty, 2 * each) // 2
            for penalty, one in zip(penalties, outcomes, strict=True)
            if one is outcome
        )
    answerer = made_good - _kept(reaudit, outcome, standing, earned)
    strikers = [gain - penalty for gain, penalty in zip(strikers, penalties, strict=True)]
    burnt = Atoms(-(provider + answerer + sum(strikers) + sum(reauditors)))
    return Concluded(
        outcome=outcome,
        outcomes=tuple(outcomes),
        standing=tuple(standing),
        provider=provider,
        answerer=answerer,
        strikers=tuple(strikers),
        reauditors=reauditors,
        burnt=burnt,
    )


def _found(reaudit: Reaudit | None, count: int) -> tuple[list[Outcome], list[bool], list[bool]]:
    """What more than half of all seats say of each strike, the empty and the silent ones among all; which are
    unproven; and which count on, of those that are not, somebody upheld and no more cleared (where nobody was
    seated, of all): the newest of those that are upheld, and then the newest of the others."""
    if reaudit is None:
        return [Outcome.UNANSWERED] * count, [False] * count, [False] * count
    seated, spoken = any(one is not None for one in reaudit.said), sum(map(bool, reaudit.said))
    outcomes, unproven, may = [], [], []
    for place in range(count):
        counted = Counter(one[place] for one in reaudit.said if one)
        upheld, cleared = counted[Opinion.UPHOLD], counted[Opinion.CLEAR]
        majority = Outcome.UPHELD if upheld >= cleared else Outcome.CLEARED
        outcomes.append(majority if 2 * max(upheld, cleared) > SEATS else Outcome.OPEN)
        unproven.append(outcomes[-1] is Outcome.OPEN and upheld <= FEW and 2 * spoken > SEATS)
        may.append(cleared <= upheld and not unproven[-1] and (upheld > 0 or not seated))
    ordered = sorted(range(count), key=lambda place: (may[place], outcomes[place] is Outcome.UPHELD, place))
    return outcomes, unproven, [may[place] and place in ordered[-KEPT:] for place in range(count)]


def _penalties_down(
    stakes: Sequence[Atoms], outcomes: Sequence[Outcome], unproven: Sequence[bool]
) -> list[int]:
    """Of those who struck."""
    return [
        stake // PENALTY_PARTS if outcome is Outcome.CLEARED else stake // UNPROVEN_PARTS * is_unproven
        for stake, outcome, is_unproven in zip(stakes, outcomes, unproven, strict=True)
    ]


def _outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """Slashed are three that are upheld, however many are not."""
    if outcomes[0] is Outcome.UNANSWERED:
        return Outcome.UNANSWERED
    if outcomes.count(Outcome.UPHELD) >= STRIKES:
        return Outcome.UPHELD
    return Outcome.CLEARED if Outcome.CLEARED in outcomes else Outcome.OPEN


def _kept(reaudit: Reaudit | None, outcome: Outcome, standing: Sequence[bool], earned: int) -> int:
    """Of the fee, what does not go back: it does where nobody is slashed and a strike is cleared, and where
    nobody is to blame that none is."""
    if reaudit is None:
        return 0
    burns = outcome is Outcome.UPHELD or (outcome is Outcome.OPEN and any(standing) and reaudit.is_silent)
    return reaudit.fee if burns else earned


def _reaudited(reaudit: Reaudit | None, outcomes: Sequence[Outcome]) -> tuple[int, tuple[int, ...]]:
    """What re-auditors get of the fee, and what each gains or loses."""
    if reaudit is None:
        return 0, ()
    gains = [_earned_down(one, outcomes, reaudit.share) for one in reaudit.said]
    moved = tuple(
        gain - min(_blame_down(one, outcomes, reaudit.share), stake // STAKE_PARTS)
        for gain, one, stake in zip(gains, reaudit.said, reaudit.stakes, strict=True)
    )
    return sum(gains), moved


def _agrees(opinion: Opinion, said: Outcome) -> bool:
    return (opinion, said) in ((Opinion.UPHOLD, Outcome.UPHELD), (Opinion.CLEAR, Outcome.CLEARED))


def _earned_down(said: Said, outcomes: Sequence[Outcome], share: int) -> int:
    """An equal part for each strike of which it says what most do."""
    right = sum(_agrees(opinion, outcome) for opinion, outcome in zip(said or (), outcomes, strict=False))
    return share * right // len(outcomes)


def _blame_down(said: Said, outcomes: Sequence[Outcome], share: int) -> int:
    """Before the stake's bound: an equal part of a share for each strike on which most contradict it, and all
    of one where it is silent. Nothing for one of which it says nothing: who cannot audit a strike must not be
    better off by guessing."""
    if said is None:
        return 0
    if not said:
        return share
    wrong = sum(
        opinion is not Opinion.NONE and outcome is not Outcome.OPEN and not _agrees(opinion, outcome)
        for opinion, outcome in zip(said, outcomes, strict=True)
    )
    return share * wrong // len(outcomes)


# ---------------------------------------------------------------------------------------------------- names


def accusation_id(provider: Address, number: int) -> Hash32:
    """Of what stands against a provider once `number` accusations were concluded: re-auditors sign for it."""
    return named(b"reaudit", provider, number.to_bytes(32, "big"))


def ballot_hash(accusation: Hash32, auditor: Address, opinions: Sequence[Opinion], salt: Hash32) -> Hash32:
    """What a re-auditor commits to, by a `VoteCommitment` for the accusation. `opinions`: one for each
    strike, in the order that they accuse in."""
    head = accusation + auditor.rjust(32, b"\0") + (128).to_bytes(32, "big") + salt
    return keccak(head + b"".join(word.to_bytes(32, "big") for word in (len(opinions), *opinions)))
