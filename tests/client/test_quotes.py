"""A provider is told what is expected of it, and says what it promises; who cannot keep up is passed over."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from tallystick.client.choose import Choice
from tallystick.client.haggling import Haggling
from tallystick.client.outcome import outcome_of
from tallystick.client.rules import fastest
from tallystick.client.standing import Standing
from tallystick.protocol.expect import Expected, Redeemed, Size
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import ZERO_HASH, ChannelId, Tokens
from tests.cheats.promisers import NeverKeepsRoom
from tests.client.promising import QUICK, SLOW, Adverts, Promising

URL = "https://market/v1/chat/completions"
SIZE = Size(input_tokens=Tokens(100), output_tokens=Tokens(50))


@pytest.fixture
def adverts() -> Adverts:
    return Adverts()


def advertised(world: Any, adverts: Adverts, *, step: float, **options: Any) -> Any:
    provider = world.provider(Promising, **options)
    adverts.steps_s[provider.key.address] = step
    return provider


def test_nothing_is_said_to_whom_nothing_is_known_of(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(Promising)
    with httpx2.Client(transport=world.transport()) as client:
        outcome = outcome_of(client.post(URL, json=ask()))
    assert provider.expected == [None]
    assert outcome is not None
    assert outcome.quote is None


@pytest.mark.parametrize("stream", [False, True])
def test_an_accepted_request_has_a_quote(
    world: Any, ask: Callable[..., Any], adverts: Adverts, stream: bool
) -> None:
    provider = advertised(world, adverts, step=0.1)
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest)) as client:
        outcome = outcome_of(client.post(URL, json=ask(stream=stream)))
    (said,) = provider.expected
    assert isinstance(said, Expected)
    assert said.pace == Pace(0.1, 0.1)
    assert said.size.output_tokens == 50
    assert outcome is not None
    assert outcome.quote is not None
    assert outcome.quote.pace == QUICK
    assert outcome.pace is not None
    assert 0 < outcome.pace.first_s < 5


def test_a_promise_is_compared_with_the_first_token_and_with_the_end(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    """What came before its end is known before its end; of a whole answer there is only that."""
    provider = advertised(world, adverts, step=0.1)
    record = (transport := world.transport(outlook=adverts, rule=fastest)).session.payer.record
    with httpx2.Client(transport=transport) as client:
        client.post(URL, json=ask())
        assert record.rating(provider.key.address)[1] == 1
        with client.stream("POST", URL, json=ask(stream=True)) as answer:
            lines = (line for line in answer.iter_lines() if "content" in line)
            assert next(lines)
            assert record.rating(provider.key.address)[1] == 2
            assert list(lines)
        assert record.rating(provider.key.address)[1] == 3


def test_who_bounces_is_passed_over_and_owed_nothing(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    busy = advertised(world, adverts, step=0.001, pace=SLOW)
    free = advertised(world, adverts, step=0.002)
    transport = world.transport(outlook=adverts, rule=fastest)
    with httpx2.Client(transport=transport) as client:
        assert client.post(URL, json=ask()).status_code == 200
        assert (busy.seen["bounced"], busy.worked, free.worked) == (1, 0, 1)
        assert transport.spent == free.issued
    assert (busy.issued, busy.reserved) == (0, 0)


def test_where_nobody_is_quicker_the_one_that_bounced_is_asked_and_held_to_its_word(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    alone = advertised(world, adverts, step=0.001, pace=SLOW)
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest)) as client:
        assert client.post(URL, json=ask()).status_code == 200
    first, second = alone.expected
    assert first.pace.first_s == 0.001
    assert isinstance(second, Redeemed)
    assert (alone.seen["bounced"], alone.seen["asked"], alone.worked) == (1, 1, 1)


def test_after_one_bounce_three_are_asked_and_the_best_is_redeemed(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    paces = (SLOW, Pace(10, 0.2), Pace(3, 0.1))
    asked = [advertised(world, adverts, step=0.001 * i, pace=pace) for i, pace in enumerate(paces, 1)]
    outcomes: list[Any] = []
    with httpx2.Client(
        transport=world.transport(outlook=adverts, rule=fastest, on_outcome=outcomes.append)
    ) as client:
        assert client.post(URL, json=ask()).status_code == 200
    assert sum(provider.seen["bounced"] for provider in asked) == 1
    assert [provider.seen["asked"] for provider in asked] == [1, 1, 1]
    assert [provider.worked for provider in asked] == [0, 0, 1]
    assert isinstance(asked[2].expected[-1], Redeemed)
    assert outcomes[0].quote.pace == Pace(3, 0.1)


def test_who_said_how_long_it_takes_is_asked_before_whom_one_has_only_heard_of(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    """The fourth has an advert that is better than all quotes; it is as old as those of the three."""
    paces = (SLOW, Pace(10, 0.2), Pace(3, 0.1), QUICK)
    steps = (0.001, 0.002, 0.003, 0.004)
    said = [advertised(world, adverts, step=step, pace=pace) for step, pace in zip(steps, paces, strict=True)]
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest)) as client:
        assert client.post(URL, json=ask()).status_code == 200
    assert [provider.seen["asked"] for provider in said] == [1, 1, 1, 0]
    assert [provider.worked for provider in said] == [0, 0, 1, 0]


def test_where_those_that_were_asked_refuse_others_are_tried(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    advertised(world, adverts, step=0.001, pace=SLOW)
    for step in (0.002, 0.003):
        adverts.steps_s[world.provider(NeverKeepsRoom).key.address] = step
    other = advertised(world, adverts, step=0.004)
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest)) as client:
        assert client.post(URL, json=ask()).status_code == 200
    assert (other.worked, other.seen["bounced"]) == (1, 0)


def test_who_was_asked_and_said_nothing_comes_last() -> None:
    made = [Choice(posted=SimpleNamespace(offer_hash=bytes([i]) * 32)) for i in range(5)]  # type: ignore[arg-type]
    asked = [choice.posted for choice in made[:3]]
    best = [made[2], made[0]]
    standing = Standing(SIZE)
    standing.gone.add(made[3].posted.offer_hash)
    assert list(standing.after_quotes(made, asked, best)) == [made[2], made[0], made[4], made[1]]


def test_who_does_not_keep_the_room_it_quoted_comes_after_who_does(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    advertised(world, adverts, step=0.001, pace=SLOW)
    fickle = world.provider(NeverKeepsRoom)
    adverts.steps_s[fickle.key.address] = 0.002
    honest = advertised(world, adverts, step=0.003, pace=Pace(3, 0.1))
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest)) as client:
        assert client.post(URL, json=ask()).status_code == 200
    assert [type(said) for said in fickle.expected] == [Redeemed]
    assert (fickle.worked, honest.worked) == (0, 1)


def test_a_whole_stream_of_bounces_ends(world: Any) -> None:
    """Whatever is said, in the end nothing is expected any more, and nobody can bounce that."""
    haggling, pace = Haggling(SIZE), Pace(1, 0.1)
    quote = world.provider(Promising).quoted(ChannelId(bytes(32)), SIZE, ZERO_HASH, holds=False).message
    (posted,) = world.chain.posted
    said = []
    while (expect := haggling.says(posted, pace)) is not None:
        said.append(expect)
        haggling.bounced(posted, quote, most=SIZE.input_tokens)
        if haggling.asks:
            haggling.answered({})
    assert said == [Expected(size=SIZE, pace=pace)]
    assert not haggling.asks


def test_one_s_own_requests_count_before_any_status_says_so(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    one, other = (advertised(world, adverts, step=0.001) for _ in range(2))
    session = world.session(outlook=adverts)
    with session.payer.prospects.underway.at(one.key.address, Tokens(7)):
        assert session.payer.prospects.underway.since(one.key.address, 1_000) == (1, 7)
        assert session.payer.prospects.underway.since(other.key.address, None) == (0, 0)
    assert session.payer.prospects.underway.since(one.key.address, None) == (0, 0)


def test_one_that_failed_is_asked_last_for_a_while(world: Any, ask: Callable[..., Any]) -> None:
    dead, alive = world.provider(price=1), world.provider()
    dead.close()
    clock = [1_700_000_000_000]
    transport = world.transport(now=lambda: clock[0])
    with httpx2.Client(transport=transport) as client:
        client.post(URL, json=ask())
        prospects = transport.session.payer.prospects
        assert prospects.record.resting(dead.key.address, now=clock[0])
        assert not prospects.record.resting(alive.key.address, now=clock[0])
        clock[0] += 60_000
        assert not prospects.record.resting(dead.key.address, now=clock[0])
    assert alive.worked == 1


def test_a_bounce_s_word_on_the_input_s_length_is_what_others_are_asked_for(world: Any) -> None:
    provider, pace = world.provider(Promising), Pace(1, 0.1)
    (posted,) = world.chain.posted
    for said, most, taken in ((867, 1127, 867), (90, 1127, 100), (10**6, 1127, 1127), (867, 50, 100)):
        haggling, size = Haggling(SIZE), Size(input_tokens=Tokens(said), output_tokens=Tokens(50))
        quote = provider.quoted(ChannelId(bytes(32)), size, ZERO_HASH, holds=False).message
        haggling.says(posted, pace)
        haggling.bounced(posted, quote, most=Tokens(most))
        assert haggling.size.input_tokens == taken


def test_how_many_tokens_a_body_has_is_learnt_from_those_before(
    world: Any, ask: Callable[..., Any], adverts: Adverts
) -> None:
    provider = advertised(world, adverts, step=0.001)
    with httpx2.Client(transport=world.transport(outlook=adverts, rule=fastest)) as client:
        counted = [client.post(URL, json=ask("1 2 3 4 " * 9)).json()["usage"]["prompt_tokens"] for _ in "ab"]
    first, second = (said.size.input_tokens for said in provider.expected)
    assert first != counted[0]
    assert second == pytest.approx(counted[0], abs=1)
