"""Duels with a known verdict: a question whose answer the payer knows is put to two in a request's place."""

from typing import Any

import httpx2
import pytest

from tallystick.client.duel import Duel, Known
from tallystick.client.pairs import Pair
from tallystick.client.session import Session
from tallystick.client.transport import Transport
from tallystick.protocol.case import checked
from tallystick.protocol.vote import Choice, hidden_hash
from tests.client.conftest import World, chat_body
from tests.client.echo import whole
from tests.client.fake_chain import DOMAIN
from tests.client.provider import FakeProvider

URL = "https://market/v1/chat/completions"
KENYA = Known("Say the capital of Kenya: Nairobi", right="nairobi")


class Wrong(FakeProvider):
    """Knows nothing of Kenya."""

    def said_whole(self, body: dict[str, Any]) -> bytes:
        return whole(body).replace(b"Nairobi", b"Mombasa")


def paired(world: World, **wanted: Any) -> tuple[Session, list[Pair]]:
    duel = Duel(**{"share": 1, "budget": 10**8, "known": (KENYA,), "known_share": 1.0} | wanted)
    session = world.session(duel=duel)
    with httpx2.Client(transport=Transport(session)) as client:
        body = chat_body("a question of the caller's", temperature=0.5, user="me")
        assert "caller's" in client.post(URL, json=body).text
        assert session.duelling is not None
        assert session.duelling.wait(20)
        return session, session.purse.pairs.held()


def test_a_known_question_takes_the_place_of_the_caller_s(world: World) -> None:
    world.provider(), world.provider(Wrong)
    session, (pair,) = paired(world)

    found = checked(pair.case, DOMAIN)
    assert found.question == KENYA.question
    right = found.answers.index("Say the capital of Kenya: Nairobi ")
    assert pair.known is (Choice.FIRST, Choice.SECOND)[right]
    assert pair.case.hidden == hidden_hash(pair.known, pair.salt)
    assert session.purse.pairs.held() == [pair]


def test_it_has_the_form_of_the_request_that_it_replaces(world: World) -> None:
    """Neither its providers nor its judges can tell it by that."""
    world.provider(), world.provider(Wrong)
    _, (pair,) = paired(world)
    body = checked(pair.case, DOMAIN).case.body
    for member in (b'"temperature":0.5', b'"user":"me"', b'"max_tokens":50', b'"return_token_ids":true'):
        assert member in body


def test_both_are_paid_out_of_the_duels_budget(world: World) -> None:
    world.provider(), world.provider(Wrong)
    session, (pair,) = paired(world)
    costs = [one.receipt.message.cost for one in (pair.case.first, pair.case.second)]
    assert pair.cost == session.purse.pairs.cost() == sum(costs)
    assert session.purse.spending()[0] > pair.cost


def test_where_both_are_right_nothing_is_known(world: World) -> None:
    world.provider(), world.provider()
    _, (pair,) = paired(world)
    assert pair.known is Choice.NONE


def test_where_the_budget_has_no_room_for_both_nothing_is_asked(world: World) -> None:
    providers = [world.provider(), world.provider(Wrong)]
    _, pairs = paired(world, budget=100)
    assert pairs == []
    assert sum(one.worked for one in providers) == 1


def test_chance_says_which_duels_are_such(world: World) -> None:
    other = Known("Another?", right="yes")
    wanted = Duel(share=1, budget=1, known=(KENYA, other), known_share=0.25)
    assert [wanted.draws_known(chance, 0.0) for chance in (0.0, 0.24, 0.25, 0.9)] == [
        KENYA,
        KENYA,
        None,
        None,
    ]
    assert [wanted.draws_known(0.0, which) for which in (0.49, 0.5, 0.999)] == [KENYA, other, other]
    assert Duel(share=1, budget=1).draws_known(0.0, 0.0) is None


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ("It is NAIROBI.", "Mombasa", Choice.FIRST),
        ("Mombasa", "Nairobi", Choice.SECOND),
        ("Nairobi", "Nairobi", Choice.NONE),
        ("", "Mombasa", Choice.NONE),
    ],
)
def test_a_verdict_is_known_where_one_alone_is_right(first: str, second: str, verdict: Choice) -> None:
    assert KENYA.verdict(first, second) is verdict


def test_what_a_payer_thinks_wrong() -> None:
    def says(_: str, first: str, second: str, verdict: Choice) -> bool:
        return verdict is Choice.FIRST and len(second) > len(first)

    def wrong(wanted: Duel, verdict: Choice, known: Choice = Choice.NONE) -> bool:
        return wanted.thinks_wrong("q", "a", "longer", verdict=verdict, known=known)

    never, known_ones, by_length = (
        Duel(share=1, budget=1, appeals=appeals) for appeals in (False, True, says)
    )
    assert not wrong(never, Choice.FIRST, Choice.SECOND)
    assert wrong(known_ones, Choice.FIRST, Choice.SECOND)
    assert not wrong(known_ones, Choice.SECOND, Choice.SECOND)
    assert not wrong(known_ones, Choice.FIRST)
    assert wrong(by_length, Choice.FIRST)
    assert not wrong(by_length, Choice.SECOND)


def test_a_known_question_costs_one_request_more() -> None:
    assert Duel(share=0.1, budget=1, known=(KENYA,), known_share=0.5).cost_factor(1) == pytest.approx(1.45)
