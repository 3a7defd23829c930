"""Strikes make no atom, never take a whole stake, and pay nobody who is in both hands."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.strikes import (
    KEPT,
    MOST,
    SEATS,
    STRIKES,
    Concluded,
    Opinion,
    Outcome,
    Reaudit,
    Said,
    concluded,
)
from tallystick.protocol.units import Atoms

atoms = st.integers(0, 1 << 96).map(Atoms)
strikers = st.lists(atoms, min_size=STRIKES, max_size=MOST)
spoken = st.sampled_from(Opinion)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Atoms], Reaudit]:
    """Stakes of those who struck, and what re-auditors say of each strike; some are silent, some seats are
    empty."""
    stakes = draw(strikers)
    ballots = st.lists(spoken, min_size=len(stakes), max_size=len(stakes)).map(tuple)
    seats = draw(st.sampled_from((0, SEATS)))
    said: list[Said] = draw(st.lists(ballots | st.sampled_from([(), None]), min_size=seats, max_size=seats))
    return stakes, Reaudit(fee=draw(atoms), said=said, stakes=[draw(atoms) for _ in said])


answered = st.tuples(strikers, st.none()) | cases()


def done(provider: Atoms, case: tuple[list[Atoms], Reaudit | None]) -> Concluded:
    return concluded(provider_stake=provider, striker_stakes=case[0], reaudit=case[1])


@given(atoms, answered)
def test_no_atom_is_made_and_most_of_what_is_slashed_is_burnt(
    provider: Atoms, given: tuple[list[Atoms], Reaudit | None]
) -> None:
    case = done(provider, given)
    gained = case.provider + case.answerer + sum(case.strikers) + sum(case.reauditors)
    assert gained + case.burnt == 0
    assert case.burnt >= 0
    if case.provider < 0:
        assert sum(case.strikers) <= -case.provider // 8


@given(atoms, st.lists(st.tuples(atoms, atoms), min_size=STRIKES, max_size=MOST))
def test_no_reward_is_more_than_an_eighth_of_what_was_at_stake_then_and_now(
    provider: Atoms, stakes: list[tuple[Atoms, Atoms]]
) -> None:
    then, now = [stake for stake, _ in stakes], [stake for _, stake in stakes]
    case = concluded(provider_stake=provider, striker_stakes=now, struck_with=then, reaudit=None)
    for reward, before, after in zip(case.strikers, then, now, strict=True):
        assert 0 <= reward <= min(before, after) // 8


@given(atoms, answered)
def test_no_stake_is_ever_taken_whole(provider: Atoms, given: tuple[list[Atoms], Reaudit | None]) -> None:
    case, (stakes, reaudit) = done(provider, given), given
    assert -case.provider <= provider * 2 // 3
    assert all(-lost <= stake // 50 for lost, stake in zip(case.strikers, stakes, strict=True))
    if reaudit is not None:
        assert all(
            -lost <= stake // 4_000 for lost, stake in zip(case.reauditors, reaudit.stakes, strict=True)
        )


@given(atoms, answered)
def test_a_provider_that_struck_itself_gains_nothing(
    provider: Atoms, given: tuple[list[Atoms], Reaudit | None]
) -> None:
    case = done(provider, given)
    assert case.provider + case.answerer + sum(case.strikers) <= 0


@given(atoms, cases())
def test_who_answers_never_gains(provider: Atoms, given: tuple[list[Atoms], Reaudit]) -> None:
    case = done(provider, given)
    assert -given[1].fee <= case.answerer <= 0
    if case.outcome is Outcome.OPEN:
        assert case.provider == 0
        assert all(gain in (0, -(stake // 200)) for gain, stake in zip(case.strikers, given[0], strict=True))


@given(atoms, cases())
def test_each_who_struck_answers_for_its_own_strike(
    provider: Atoms, given: tuple[list[Atoms], Reaudit]
) -> None:
    """Whatever is said of another."""
    case = done(provider, given)
    for gain, stake, outcome in zip(case.strikers, given[0], case.outcomes, strict=True):
        match outcome:
            case Outcome.CLEARED:
                assert gain == -(stake // 50)
            case Outcome.OPEN:
                assert gain in (0, -(stake // 200))
            case _:
                assert gain >= 0


@given(atoms, cases())
def test_silence_makes_nobody_pay_who_struck(provider: Atoms, given: tuple[list[Atoms], Reaudit]) -> None:
    """Of most seats; nor does a strike count on that its auditor pays for."""
    case, (stakes, reaudit) = done(provider, given), given
    if sum(map(bool, reaudit.said)) <= SEATS // 2:
        assert case.outcome is Outcome.OPEN
        assert set(case.strikers) == {0}
    for gain, stake, stands in zip(case.strikers, stakes, case.standing, strict=True):
        assert not stands or gain >= 0 or stake // 200 == 0


@given(atoms, cases())
def test_what_counts_on_is_too_little_to_accuse_by_itself(
    provider: Atoms, given: tuple[list[Atoms], Reaudit]
) -> None:
    case = done(provider, given)
    assert sum(case.standing) <= KEPT
    for stands, outcome in zip(case.standing, case.outcomes, strict=True):
        assert not (stands and outcome is Outcome.CLEARED)
    if case.provider < 0:
        assert not any(case.standing)


@given(atoms, cases())
def test_the_fee_is_kept_only_where_somebody_is_to_blame(
    provider: Atoms, given: tuple[list[Atoms], Reaudit]
) -> None:
    """A provider that nobody's silence keeps from being cleared has all of it back."""
    case, (_, reaudit) = done(provider, given), given
    if case.outcome is Outcome.OPEN and not (any(case.standing) and reaudit.is_silent):
        assert case.answerer == 0


@given(atoms, cases(), st.integers(0, SEATS - 1))
def test_who_says_nothing_of_a_strike_neither_gains_nor_loses_by_it(
    provider: Atoms, given: tuple[list[Atoms], Reaudit], seat: int
) -> None:
    """However many say something of it: and nobody gains by one that is open."""
    stakes, reaudit = given
    if reaudit.said:
        nothing = (Opinion.NONE,) * len(stakes)
        said = [*reaudit.said[:seat], nothing, *reaudit.said[seat + 1 :]]
        case = done(provider, (stakes, replace(reaudit, said=said)))
        assert case.reauditors[seat] == 0
    if {*done(provider, given).outcomes} == {Outcome.OPEN}:
        assert all(gain <= 0 for gain in done(provider, given).reauditors)
