"""Who leaves out of its answers what an audit takes is asked after all others by a payer that has audits; and
who is honest, and cannot help it, is not."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.client import refusals
from tallystick.client.ask import read_ask
from tallystick.client.audits import Audits, is_unauditable
from tallystick.client.avoidance import FORGIVEN_AFTER, Reason
from tallystick.client.errors import PurseError
from tallystick.client.outcome import Outcome
from tallystick.client.tables import MIGRATIONS
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.transcript import Transcript, tokens_hash
from tallystick.protocol.units import ZERO_HASH, Atoms, ChannelId, Hash32, Milliseconds, Tokens
from tests.client.conftest import World, chat_body
from tests.client.echo import chunks, whole
from tests.client.fake_chain import DOMAIN, FakeChain
from tests.client.provider import FakeProvider
from tests.client.serving import Handler
from tests.client.test_avoidance import URL, Payer

TEXT = "a b c d e f"


class Scoring(FakeProvider):
    """Says log-probabilities where it is asked for them, streamed or not."""

    def leaves_out(self, choice: dict[str, Any], place: int) -> None:
        """Of the payload at that place."""

    def said_whole(self, body: dict[str, Any]) -> bytes:
        return self._scored(whole(body), body, 0)

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        for place, payload in enumerate(chunks(body)):
            yield self._scored(payload, body, place)

    def _scored(self, payload: bytes, body: dict[str, Any], place: int) -> bytes:
        said = json.loads(payload)
        for choice in said["choices"]:
            if body.get("logprobs") and choice.get("token_ids"):
                choice["logprobs"] = {
                    "content": [{"token": "x", "logprob": -0.5} for _ in choice["token_ids"]]
                }
            self.leaves_out(choice, place)
        return json.dumps(said).encode()


class GivesNoIds(Scoring):
    """As an engine that has none."""

    def leaves_out(self, choice: dict[str, Any], place: int) -> None:
        choice.pop("token_ids", None)


class GivesIdsThatAreNone(Scoring):
    def leaves_out(self, choice: dict[str, Any], place: int) -> None:
        choice["token_ids"] = ["1" for _ in choice.get("token_ids", ())]


class GivesTheLastIdAlone(Scoring):
    """The others are billed by the pieces of text that came."""

    def leaves_out(self, choice: dict[str, Any], place: int) -> None:
        if place < 5:
            choice.pop("token_ids", None)


class ScoresHalf(Scoring):
    def leaves_out(self, choice: dict[str, Any], place: int) -> None:
        scores = choice.get("logprobs", {"content": []})
        scores["content"] = scores["content"][place % 2 :: 2]


class ScoresNothing(Scoring):
    """Though it was asked to, and gives ids."""

    def leaves_out(self, choice: dict[str, Any], place: int) -> None:
        choice.pop("logprobs", None)


class TakesNoScores(Scoring):
    """It would rather have the request again without."""

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        if b'"logprobs"' not in raw:
            return False
        handler._json(400, {"error": {"message": "logprobs?", "type": "BadRequestError", "code": 400}})
        return True


class EndsByNoReceipt(Scoring):
    """It brings the last one when it is asked what became of the answer, and is paid then."""

    def __init__(self, chain: FakeChain, **options: Any):
        super().__init__(chain, mishap="no-receipt", **options)


class BillsByInterimReceiptsAlone(Scoring):
    def __init__(self, chain: FakeChain, **options: Any):
        super().__init__(chain, **options | {"price": 100_000_000})
        self.interim_at = 100

    def bills(self, transcript: Transcript, billed: list[int]) -> bool:
        return False


CHEATS = [
    *((kind, stream) for kind in (GivesNoIds, GivesIdsThatAreNone, ScoresHalf) for stream in (False, True)),
    *((kind, stream) for kind in (ScoresNothing, TakesNoScores, EndsByNoReceipt) for stream in (False, True)),
    (GivesTheLastIdAlone, True),
    (BillsByInterimReceiptsAlone, True),
]


BROKEN = {Finish.CANCELLED, Finish.ENGINE_FAILED, Finish.OUT_OF_CREDIT, Finish.DRAINED}


@pytest.fixture
def payer(world: World) -> Callable[..., Payer]:
    def opened(**wanted: Any) -> Payer:
        return Payer(world, audits=Audits(**{"budget": 10**8} | wanted), block_at=lambda _: None)

    return opened


@pytest.mark.parametrize(("kind", "stream"), CHEATS)
def test_whoever_cannot_be_audited_is_asked_after_all_others(
    world: World, payer: Callable[..., Payer], kind: type[Scoring], stream: bool
) -> None:
    cheat = world.provider(kind, price=1_000_000)
    made = payer()
    assert made.buys(text=TEXT, stream=stream) == cheat.key.address
    honest = world.provider(Scoring, price=200_000_000)
    made.session.payer.listing.refresh()
    assert made.buys(text=TEXT, stream=stream) == honest.key.address
    (avoided,) = made.avoided
    assert (avoided.provider, avoided.reason) == (cheat.key.address, Reason.UNAUDITABLE)
    assert avoided.is_last
    assert avoided.until - avoided.since == FORGIVEN_AFTER[Reason.UNAUDITABLE] == 86_400_000
    honest.close()
    assert made.buys(text=TEXT, stream=stream) == cheat.key.address, "last is not never"


def test_a_caller_that_leaves_at_the_end_of_its_stream_remembers_who_took_no_scores(
    world: World, payer: Callable[..., Payer]
) -> None:
    cheat = world.provider(TakesNoScores)
    made = payer()
    with made.client.stream("POST", URL, json=chat_body(TEXT, stream=True)) as reply:
        for piece in reply.iter_raw():
            if b"[DONE]" in piece:
                break
    (avoided,) = made.avoided
    assert (avoided.provider, avoided.reason) == (cheat.key.address, Reason.UNAUDITABLE)


@pytest.mark.parametrize("error", [PurseError("It is locked."), sqlite3.OperationalError("locked")])
@pytest.mark.parametrize("stream", [False, True])
def test_no_answer_is_lost_by_a_purse_that_cannot_remember(
    world: World, payer: Callable[..., Payer], monkeypatch: pytest.MonkeyPatch, error: Exception, stream: bool
) -> None:
    def fails(*_: object) -> None:
        raise error

    seller = world.provider(TakesNoScores)
    made = payer()
    monkeypatch.setattr(made.session.purse.evidence.avoidance, "note", fails)
    assert made.buys(text=TEXT, stream=stream) == seller.key.address


LONG = "a " * 10_000
"""Bytes that could be more tokens than an engine of 16,000 holds, and are not."""


def busy(handler: Handler) -> bool:
    handler._json(429, {"error": {"message": "busy", "type": "tallystick_error", "code": "busy"}})
    return True


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_takes_no_scores_serves_a_long_request_where_those_of_more_context_are_busy(
    world: World, payer: Callable[..., Payer], monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    class Busy(Scoring):
        def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
            return busy(handler)

    monkeypatch.setattr(refusals, "PASSING", 100)
    small = world.provider(TakesNoScores, price=1_000, context=16_000)
    world.provider(Busy, price=2_000)
    made = payer()
    assert made.buys(text=LONG, stream=stream) == small.key.address
    assert [one.provider for one in made.avoided] == [small.key.address]


@pytest.mark.parametrize(("text", "status"), [(LONG, 400), (LONG * 4, 429)])
def test_of_a_long_request_its_caller_hears_what_keeps_it_from_being_served(
    world: World, monkeypatch: pytest.MonkeyPatch, text: str, status: int
) -> None:
    """An engine's word where the request fits there; where it may be too long for it, that others are
    busy."""

    class TakesNothing(Scoring):
        def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
            handler._json(400, {"error": {"message": "no", "type": "BadRequestError", "code": 400}})
            return True

    class Busy(Scoring):
        def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
            return busy(handler)

    monkeypatch.setattr(refusals, "PASSING", 100)
    world.provider(TakesNothing, price=1_000, context=16_000)
    world.provider(Busy, price=2_000)
    reply = Payer(world).client.post(URL, json=chat_body(text))
    assert reply.status_code == status, reply.text


OWN_MAKING = [
    {"n": 2},
    {"tools": [{"type": "function", "function": {"name": "look"}}], "stream": True},
    {"echo": True},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
    {"tallystick": {"audit": False}},
    {"tallystick": {"private": True}},
]


@pytest.mark.parametrize("more", OWN_MAKING)
def test_what_a_caller_sees_to_itself_is_nobody_s_fault(
    world: World, payer: Callable[..., Payer], more: dict[str, Any]
) -> None:
    seller = world.provider(GivesNoIds)
    made = payer()
    reply = made.client.post(URL, json=chat_body(TEXT) | more)
    assert reply.status_code == 200, reply.text
    assert (seller.worked, made.avoided) == (1, ())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wanted", [{}, {"logprobs": False}])
def test_whoever_gives_what_was_asked_for_is_not(
    world: World, payer: Callable[..., Payer], stream: bool, wanted: dict[str, Any]
) -> None:
    world.provider(Scoring)
    made = payer(**wanted)
    for _ in range(2):
        made.buys(text=TEXT, stream=stream)
    assert made.avoided == ()


@pytest.mark.parametrize(("null", "noted"), [({}, 1), ({"top_logprobs": None}, 0)])
def test_an_engine_that_reads_null_as_none_is_not(
    world: World, payer: Callable[..., Payer], null: dict[str, Any], noted: int
) -> None:
    world.provider(ScoresNothing)
    made = payer()
    made.buys(**null)
    assert len(made.avoided) == noted


@pytest.mark.parametrize("finish", [one for one in Finish if one not in BROKEN])
def test_however_an_answer_ends_it_is_kept_for_audits_or_its_provider_is_remembered(
    world: World, payer: Callable[..., Payer], finish: Finish
) -> None:
    class Ends(Scoring):
        def told(self, receipt: Receipt) -> list[Signed[Receipt]]:
            return [self.signed(replace(receipt, finish=finish))]

    world.provider(Ends, price=100_000_000)
    made = payer()
    made.buys(text=TEXT)
    assert made.session.auditing is not None
    assert len(made.session.auditing.samples) + len(made.avoided) == 1


@pytest.mark.parametrize("finish", sorted(BROKEN))
def test_who_says_that_it_broke_off_is_seen_to(
    world: World, payer: Callable[..., Payer], finish: Finish
) -> None:
    """A whole answer that its receipt calls broken is none to its caller, who is told so."""

    class Breaks(Scoring):
        def told(self, receipt: Receipt) -> list[Signed[Receipt]]:
            return [self.signed(replace(receipt, finish=finish))]

    world.provider(Breaks)
    made = payer()
    reply = made.client.post(URL, json=chat_body(TEXT))
    assert (reply.status_code >= 500, made.avoided) == (True, ())


def test_without_audits_nothing_is_asked_for_and_nobody_remembered(world: World) -> None:
    world.provider(GivesNoIds)
    made = Payer(world)
    made.buys(text=TEXT)
    assert made.avoided == ()


@pytest.mark.parametrize("mishap", ["engine", "drops"])
def test_an_honest_one_that_breaks_off_is_not(world: World, payer: Callable[..., Payer], mishap: str) -> None:
    """What came of it has ids and log-probabilities; its end is the connection's, or its engine's."""
    seller = world.provider(Scoring, mishap="engine" if mishap == "engine" else "")
    seller.drops = 1 if mishap == "drops" else 0
    made = payer()
    try:
        with made.client.stream("POST", URL, json=chat_body(TEXT, stream=True)) as reply:
            for _ in reply.iter_raw():
                pass
    except httpx2.TransportError:
        pass
    assert (seller.worked, made.avoided) == (1, ())


@pytest.mark.parametrize("stream", [False, True])
def test_where_there_is_no_budget_nothing_is_added(
    world: World, payer: Callable[..., Payer], stream: bool
) -> None:
    asked: list[bytes] = []

    class Listening(GivesNoIds):
        def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
            asked.append(raw)
            return False

    world.provider(Listening)
    made = payer(budget=0)
    made.buys(text=TEXT, stream=stream)
    assert not json.loads(asked[0]).keys() & {"logprobs", "seed"}
    assert made.avoided == ()
    refused = made.client.post(URL, json=chat_body(tallystick={"audit": True}))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "malformed-request")


def test_a_purse_of_before_keeps_whom_it_remembers(world: World) -> None:
    """And a program of before that still runs finds the table that it reads with each request."""
    seller = world.provider(price=1_000_000)
    seller.ahead_ms = -60_000
    made = Payer(world)
    made.buys()
    kept = made.avoided
    made.session.close()
    path = made.session.purse.folder / "purse.db"
    with sqlite3.connect(path) as database:
        database.execute(MIGRATIONS[5][0])
        database.execute("INSERT INTO misdatings SELECT provider, seen_at FROM lapses")
        database.execute("DROP TABLE lapses")
        database.execute("PRAGMA user_version = 7")
    database.close()
    again = Payer(world)
    assert again.avoided == kept
    again.session.purse.evidence.avoidance.note(seller.key.address, Reason.UNAUDITABLE)
    assert [one.reason for one in again.avoided] == [Reason.MISDATED, Reason.UNAUDITABLE]


# --------------------------------------------------------------------------------------------- the rule alone

KEY = Key(b"\5" * 32)


def receipt(posted: Any, sequence: int, tokens: int, hashed: Hash32, finish: Finish) -> Receipt:
    return Receipt(
        channel_id=ChannelId(bytes(32)),
        sequence=sequence,
        offer_hash=posted.offer_hash,
        request_hash=ZERO_HASH,
        response_hash=ZERO_HASH,
        tokens_hash=hashed,
        input_tokens=Tokens(0),
        cached_input_tokens=Tokens(0),
        output_tokens=Tokens(tokens),
        finish=finish,
        received_at=Milliseconds(1),
        first_token_at=Milliseconds(2),
        finished_at=Milliseconds(3),
        cost=Atoms(0),
        cumulative_cost=Atoms(0),
    )


@pytest.fixture(scope="module")
def posted() -> Any:
    chain = FakeChain()
    FakeProvider(chain).close()
    return chain.posted[0]


@given(
    billed=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    ids=st.integers(1, 20),
    scored=st.booleans(),
    added=st.booleans(),
    own=st.sampled_from([None, False, True]),
    finish=st.sampled_from([Finish.STOP, Finish.LENGTH, Finish.CONTENT_FILTER, Finish.TOOL_CALLS]),
)
def test_no_token_is_billed_of_which_there_is_no_id(
    posted: Any, billed: list[int], ids: int, scored: bool, added: bool, own: bool | None, finish: Finish
) -> None:
    """By however many receipts; and where log-probabilities were asked for, there are some."""
    fields = chat_body() | ({} if own is None else {"logprobs": own})
    ask = read_ask("/v1/chat/completions", json.dumps(fields).encode())
    ask = ask.audited({"logprobs": True} if added else {})
    scores = (-0.5,) * ids if scored else ()
    hashed = tokens_hash(range(ids), scores)
    finishes = [Finish.INTERIM] * (len(billed) - 1) + [finish]
    receipts = [
        sign(receipt(posted, place, tokens, hashed, ends), DOMAIN, KEY)
        for place, (tokens, ends) in enumerate(zip(billed, finishes, strict=True))
    ]
    last: Signed[Receipt] = receipts[-1].signed
    sample = Sample(
        path=ask.path, body=b"{}", ids=tuple(range(ids)), logprobs=scores, offer=posted.offer, receipt=last
    )
    outcome = Outcome(posted, ChannelId(bytes(32)), 1, receipts=receipts, sample=sample)
    assert is_unauditable(ask, outcome) == (sum(billed) > ids or (not scored and bool(added or own)))
    assert is_unauditable(ask, replace(outcome, sample=None))
    assert is_unauditable(ask, replace(outcome, receipts=receipts[:-1]))
