"""Each rule orders candidates, and no trick of a provider's moves it past what it offers."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.client.choose import Candidate, Choice, Rule, Wanted, choose, eligible, expected_cost
from tallystick.client.rules import (
    Judged,
    Quoted,
    cheapest,
    fastest,
    most_fluent,
    quoted,
    soonest,
    stake_weighted,
)
from tallystick.ports import UNSEEN, PostedOffer, Seen
from tallystick.protocol.offer import Offer
from tallystick.protocol.speed import Pace, Speed
from tallystick.protocol.stake import Stake
from tallystick.protocol.status import Status
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Timestamp, Tokens

NOW = Timestamp(1_000)
WANTED = Wanted(model="m", input_tokens=Tokens(1_000), output_tokens=Tokens(200), seed=0)
JUDGED = Judged(strengths={Address(number.to_bytes(20, "big")): (number % 5 - 2) / 2 for number in range(12)})
RULES: Sequence[Rule] = (cheapest, stake_weighted, fastest, soonest, most_fluent, quoted, JUDGED)
BY_TIME: Sequence[Rule] = (fastest, soonest, most_fluent)
STILL = Quoted(keenness=1e6)
"""Takes the best of those it compares."""
A100 = Speed(
    fixed=10**9,
    sequence=55 * 10**6,
    weights=10_037 * 10**6,
    token=68_540_000,
    context=120_530,
    capacity=Tokens(403_011),
    chunk=Tokens(2_048),
)


def posted(number: int, *, price: int = 10**6, stake: int = 1, model: str = "m") -> PostedOffer:
    offer = Offer(
        provider=Address(number.to_bytes(20, "big")),
        sequence=0,
        endpoint="https://gateway.example:8443",
        endpoint_key=ZERO_HASH,
        model=model,
        model_hash=ZERO_HASH,
        input_price=price,
        cached_input_price=price,
        output_price=price,
        context_length=10_000,
        credit=1_000,
        valid_until=1_001,
    )
    held = Stake(
        provider=offer.provider,
        staked=Atoms(stake),
        exiting=Atoms(0),
        exits_at=Timestamp(0),
        receipt_key=offer.provider,
    )
    return PostedOffer(offer=offer, offer_hash=offer.struct_hash(), stake=held)


def seen(
    *,
    running: int = 0,
    queued: int = 0,
    room: int = 100,
    slower: int = 1,
    ratio: float = 1.0,
    suspected: bool = False,
) -> Seen:
    """An A100, or one that is so many times slower."""
    status = Status(
        provider=Address(bytes(20)),
        offer_hash=ZERO_HASH,
        sequence=0,
        room=room,
        running=running,
        waiting=0,
        context=Tokens(1_200 * running),
        queued=Tokens(queued),
        parameters=0,
        quantization="",
        speed=replace(
            A100,
            fixed=A100.fixed * slower,
            weights=A100.weights * slower,
            token=A100.token * slower,
            context=A100.context * slower,
        ),
    )
    return Seen(status=status, age_ms=0, suspected=suspected, ratio=ratio)


def one(number: int, heard: Seen = UNSEEN, **terms: int) -> Candidate:
    return Candidate(posted=posted(number, **terms), seen=heard)


def order(choices: Sequence[Choice]) -> list[int]:
    return [int.from_bytes(choice.posted.offer.provider) for choice in choices]


_heard = st.one_of(
    st.just(UNSEEN),
    st.builds(
        seen,
        running=st.integers(0, 60),
        queued=st.integers(0, 20_000),
        room=st.integers(0, 2),
        slower=st.integers(1, 20),
        ratio=st.floats(0.2, 20),
        suspected=st.booleans(),
    ),
)
_terms = st.tuples(_heard, st.integers(0, 10**7), st.integers(0, 5))
_seeds = st.integers(0, 2**64 - 1)


def _candidates(most: int, least: int = 0) -> st.SearchStrategy[list[Candidate]]:
    return st.lists(_terms, min_size=least, max_size=most).map(
        lambda all_of_them: [
            one(i, heard, price=price, stake=stake)
            for i, (heard, price, stake) in enumerate(all_of_them, start=1)
        ]
    )


# ---------------------------------------------------------------------------------- what holds for every rule


@pytest.mark.parametrize("rule", RULES)
@given(_candidates(12), _seeds, st.randoms(use_true_random=False))
def test_the_order_of_candidates_means_nothing(
    rule: Rule, candidates: list[Candidate], seed: int, random: Random
) -> None:
    wanted = replace(WANTED, seed=seed)
    turned = random.sample(candidates, len(candidates))
    assert rule(candidates, wanted) == rule(turned, wanted)


@pytest.mark.parametrize("rule", RULES)
@given(_candidates(30), _seeds)
def test_only_candidates_are_chosen_and_each_once(rule: Rule, candidates: list[Candidate], seed: int) -> None:
    chosen = order(rule(candidates, replace(WANTED, seed=seed)))
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= {int.from_bytes(c.posted.offer.provider) for c in candidates}
    assert bool(chosen) == bool(candidates)


@pytest.mark.parametrize("rule", RULES)
@given(_candidates(10), _seeds)
def test_nobody_unfit_is_ever_chosen(rule: Rule, candidates: list[Candidate], seed: int) -> None:
    wanted = replace(WANTED, seed=seed)
    strange = [one(100, seen(), model="n"), one(101, seen()), *candidates]
    avoided = {strange[1].posted.offer.provider}
    chosen = choose(strange, wanted, rule, now=NOW, local=True, avoided=avoided)
    assert all(eligible(c.posted, wanted, now=NOW, local=True, avoided=avoided) for c in chosen)


@pytest.mark.parametrize("rule", RULES)
@given(_candidates(8), _seeds)
def test_those_said_not_to_answer_come_last(rule: Rule, candidates: list[Candidate], seed: int) -> None:
    """And none of them takes the place of one that answers."""
    wanted = replace(WANTED, seed=seed)
    answering = [candidate for candidate in candidates if not candidate.seen.suspected]
    chosen = choose(candidates, wanted, rule, now=NOW, local=True)
    first = rule(answering, wanted)
    names = set(order([Choice(posted=candidate.posted) for candidate in answering]))
    assert names.issuperset(order(chosen[: len(first)]))
    if rule not in (stake_weighted, quoted, JUDGED):  # They draw anew where others are there.
        assert list(chosen[: len(first)]) == list(first)


@pytest.mark.parametrize("rule", [cheapest, fastest, quoted])
def test_equals_share_the_load(rule: Rule) -> None:
    candidates = [one(i, seen()) for i in range(1, 5)]
    firsts = Counter(order(rule(candidates, replace(WANTED, seed=seed)))[0] for seed in range(400))
    assert all(60 < firsts[i] < 140 for i in range(1, 5))


# ------------------------------------------------------------------------------------------ one thing alone


@pytest.mark.parametrize("rule", BY_TIME)
@given(_candidates(8, least=2), st.integers(0, 7), st.integers(1, 50_000), _seeds)
def test_a_longer_queue_brings_nobody_forward(
    rule: Rule, candidates: list[Candidate], which: int, more: int, seed: int
) -> None:
    wanted = replace(WANTED, seed=seed)
    busier = _with_queue(candidates, which, more)
    assert _place(rule, busier, which, wanted) >= _place(rule, candidates, which, wanted)


def test_the_fastest_is_the_one_that_keeps_what_it_promises() -> None:
    liar, honest = one(1, seen(ratio=10)), one(2, seen(slower=4))
    assert order(fastest([liar, honest], WANTED)) == [2, 1]


def test_who_says_nothing_is_not_taken_to_be_fast() -> None:
    silent, slow = one(1, price=1), one(2, seen(slower=19), price=10**7)
    assert order(fastest([silent, slow], WANTED)) == [2, 1]


def test_whose_engine_nobody_has_seen_is_not_taken_to_be_fast() -> None:
    heard = seen()
    assert heard.status is not None
    nothing = replace(A100, fixed=0, sequence=0, weights=0, token=0, context=0)
    unseen = one(1, replace(heard, status=replace(heard.status, speed=nothing)), price=1)
    assert order(fastest([unseen, one(2, seen(slower=19), price=10**7)], WANTED)) == [2, 1]


def test_stake_draws_in_proportion() -> None:
    """The first of them; the frequencies are within four standard deviations."""
    candidates = [one(i, stake=i) for i in range(1, 5)]
    rounds = 4_000
    firsts = Counter(
        order(stake_weighted(candidates, replace(WANTED, seed=seed)))[0] for seed in range(rounds)
    )
    for i in range(1, 5):
        share = i / 10
        assert abs(firsts[i] / rounds - share) < 4 * (share * (1 - share) / rounds) ** 0.5


def test_stake_draws_three() -> None:
    assert len(stake_weighted([one(i) for i in range(1, 9)], WANTED)) == 3


# ------------------------------------------------------------------------------------------ the default


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 5)), max_size=30),
    _seeds,
)
def test_where_nothing_is_known_the_cheapest_is_chosen(terms: list[tuple[int, int]], seed: int) -> None:
    wanted = replace(WANTED, seed=seed)
    candidates = [one(i, price=price, stake=stake) for i, (price, stake) in enumerate(terms, start=1)]
    assert quoted(candidates, wanted) == cheapest(candidates, wanted)


@given(_candidates(8, least=2), st.integers(0, 7), st.integers(1, 10**7), _seeds)
def test_a_higher_price_brings_nobody_forward(
    candidates: list[Candidate], which: int, more: int, seed: int
) -> None:
    wanted = replace(WANTED, seed=seed)
    which %= len(candidates)
    offer = candidates[which].posted.offer
    higher = offer.input_price + more
    # The same offer hash, so that chance gives it the same number.
    dearer = replace(
        candidates[which].posted,
        offer=replace(offer, input_price=higher, cached_input_price=higher, output_price=higher),
    )
    changed = [*candidates]
    changed[which] = replace(candidates[which], posted=dearer)
    for rule in (quoted, Quoted(second=Atoms(50)), cheapest):
        assert _place(rule, changed, which, wanted) >= _place(rule, candidates, which, wanted)


@given(_candidates(8, least=2), st.integers(0, 7), st.integers(1, 50_000), _seeds)
def test_a_longer_queue_brings_nobody_forward_by_default(
    candidates: list[Candidate], which: int, more: int, seed: int
) -> None:
    wanted = replace(WANTED, seed=seed)
    busier = _with_queue(candidates, which, more)
    assert _place(quoted, busier, which, wanted) >= _place(quoted, candidates, which, wanted)


def test_a_free_answer_is_worth_no_more_than_it_saves() -> None:
    """Whoever takes the median's time three times over does not win by asking for nothing."""
    others = [one(i, seen()) for i in range(1, 5)]
    for slower, wins in ((2, True), (4, False)):
        bait = one(9, seen(slower=slower), price=0)
        assert (order(STILL([bait, *others], WANTED))[0] == 9) is wins


def test_traffic_follows_the_price() -> None:
    """Among equals: a little less gets more than its share, four times as much gets nothing."""
    candidates = [one(i, seen()) for i in range(1, 5)] + [
        one(5, seen(), price=9 * 10**5),
        one(6, seen(), price=4 * 10**6),
    ]
    firsts = Counter(order(quoted(candidates, replace(WANTED, seed=seed)))[0] for seed in range(600))
    assert firsts[5] > 1.2 * max(firsts[i] for i in range(1, 5))
    assert firsts[6] == 0


def test_time_is_worth_what_the_payer_says() -> None:
    fast, cheap = one(1, seen(), price=2 * 10**6), one(2, seen(slower=4))
    assert order(Quoted(keenness=1e6, second=Atoms(0))([fast, cheap], WANTED)) == [2, 1]
    assert order(Quoted(keenness=1e6, second=Atoms(10**6))([fast, cheap], WANTED)) == [1, 2]


def test_what_others_lose_by_it_counts() -> None:
    """Alike for oneself: a busy fast engine, and a slow one that stands idle."""
    busy, idle = one(1, seen(running=40)), one(2, seen(slower=4))
    hurry, care = (Quoted(keenness=1e6, toll=toll) for toll in (0, 1))
    assert order(hurry([busy, idle], WANTED)) == [1, 2]
    assert order(care([busy, idle], WANTED)) == [2, 1]


def test_in_a_sample_that_says_nothing_the_price_decides() -> None:
    """Others speak, but were not drawn: it is not the cheapest of all that gets everything then."""
    silent = [one(i, price=10**6 + 10**5 * i) for i in range(1, 20)]
    candidates = [*silent, one(20, seen(slower=20), price=10**7)]
    still = replace(STILL, slots=5)
    firsts = Counter(order(still(candidates, replace(WANTED, seed=seed)))[0] for seed in range(100))
    assert len(firsts) > 5
    assert firsts[1] > firsts[12] + firsts[13]


def test_a_bad_record_is_nobody_else_s() -> None:
    """Whoever is not heard of is not taken for a liar because one is there."""
    liar, silent = one(1, seen(ratio=20)), one(2, price=12 * 10**5)
    assert order(STILL([liar, silent], WANTED)) == [2, 1]


@pytest.mark.parametrize("running", [40, 100, 200])
def test_a_load_that_is_kept_quiet_counts_no_less_than_one_that_is_told(running: int) -> None:
    """Who says that it stands idle, and takes as long as a busy one, slows others there as much."""
    busy, idle = one(1, seen(running=running)), one(2, seen())
    times = [candidate.foreseen(WANTED).felt_s(200) for candidate in (busy, idle)]  # type: ignore[union-attr]  # Both speak.
    liar = one(2, seen(ratio=times[0] / times[1]))
    chances = {candidate.posted: chance for candidate, chance in quoted.chances([busy, liar], WANTED)}
    assert 0.01 < chances[liar.posted] < 0.4


def test_who_has_no_room_comes_last() -> None:
    full, slow = one(1, seen(room=0)), one(2, seen(slower=20))
    assert order(quoted([full, slow], WANTED)) == [2, 1]
    taken = replace(one(3, seen(room=2)), pending=2)
    assert order(quoted([taken, slow], WANTED)) == [2, 3]


def test_what_it_quotes_is_newer_than_what_it_told_everyone() -> None:
    bounced, other = one(1, seen()), one(2, seen(running=20))
    assert order(STILL([bounced, other], WANTED)) == [1, 2]
    bounced = replace(bounced, quoted=Pace(30.0, 0.2))
    chosen = STILL([bounced, other], WANTED)
    assert order(chosen) == [2, 1]
    assert chosen[1].expected == Pace(30.0, 0.2)


def test_what_is_expected_is_the_providers_own_word() -> None:
    """Its record weighs in the choice alone: a slow one that promises little is held to little."""
    candidate = one(1, seen(ratio=5))
    assert quoted([candidate], WANTED)[0].expected == one(1, seen()).foreseen(WANTED)


def test_of_many_a_few_are_drawn_by_slot() -> None:
    """The fastest of all is found as often as its slots say, and the rest stand behind those compared."""
    slot = 10
    wanted = replace(WANTED, minimum_stake=Atoms(slot))
    candidates = [one(i, seen(slower=9), stake=slot) for i in range(1, 20)] + [one(20, seen(), stake=slot)]
    rounds, five = 1_000, replace(STILL, slots=5)
    orders = [order(five(candidates, replace(wanted, seed=seed))) for seed in range(rounds)]
    share = 1 - (1 - 1 / 20) ** 5
    found = sum(chosen[0] == 20 for chosen in orders) / rounds
    assert abs(found - share) < 4 * (share * (1 - share) / rounds) ** 0.5
    assert all(len(chosen) >= 17 for chosen in orders)


@pytest.mark.parametrize("slower", [1, 2])
@pytest.mark.parametrize("others", [4, 20])
def test_splitting_a_stake_gains_nothing(others: int, slower: int) -> None:
    """Ten slots of one provider, or of ten: the engine behind them gets as many requests, whether it is as
    good as the others or better."""
    rounds = 800
    rest = [one(i, seen(slower=slower), stake=10) for i in range(1, others + 1)]

    def found(mine: list[Candidate]) -> float:
        names = {int.from_bytes(candidate.posted.offer.provider) for candidate in mine}
        firsts = (order(quoted([*rest, *mine], replace(WANTED, seed=seed))[:1])[0] for seed in range(rounds))
        return sum(first in names for first in firsts) / rounds

    whole = found([one(500, seen(), stake=10)])
    split = found([one(500 + i, seen(), stake=1) for i in range(10)])
    assert abs(whole - split) < 4 * (whole * (1 - whole) * 2 / rounds) ** 0.5


def test_a_score_is_taken_by_a_power_of_it() -> None:
    """A tenth less to pay, of two that are alike: as much more often as keenness says."""
    candidates = [one(1, seen(), price=9 * 10**5), one(2, seen())]
    rounds = 2_000
    firsts = Counter(order(quoted(candidates, replace(WANTED, seed=seed)))[0] for seed in range(rounds))
    share = 1 / (1 + 0.9**6)
    assert abs(firsts[1] / rounds - share) < 4 * (share * (1 - share) / rounds) ** 0.5


def test_half_of_the_usual_price_is_as_good_as_nothing() -> None:
    others = [one(i, seen(), stake=10) for i in range(1, 5)]
    free, half, usual = (
        _chances([one(9, seen(slower=2), price=price, stake=10), *others])[9]
        for price in (0, 5 * 10**5, 10**6)
    )
    assert free == pytest.approx(half, rel=0.1)
    assert half > 20 * usual


def _chances(candidates: list[Candidate]) -> dict[int, float]:
    """How often each comes first, over many seeds."""
    found = defaultdict[int, float](float)
    rounds = 200
    for seed in range(rounds):
        for candidate, chance in Quoted().chances(candidates, replace(WANTED, seed=seed)):
            found[int.from_bytes(candidate.posted.offer.provider)] += chance / rounds
    return found


def test_less_than_a_slot_is_drawn_after_all_others() -> None:
    wanted = replace(WANTED, minimum_stake=Atoms(10))
    candidates = [one(i, seen(), stake=10) for i in range(1, 10)] + [one(99, seen(), stake=9)]
    assert all(order(quoted(candidates, replace(wanted, seed=seed)))[-1] == 99 for seed in range(50))


def test_cost_is_that_of_the_request() -> None:
    assert expected_cost(posted(1), WANTED) == 1_200


def _with_queue(candidates: list[Candidate], which: int, more: int) -> list[Candidate]:
    which %= len(candidates)
    heard = candidates[which].seen
    if heard.status is None:
        return candidates
    status = replace(heard.status, queued=Tokens(heard.status.queued + more))
    changed = [*candidates]
    changed[which] = replace(candidates[which], seen=replace(heard, status=status))
    return changed


def _place(rule: Rule, candidates: list[Candidate], which: int, wanted: Wanted) -> int:
    which %= len(candidates)
    name = int.from_bytes(candidates[which].posted.offer.provider)
    return order(rule(candidates, wanted)).index(name)


# ------------------------------------------------------------------------------------------ by what is judged


def judged(esteem: float = 0.5, keenness: float = 1e6, **strengths: float) -> Judged:
    """Strengths of the providers of these numbers."""
    by_address = {Address(int(name[1:]).to_bytes(20, "big")): value for name, value in strengths.items()}
    return Judged(strengths=by_address, esteem=esteem, keenness=keenness)


def firsts(rule: Rule, candidates: Sequence[Candidate], seeds: int = 200) -> Counter[int]:
    return Counter(order(rule(candidates, replace(WANTED, seed=seed)))[0] for seed in range(seeds))


@pytest.mark.parametrize("heard", [UNSEEN, seen()])
def test_of_two_alike_the_better_one_is_taken(heard: Seen) -> None:
    two = [one(1, heard), one(2, heard)]
    assert firsts(judged(p1=0.7, p2=-0.2), two) == Counter({1: 200})


@pytest.mark.parametrize("heard", [UNSEEN, seen()])
@pytest.mark.parametrize(("price", "taken"), [(1_600_000, 1), (1_900_000, 2)])
def test_three_duels_won_of_four_are_worth_seven_tenths_of_the_price(
    heard: Seen, price: int, taken: int
) -> None:
    two = [one(1, heard, price=price), one(2, heard)]
    assert firsts(judged(p1=1.1), two) == Counter({taken: 200})


def test_no_strength_counts_for_more_than_that() -> None:
    two = [one(1, price=1_900_000), one(2)]
    assert firsts(judged(p1=50.0), two) == Counter({2: 200})
    three = [one(1), one(2, price=1_600_000)]
    assert firsts(judged(p1=-50.0), three) == Counter({2: 200})


def test_of_whom_no_duel_says_anything_is_average() -> None:
    two = [one(1, seen()), one(2, seen())]
    assert firsts(judged(p1=0.3), two) == Counter({1: 200})
    assert firsts(judged(p1=-0.3), two) == Counter({2: 200})


def test_without_esteem_what_is_free_comes_before_what_costs_an_atom() -> None:
    two = [one(1, price=1), one(2, price=0)]
    for seed in range(20):
        wanted = replace(WANTED, input_tokens=Tokens(1), output_tokens=Tokens(1), seed=seed)
        assert order(judged(esteem=0.0)(two, wanted)) == order(cheapest(two, wanted)) == [2, 1]


@given(_candidates(12), _seeds)
def test_without_esteem_it_is_the_default(candidates: list[Candidate], seed: int) -> None:
    wanted = replace(WANTED, seed=seed)
    plain = Judged(strengths=JUDGED.strengths, esteem=0.0)
    assert order(plain(candidates, wanted)) == order(quoted(candidates, wanted))
