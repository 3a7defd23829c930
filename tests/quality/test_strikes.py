"""What auditors who collude can do to an honest provider, computed from how they are drawn and what strikes
move."""

from math import comb

import pytest

from tallystick.protocol.strikes import (
    AUDITORS,
    PENALTY_PARTS,
    REWARD_STAKE_PARTS,
    SEATS,
    STRIKES,
    UNPROVEN_PARTS,
    Opinion,
    Reaudit,
    concluded,
)
from tallystick.protocol.units import Atoms

STAKE = Atoms(10**9)
MAJORITY = SEATS // 2 + 1


def at_least(count: int, seats: int, share: float) -> float:
    """The chance that so many of the seats are theirs, each being theirs by their share of all stake: no less
    than of owners who have one seat each."""
    return sum(comb(seats, k) * share**k * (1 - share) ** (seats - k) for k in range(count, seats + 1))


@pytest.mark.parametrize(("share", "strikes", "wins"), [(0.1, 0.41, 3.0e-4), (0.3, 0.84, 0.079)])
def test_colluders_strike_often_and_win_seldom(share: float, strikes: float, wins: float) -> None:
    """So a strike says little, and a re-audit most: those who would strike falsely are among most fives that
    are drawn for a receipt, and in the majority of few elevens."""
    assert at_least(1, AUDITORS, share) == pytest.approx(strikes, abs=0.01)
    assert at_least(MAJORITY, SEATS, share) < wins


def gain(share: float) -> float:
    """Of three who strike an honest provider, in parts of their own stake: the highest reward that there is,
    and what they lose where they are cleared."""
    wins = at_least(MAJORITY, SEATS, share)
    richest = Atoms(10**6 * STAKE)
    struck = concluded(provider_stake=richest, striker_stakes=[STAKE] * 3, reaudit=None)
    cleared = concluded(
        provider_stake=richest,
        striker_stakes=[STAKE] * 3,
        reaudit=Reaudit(fee=Atoms(11_000), said=[[Opinion.CLEAR] * 3] * SEATS, stakes=[STAKE] * SEATS),
    )
    assert struck.strikers[0] == STAKE // REWARD_STAKE_PARTS
    assert -cleared.strikers[0] == STAKE // PENALTY_PARTS
    return (wins * struck.strikers[0] + (1 - wins) * cleared.strikers[0]) / STAKE


@pytest.mark.parametrize(("share", "most"), [(0.1, -0.019), (0.3, -0.008), (1 / 3, 0.0)])
def test_false_strikes_lose_up_to_a_third_of_all_stake(share: float, most: float) -> None:
    """However much richer than they the provider is."""
    assert gain(share) < most


def test_from_two_fifths_on_nothing_helps() -> None:
    """Stated, not hidden: docs/trust.md says so."""
    assert gain(0.4) > 0


@pytest.mark.parametrize(
    ("away", "colluding", "works"), [(0.05, 0.1, 0.995), (0.1, 0.1, 0.97), (0.05, 0.3, 0.86)]
)
def test_a_cheat_is_slashed_though_some_are_away_and_some_its_friends(
    away: float, colluding: float, works: float
) -> None:
    assert at_least(MAJORITY, SEATS, (1 - colluding) * (1 - away)) > works


# ---------------------------------------------------------------------------------------------------- silence


def ends(
    share: float, away: float, friends: Opinion | None, honest: Opinion
) -> dict[tuple[bool, bool, bool], float]:
    """How often strikes are slashed for, count on, and cost the fee. Seats are friends' by their share of all
    stake, who say one thing or are silent; so are honest ones that are away."""
    found: dict[tuple[bool, bool, bool], float] = {}
    fee = Atoms(11_000)
    for theirs in range(SEATS + 1):
        for spoken in range(SEATS - theirs + 1):
            gone = SEATS - theirs - spoken
            chance = comb(SEATS, theirs) * share**theirs * (1 - share) ** (SEATS - theirs)
            chance *= comb(SEATS - theirs, spoken) * (1 - away) ** spoken * away**gone
            said = [[honest] * STRIKES] * spoken + [[]] * gone
            said += [[] if friends is None else [friends] * STRIKES] * theirs
            done = concluded(
                provider_stake=STAKE,
                striker_stakes=[STAKE] * STRIKES,
                reaudit=Reaudit(fee=fee, said=said, stakes=[STAKE] * SEATS),
            )
            end = done.provider < 0, any(done.standing), done.answerer == -fee
            found[end] = found.get(end, 0.0) + chance
    return found


def test_silent_friends_win_a_cheat_time_and_no_way_out() -> None:
    """Who is silent leaves the strikes standing, and the fee is gone; who clears hardly helps more than by a
    majority."""
    silent = ends(0.3, 0.05, None, Opinion.UPHOLD)
    beside = {end: chance for end, chance in silent.items() if end[:2] not in ((True, False), (False, True))}
    assert sum(beside.values()) < 1e-5, "Nobody who is honest is among the eleven."
    assert silent[False, True, True] == pytest.approx(0.125, abs=0.001)
    clearing = ends(0.3, 0.05, Opinion.CLEAR, Opinion.UPHOLD)
    free = sum(chance for end, chance in clearing.items() if end[:2] == (False, False))
    assert free == pytest.approx(0.083, abs=0.001)
    assert at_least(MAJORITY, SEATS, 0.3) == pytest.approx(0.078, abs=0.001)


@pytest.mark.parametrize(("share", "most"), [(0.1, 0.001), (0.3, 0.036)])
def test_foes_seldom_take_an_honest_ones_fee(share: float, most: float) -> None:
    """It is burnt where foes uphold, and so many honest ones are away that no more clear; foes that are
    silent do not even reach that."""
    upholding = ends(share, 0.05, Opinion.UPHOLD, Opinion.CLEAR)
    assert upholding.get((False, True, True), 0.0) == pytest.approx(most, abs=0.0005)
    silent = ends(share, 0.05, None, Opinion.CLEAR)
    assert silent.get((False, True, True), 0.0) < 1e-5
    assert not any(slashed for slashed, *_ in silent)


# ---------------------------------------------------------------------------------------------------- guesses


def gains(said: Opinion, others: Opinion, count: int) -> int:
    """Of one re-auditor, in atoms, where so many of the other ten say that of all strikes, and the rest
    nothing."""
    seats = [
        [said] * STRIKES,
        *[[others] * STRIKES] * count,
        *[[Opinion.NONE] * STRIKES] * (SEATS - 1 - count),
    ]
    reaudit = Reaudit(fee=Atoms(SEATS * 30_000), said=seats, stakes=[STAKE] * SEATS)
    done = concluded(provider_stake=STAKE, striker_stakes=[STAKE] * STRIKES, reaudit=reaudit)
    return done.reauditors[0]


def test_of_what_nobody_can_audit_a_guess_earns_no_more_than_to_say_nothing() -> None:
    assert [gains(said, Opinion.NONE, 0) for said in Opinion] == [0, 0, 0]


@pytest.mark.parametrize("guess", [Opinion.UPHOLD, Opinion.CLEAR])
def test_of_what_others_can_audit_a_guess_wins_at_even_odds_what_it_loses(guess: Opinion) -> None:
    for count in range(MAJORITY, SEATS):
        right, wrong = gains(guess, guess, count), gains(guess, Opinion(3 - guess), count)
        assert right == -wrong == 30_000
        assert gains(Opinion.NONE, guess, count) == 0


# ------------------------------------------------------------------------------------------- what is unproven


def pays(upholding: float) -> float:
    """The chance that who struck pays a 200th where each seat upholds so likely, and all others say nothing
    of it."""
    found = 0.0
    for count in range(SEATS + 1):
        said = [[Opinion.UPHOLD] * STRIKES] * count + [[Opinion.NONE] * STRIKES] * (SEATS - count)
        reaudit = Reaudit(fee=Atoms(11_000), said=said, stakes=[STAKE] * SEATS)
        done = concluded(provider_stake=STAKE, striker_stakes=[STAKE] * STRIKES, reaudit=reaudit)
        chance = comb(SEATS, count) * upholding**count * (1 - upholding) ** (SEATS - count)
        found += chance * (done.strikers[0] == -(STAKE // UNPROVEN_PARTS))
    return found


def test_a_sham_that_nobody_can_audit_is_paid_for_and_a_true_strike_is_not() -> None:
    """Whoever colludes says nothing of what is true, and upholds what is a sham."""
    honest, away = 0.95, {share: pays(0.95 * (1 - share)) for share in (0.1, 0.3)}
    assert away[0.1] < 2e-6
    assert away[0.3] == pytest.approx(0.0014, abs=1e-4)
    assert [pays(share) for share in (0.0, 0.1, 0.3)] == pytest.approx([1.0, 0.91, 0.31], abs=0.005)
    # By scales that so much of all stake has: who strikes where hardly anybody can follow pays as well.
    assert [pays(honest * share) for share in (0.5, 0.3)] == pytest.approx([0.047, 0.35], abs=0.005)
