"""Strikes make no atom, never take a whole stake, and pay nobody who is in both hands."""

from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.strikes import SEATS, STRIKES, Concluded, Opinion, Outcome, Reaudit, concluded
from tallystick.protocol.units import Atoms

atoms = st.integers(0, 1 << 96).map(Atoms)
strikers = st.lists(atoms, min_size=STRIKES, max_size=STRIKES)


@st.composite
def reaudits(draw: st.DrawFn) -> Reaudit:
    seats = draw(st.sampled_from((0, SEATS)))
    opinions = draw(st.lists(st.sampled_from(Opinion), min_size=seats, max_size=seats))
    return Reaudit(fee=draw(atoms), opinions=opinions, stakes=[draw(atoms) for _ in opinions])


def done(provider: Atoms, stakes: list[Atoms], reaudit: Reaudit | None) -> Concluded:
    return concluded(provider_stake=provider, striker_stakes=stakes, reaudit=reaudit)


@given(atoms, strikers, st.none() | reaudits())
def test_no_atom_is_made_and_most_of_what_is_slashed_is_burnt(
    provider: Atoms, stakes: list[Atoms], reaudit: Reaudit | None
) -> None:
    case = done(provider, stakes, reaudit)
    gained = case.provider + case.answerer + sum(case.strikers) + sum(case.reauditors)
    assert gained + case.burnt == 0
    assert case.burnt >= 0
    if case.provider < 0:
        assert sum(case.strikers) <= -case.provider // 8


@given(atoms, strikers, strikers)
def test_no_reward_is_more_than_an_eighth_of_what_was_at_stake_then_and_now(
    provider: Atoms, then: list[Atoms], now: list[Atoms]
) -> None:
    case = concluded(provider_stake=provider, striker_stakes=now, struck_with=then, reaudit=None)
    for reward, before, after in zip(case.strikers, then, now, strict=True):
        assert 0 <= reward <= min(before, after) // 8


@given(atoms, strikers, st.none() | reaudits())
def test_no_stake_is_ever_taken_whole(provider: Atoms, stakes: list[Atoms], reaudit: Reaudit | None) -> None:
    case = done(provider, stakes, reaudit)
    assert -case.provider <= provider * 2 // 3
    assert all(-lost <= stake // 50 for lost, stake in zip(case.strikers, stakes, strict=True))
    if reaudit is not None:
        assert all(
            -lost <= stake // 4_000 for lost, stake in zip(case.reauditors, reaudit.stakes, strict=True)
        )


@given(atoms, strikers, st.none() | reaudits())
def test_a_provider_that_struck_itself_gains_nothing(
    provider: Atoms, stakes: list[Atoms], reaudit: Reaudit | None
) -> None:
    case = done(provider, stakes, reaudit)
    assert case.provider + case.answerer + sum(case.strikers) <= 0


@given(atoms, strikers, reaudits())
def test_who_answers_never_gains(provider: Atoms, stakes: list[Atoms], reaudit: Reaudit) -> None:
    case = done(provider, stakes, reaudit)
    assert -reaudit.fee <= case.answerer <= 0
    if case.outcome is Outcome.OPEN:
        assert case.provider == 0
        assert set(case.strikers) == {0}
