"""What a contest of grades is said to have shown: counted from verdicts, and nothing taken from elsewhere."""

import pytest

from tallystick.chain.duels import Ruling
from tallystick.protocol.duel import Vote
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, Hash32
from tallystick.protocol.vote import Choice
from tallystick_node.local.quality import latency
from tallystick_node.local.quality.challenger import Costs
from tallystick_node.local.quality.contest import Bout, curve, last_after, tally
from tallystick_node.local.quality.questions import Question, drawn

GOOD, TWIN, BAD, JUDGE = (Address(bytes([number]) * 20) for number in range(1, 5))


def bout(first: Address, second: Address, verdict: Vote) -> Bout:
    return Bout(first=first, second=second, verdict=verdict, votes={})


def test_a_ruling_is_read_as_the_contract_counts_it() -> None:
    """A seat that nobody filled counts against a majority, and is nobody's vote."""
    judges = [JUDGE, TWIN, ZERO_ADDRESS]
    for choices, said in (
        ([Choice.FIRST, Choice.FIRST, Choice.NONE], Vote.FIRST),
        ([Choice.FIRST, Choice.TIE, Choice.NONE], Vote.TIE),
    ):
        ruling = Ruling(
            duel=Hash32(bytes(32)),
            first=GOOD,
            second=BAD,
            price=Atoms(1),
            known=Choice.NONE,
            judges=judges,
            choices=choices,
        )
        found = Bout.of(ruling)
        assert found.verdict is said
        assert set(found.votes) == {JUDGE, TWIN}


def test_those_of_one_grade_win_nothing_from_each_other() -> None:
    bouts = [
        bout(GOOD, BAD, Vote.FIRST),
        bout(BAD, TWIN, Vote.SECOND),
        bout(BAD, GOOD, Vote.TIE),
        bout(GOOD, TWIN, Vote.FIRST),
    ]
    found = tally(bouts, frozenset({GOOD, TWIN}))
    assert (found.won, found.tied, found.lost) == (2, 1, 0)
    assert found.rate == pytest.approx(2.5 / 3)
    assert tally(bouts, frozenset({BAD})).rate == pytest.approx(0.5 / 3)
    alone = tally(bouts, frozenset({GOOD}), against=frozenset({TWIN}))
    assert (alone.won, alone.duels) == (1, 1)


def test_the_worst_is_last_once_it_stays_so() -> None:
    everybody = frozenset({GOOD, TWIN, BAD})
    bouts = [
        bout(GOOD, BAD, Vote.FIRST),  # last, by one duel of its own
        bout(BAD, TWIN, Vote.FIRST),  # no longer
        bout(TWIN, GOOD, Vote.TIE),
        bout(TWIN, BAD, Vote.FIRST),
        bout(GOOD, BAD, Vote.FIRST),  # by four, and for good
    ]
    assert last_after(bouts[:1], BAD, everybody) == 1
    assert last_after(bouts[:2], BAD, everybody) is None
    assert last_after(bouts, BAD, everybody) in (3, 4)
    assert last_after(bouts, GOOD, everybody) is None


def test_the_curve_ends_in_the_strengths_of_all() -> None:
    bouts = [bout(GOOD, BAD, Vote.FIRST), bout(GOOD, TWIN, Vote.TIE)]
    found = curve(bouts)
    assert [count for count, _ in found[BAD]] == [1, 2]
    assert [count for count, _ in found[TWIN]] == [2]
    assert found[GOOD][-1][1] > found[TWIN][-1][1] > found[BAD][-1][1]


# ------------------------------------------------------------------------------------------------- questions


def test_a_right_answer_is_a_word_of_its_own() -> None:
    asked = Question(text="What is 7 plus 5?", right="12")
    assert asked.is_right("7 plus 5 is 12.")
    assert not asked.is_right("7 plus 5 is 112.")
    assert not asked.is_right("7 plus 5 is 11.")
    assert Question(text="What does ls do?").is_right("ls: list directory contents") is None


def test_questions_are_the_same_for_one_seed_and_none_comes_twice_too_soon() -> None:
    some = drawn(100, seed=7)
    assert some == drawn(100, seed=7) != drawn(100, seed=8)
    assert len({question.text for question in some}) == 100
    assert len(drawn(400, seed=7)) == 400


# ----------------------------------------------------------------------------------------------------- costs


def costs(**changes: int) -> Costs:
    amounts = {"first": 10_000, "second": 500, "judged": 300, "fees": 600, "posted": 120}
    made = {name: Atoms(changes.get(name, amount)) for name, amount in amounts.items()}
    return Costs(requests=changes.get("requests", 100), duels=changes.get("duels", 5), seats=3, **made)


def test_a_cost_factor_is_all_that_left_over_what_the_requests_cost() -> None:
    found = costs()
    assert found.factor == pytest.approx(1.14)
    assert found.judge_share == pytest.approx((300 / 15 + 40) / 100)
    assert found.foretold(found.judge_share) == pytest.approx(1 + 0.05 * (1 + 3 * 0.6))


def test_where_nothing_comes_back_what_is_foretold_is_what_it_costs() -> None:
    """Second answers being no dearer than the first."""
    found = costs(fees=600)
    assert found.factor == pytest.approx(found.foretold(found.judge_share))
    assert (found + found).factor == pytest.approx(found.factor)
    assert costs(fees=300).factor < found.factor


def test_what_duels_of_words_cost_is_foretold_by_the_price_list_alone() -> None:
    """And by docs/quality.md: with a fee of five times the judgement, six judgements for each judge."""
    assert latency.fee() == latency.SEATS * 5 * latency.judgement()
    request = latency.PROMPT * 2 + latency.ANSWER * 6
    assert latency.judge_share() == pytest.approx(6 * latency.judgement() / request)
    assert 8 < latency.judge_share() < 15
