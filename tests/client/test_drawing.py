"""Of many providers few are looked at, and those are drawn as if all had been."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, islice, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.client.choose import Candidate, Known, choose
from tallystick.client.drawing import Lots
from tallystick.client.rules import Quoted, quoted, stake_weighted
from tallystick.ports import PostedOffer
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Atoms
from tests.client.test_rules import NOW, WANTED, one, order, seen

ROUNDS = 4_000


def likelihood(names: Sequence[str], weights: dict[str, int]) -> float:
    """Of these being the first that are drawn, in this order."""
    left, found = sum(weights.values()), 1.0
    for name in names:
        found *= weights[name] / left
        left -= weights[name]
    return found


@pytest.mark.parametrize("weights", [{"a": 1, "b": 1, "c": 1, "d": 1}, {"a": 1, "b": 2, "c": 3, "d": 94}])
def test_each_is_drawn_as_likely_as_it_weighs_among_those_that_are_left(weights: dict[str, int]) -> None:
    """Every order of the first three, within four standard deviations."""
    lots = Lots(list(weights), list(weights.values()))
    found = Counter(tuple(islice(lots.drawn(seed), 3)) for seed in range(ROUNDS))
    for names in permutations(weights, 3):
        share = likelihood(names, weights)
        assert abs(found[names] / ROUNDS - share) < 4 * (share * (1 - share) / ROUNDS) ** 0.5 + 1 / ROUNDS


@given(st.lists(st.integers(0, 5), max_size=300), st.integers(0, 2**64 - 1))
def test_each_is_drawn_once_and_the_weightless_last(weights: list[int], seed: int) -> None:
    drawn = list(Lots(range(len(weights)), weights).drawn(seed))
    assert sorted(drawn) == list(range(len(weights)))
    weighty = [i for i in drawn if weights[i]]
    assert drawn[: len(weighty)] == weighty


@given(st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**96)), max_size=60), st.integers(0, 2**64 - 1))
def test_a_toss_falls_where_a_part_of_the_whole_length_does(weights: list[int], seed: int) -> None:
    """By numbers of 128 bits, two of each hash; where nothing weighs anything, all weigh the same."""
    found = list(islice(Lots(range(len(weights)), weights).tossed(seed), 9))
    lengths = weights if any(weights) else [1] * len(weights)
    hashes = [keccak(b"lots" + seed.to_bytes(8, "big") + n.to_bytes(4, "big")) for n in range(5)]
    numbers = [int.from_bytes(part, "big") for each in hashes for part in (each[:16], each[16:])]
    ends = list(accumulate(lengths))
    falls = [
        next(i for i, end in enumerate(ends) if number * ends[-1] >> 128 < end)
        for number in numbers[:9]
        if ends
    ]
    assert found == falls


def test_it_stays_fair_when_what_is_left_is_laid_out_anew() -> None:
    """Of a thousand, the last of all is each as likely as the other."""
    lots = Lots(range(200), [1] * 200)
    lasts = Counter(list(lots.drawn(seed))[-1] // 50 for seed in range(800))
    assert all(abs(lasts[i] / 800 - 1 / 4) < 4 * (3 / 16 / 800) ** 0.5 for i in range(4))


# ------------------------------------------------------------------------------------------ choosing of many


def looked_at(candidates: Sequence[Candidate]) -> tuple[Known, list[PostedOffer]]:
    by_hash = {candidate.posted.offer_hash: candidate for candidate in candidates}
    looked: list[PostedOffer] = []

    def look(posted: PostedOffer) -> Candidate:
        looked.append(posted)
        return by_hash[posted.offer_hash]

    return Known.of((candidate.posted for candidate in candidates), look), looked


@pytest.mark.parametrize(("rule", "most"), [(quoted, Quoted().slots), (stake_weighted, 3)])
def test_no_more_of_ten_thousand_are_looked_at_than_are_compared(rule: object, most: int) -> None:
    known, looked = looked_at([one(i, seen(), stake=1 + i % 7) for i in range(1, 10_001)])
    assert rule is quoted or rule is stake_weighted
    chosen = choose(known, WANTED, rule, now=NOW, local=True)
    assert chosen[0]
    compared = len(looked)
    assert most - 2 <= compared == len(set(looked)) <= most  # Who is drawn twice is looked at once.
    assert len(chosen) == compared + (Quoted().further if rule is quoted else 0)
    assert len(looked) == len(chosen)


def test_who_is_full_or_suspected_is_looked_past() -> None:
    """Those that can serve are compared, whoever else there is, with however many slots."""
    rest = [one(i, seen(room=0) if i % 2 else seen(suspected=True), stake=50) for i in range(100, 200)]
    free = [one(i, seen(slower=9), stake=2) for i in range(1, 10)] + [one(10, seen(), stake=2)]
    rounds = 100
    wanted = replace(WANTED, minimum_stake=Atoms(2))
    firsts = Counter[int]()
    for seed in range(rounds):
        known, _ = looked_at([*rest, *free])
        firsts[order(choose(known, replace(wanted, seed=seed), quoted, now=NOW, local=True)[:1])[0]] += 1
    assert firsts == {10: rounds}


def test_one_by_one_or_all_at_once_is_one_rule() -> None:
    """A list of candidates gives what the same candidates give that are looked at one by one."""
    candidates = [one(i, seen(running=i % 9, slower=1 + i % 4), stake=1 + i % 5) for i in range(1, 40)]
    for seed in range(30):
        known, _ = looked_at(candidates)
        wanted = replace(WANTED, seed=seed)
        assert list(choose(known, wanted, quoted, now=NOW, local=True)) == list(quoted(candidates, wanted))
