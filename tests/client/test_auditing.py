"""Audits by themselves: what the lottery draws is shown to auditors behind the caller's back, within a
budget."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import httpx2
import orjson
import pytest

from tallystick.client import auditing, findings
from tallystick.client.audits import Audits
from tallystick.client.books import receipt_of
from tallystick.client.findings import HeldFinding
from tallystick.client.session import Session
from tallystick.client.transport import Transport
from tallystick.protocol.dossier import Dossier, drawn, signers
from tallystick.protocol.finding import Finding, Verdict
from tallystick.protocol.lottery import Block
from tallystick.protocol.merkle import root
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.units import ZERO_HASH, Atoms, Milliseconds, Timestamp, Tokens
from tallystick.protocol.wire import AUDIT_PATH, signed_to_json
from tests.audits.drawing import drawing
from tests.client.conftest import World, chat_body
from tests.client.echo import whole
from tests.client.fake_chain import DOMAIN
from tests.client.provider import FakeProvider
from tests.client.serving import Handler

URL = "https://market/v1/chat/completions"


class Scoring(FakeProvider):
    """Says log-probabilities where it is asked for them."""

    def said_whole(self, body: dict[str, Any]) -> bytes:
        if not body.get("logprobs"):
            return whole(body)
        answer = json.loads(whole(body))
        for choice in answer["choices"]:
            scores = [{"token": "x", "logprob": -0.5} for _ in choice["token_ids"]]
            choice["logprobs"] = {"content": scores}
        return json.dumps(answer).encode()


class Auditor(Scoring):
    """Says of whatever it is shown what it is told to, at a price; else it sells the model dearly."""

    verdict = Verdict.CLEAR
    auditing_key: Key | None = None

    def __init__(self, *arguments: Any, **options: Any):
        self.shown: list[Dossier] = []
        super().__init__(*arguments, **{"price": 3_000_000, "context": 5_000, **options})

    def said_whole(self, body: dict[str, Any]) -> bytes:
        if "dossier" not in body:
            return super().said_whole(body)
        dossier = Dossier.from_json(body["dossier"])
        self.shown.append(dossier)
        hashes = [one.receipt.message.struct_hash() for one in dossier.samples]
        finding = self.found(dossier, hashes)
        signed = sign(finding, DOMAIN, self.auditing_key or self.key).signed
        count = sum(len(one.ids) + 1 for one in dossier.samples)
        usage = {"prompt_tokens": 40, "completion_tokens": count, "total_tokens": 40 + count}
        choice = {"index": 0, "text": "of which this is the text", "finish_reason": "stop"}
        return orjson.dumps({"choices": [choice], "usage": usage, **signed_to_json(signed)})

    def found(self, dossier: Dossier, hashes: list[Any]) -> Finding:
        return Finding(
            auditor=self.key.address,
            provider=dossier.provider,
            receipt_hash=hashes[-1],
            receipts_root=root(hashes),
            receipt_count=len(hashes),
            scales_hash=ZERO_HASH,
            check=2,
            verdict=int(self.verdict),
            tokens=Tokens(9),
            evidence=1,
            found_at=Milliseconds(1),
        )


def named(provider: FakeProvider) -> str:
    return f"0x{provider.key.address.hex()}"


class Market:
    """A provider, two auditors, and a payer whose blocks the test makes."""

    def __init__(self, world: World, kind: type[Auditor] = Auditor, **wanted: Any):
        self.world = world
        self.block: Block | None = None
        self.newest = 1 << 60
        """Unix seconds of the chain's newest block."""
        self.reads = 0
        """How often receipts were read for a dossier."""
        self.seller = world.provider(Scoring)
        self.auditors = [world.provider(kind), world.provider(kind)]
        self.session = self.opened(**wanted)

    def opened(self, **wanted: Any) -> Session:
        audits = Audits(**{"budget": 10**8, "answers": 2} | wanted)

        def block_at(moment: Timestamp) -> Block | None:
            return self.block if moment <= self.newest else None

        session = self.world.session(audits=audits, block_at=block_at)
        assert session.auditing is not None
        session.auditing.worker.look_s = 0.02
        read = session.purse.findings.stretch

        def stretch(*bounds: Any) -> list[Signed[Receipt]]:
            self.reads += 1
            return read(*bounds)

        session.purse.findings.stretch = stretch  # type: ignore[method-assign]
        self.client = httpx2.Client(transport=Transport(session))
        return session

    def buys(
        self, count: int = 6, *, ignore: Sequence[FakeProvider] = (), **more: Any
    ) -> list[dict[str, Any]]:
        wishes = {"only": [named(self.seller)], "ignore": [named(one) for one in ignore]}
        found = []
        for number in range(count):
            reply = self.client.post(URL, json=chat_body(f"number {number}", provider=wishes, **more))
            assert reply.status_code == 200, reply.text
            found.append(reply.json())
        return found

    @property
    def receipts(self) -> list[Receipt]:
        held = self.session.purse.held_receipts()
        return [one.receipt.message for one in held if one.provider == self.seller.key.address]

    def draws(self, *sequences: int) -> None:
        self.block = drawing(self.receipts, sequences)

    def findings(self, count: int) -> list[HeldFinding]:
        self.world.until(lambda: len(self.session.purse.findings.all()) >= count)
        return self.session.purse.findings.all()


@pytest.fixture
def market(world: World) -> Callable[..., Market]:
    return lambda *kind, **wanted: Market(world, *kind, **wanted)


def test_what_is_drawn_is_audited_by_itself(market: Any) -> None:
    made = market()
    made.buys()
    made.draws(1, 4)
    (found,) = made.findings(1)

    (dossier,) = [shown for auditor in made.auditors for shown in auditor.shown]
    assert signers(dossier, DOMAIN) == {made.seller.key.address}
    assert drawn(dossier, lambda _: made.block).withheld == 0
    assert [one.receipt.message.sequence for one in dossier.samples] == [1, 4]
    assert [one.message.sequence for one in dossier.receipts] == [0, 1, 2, 3, 4]
    assert all(one.logprobs and one.is_seeded for one in dossier.samples)
    assert (found.verdict, found.finding.message.provider) == (Verdict.CLEAR, made.seller.key.address)


def test_it_is_paid_and_counted(market: Any) -> None:
    made = market()
    made.buys()
    spent = made.session.purse.spending()[0]
    made.draws(1, 4)
    (found,) = made.findings(1)
    purse = made.session.purse
    assert found.cost == purse.findings.cost() == purse.spending()[0] - spent > 0


def test_the_budget_bounds_it_before_anything_is_signed(market: Any) -> None:
    made = market(budget=10)
    made.buys()
    made.draws(1, 4)
    asked: list[bytes] = []
    made.seller.handled = lambda handler, path, raw: asked.append(raw)

    def nothing_is_added() -> bool:
        made.buys(1)
        return not orjson.loads(asked[-1]).keys() & {"logprobs", "seed"}

    made.world.until(nothing_is_added)  # It was tried, and nothing more is asked for in vain.
    assert made.session.purse.findings.cost() == 0
    assert all(auditor.seen[AUDIT_PATH] == 0 for auditor in made.auditors)


def test_an_auditor_that_grows_dearer_meanwhile_is_not_paid_more_than_was_taken_for_it(
    market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = market()
    posted, addresses = made.world.chain.posted, {one.key.address for one in made.auditors}
    begin, taken = made.session.purse.findings.begin, []

    def begins(auditor: Any, *asked: Any) -> int:
        for place, one in enumerate(posted):
            if one.offer.provider in addresses:
                offer = replace(one.offer, sequence=one.offer.sequence + 1, input_price=50_000_000)
                posted[place] = replace(one, offer=offer, offer_hash=offer.struct_hash())
        for one in made.auditors:
            one.offer = next(at.offer for at in posted if at.offer.provider == one.key.address)
            one.offer_hash = one.offer.struct_hash()
        made.session.payer.listing.refresh()
        taken.append(auditor)
        return begin(auditor, *asked)  # type: ignore[no-any-return]

    monkeypatch.setattr(made.session.purse.findings, "begin", begins)
    made.buys()
    made.draws(1, 4)
    made.world.until(lambda: len(taken) == 2 and made.session.purse.spending()[1] == 0)
    time.sleep(0.1)
    assert not any(one.shown for one in made.auditors)


def test_no_auditor_is_asked_before_enough_is_drawn(market: Any) -> None:
    made = market(answers=3)
    made.buys()
    made.draws(1, 4)
    made.world.until(lambda: len(made.session.auditing.samples) == 0)
    time.sleep(0.2)
    assert made.session.purse.findings.all() == []


def test_what_is_clear_waits_for_no_chain(market: Any) -> None:
    """Each look would read it again, and ask for the chain's head."""
    made = market()
    made.buys()
    made.draws(1, 4)
    (found,) = made.findings(1)
    assert (found.verdict, found.state) == (Verdict.CLEAR, "clear")
    assert made.session.purse.findings.all("said") == []


def test_what_one_finds_others_are_asked_about(market: Any) -> None:
    made = market()
    for auditor in made.auditors:
        auditor.verdict = Verdict.STRIKE
    made.buys()
    made.draws(0, 1, 4)
    found = made.findings(2)
    assert {one.finding.message.auditor for one in found} == {one.key.address for one in made.auditors}
    dossiers = [made.session.purse.findings.shown(one.number) for one in found]
    shown = [[one.receipt.message.sequence for one in dossier.samples] for dossier in dossiers]
    assert shown == [[0, 1, 4], [0, 1]], "a receipt counts for one strike"


@pytest.mark.parametrize("kept", [{"audit": False}, {"private": True}, {"private": True, "audit": False}])
def test_what_a_caller_keeps_from_auditors_is_never_shown(market: Any, kept: dict[str, bool]) -> None:
    made = market()
    made.buys(3, tallystick=kept)
    made.buys(3)
    made.draws(1, 3, 5)
    made.findings(1)
    (dossier,) = [shown for auditor in made.auditors for shown in auditor.shown]
    assert [one.receipt.message.sequence for one in dossier.samples] == [3, 5]


@pytest.mark.parametrize("ignored", [0, 1])
def test_whom_one_caller_ignores_audits_nothing_that_shows_its_request(market: Any, ignored: int) -> None:
    made = market()
    shunned, other = made.auditors[ignored], made.auditors[1 - ignored]
    made.buys(1, ignore=[shunned])
    made.buys(3)
    made.draws(0, 2, 3)
    made.findings(1)
    assert (len(other.shown), shunned.shown) == (1, [])


def test_who_is_ignored_and_alone_is_shown_the_answers_of_others(market: Any) -> None:
    made = market()
    shunned, other = made.auditors
    other.close()
    made.buys(1, ignore=[shunned])
    made.buys(3)
    made.draws(0, 2, 3)
    made.findings(1)
    (dossier,) = shunned.shown
    assert [one.receipt.message.sequence for one in dossier.samples] == [2, 3]


def test_what_is_kept_from_judges_alone_is_shown_to_auditors(market: Any) -> None:
    """Each says what its name says, and no more."""
    made = market()
    made.buys(2, tallystick={"duel": False})
    made.draws(0, 1)
    made.findings(1)


@pytest.mark.parametrize("wish", ["duel", "audit"])
def test_a_private_request_that_is_to_be_shown_contradicts_itself(market: Any, wish: str) -> None:
    body = chat_body(tallystick={"private": True, wish: True})
    reply = market().client.post(URL, json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "malformed-request")


def test_only_who_pays_for_audits_has_them(world: World) -> None:
    world.provider()
    client = httpx2.Client(transport=world.transport())
    refused = client.post(URL, json=chat_body(tallystick={"audit": True}))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "malformed-request")
    assert client.post(URL, json=chat_body(tallystick={"audit": False})).status_code == 200


# ------------------------------------------------------------------------------------------ what callers see


@pytest.mark.parametrize("stream", [False, True])
def test_who_did_not_ask_for_log_probabilities_sees_none(market: Any, stream: bool) -> None:
    made = market()
    body = chat_body("some words", stream=stream)
    reply = made.client.post(URL, json=body)
    assert '"logprob"' not in reply.text
    if not stream:
        assert reply.json()["choices"][0]["logprobs"] is None


def test_who_asked_for_them_sees_them(market: Any) -> None:
    (answer,) = market().buys(1, logprobs=True)
    assert answer["choices"][0]["logprobs"]["content"]


def test_a_seed_of_the_caller_s_is_kept(market: Any) -> None:
    made = market()
    made.buys(2, seed=7, temperature=1)
    made.draws(0, 1)
    made.findings(1)
    (dossier,) = [shown for auditor in made.auditors for shown in auditor.shown]
    assert [one.fields["seed"] for one in dossier.samples] == [7, 7]


def test_nothing_is_added_where_it_is_turned_off(market: Any) -> None:
    made = market(logprobs=False)
    made.buys(2, temperature=0)
    made.draws(0, 1)
    made.findings(1)
    (dossier,) = [shown for auditor in made.auditors for shown in auditor.shown]
    assert not any("logprobs" in one.fields or "seed" in one.fields for one in dossier.samples)


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_takes_no_log_probabilities_answers_all_the_same(world: World, stream: bool) -> None:
    """And is audited by what it does say."""

    class Plain(Scoring):
        def handled(self, handler: Any, path: str, raw: bytes) -> bool:
            if b'"logprobs"' not in raw:
                return False
            handler._json(400, {"error": {"message": "logprobs?", "type": "BadRequestError", "code": 400}})
            return True

    seller = world.provider(Plain)
    session = world.session(audits=Audits(budget=10**8), block_at=lambda _: None)
    with httpx2.Client(transport=Transport(session)) as client:
        reply = client.post(URL, json=chat_body("some words", stream=stream))
        assert reply.status_code == 200, reply.text
        assert "some" in reply.text
        assert session.auditing is not None
        assert (seller.worked, len(session.auditing.samples)) == (1, 1)


# ---------------------------------------------------------------------------------------- auditors that cheat


@pytest.mark.parametrize("false", ["provider", "receipt_hash", "receipts_root", "auditor", "verdict"])
def test_a_finding_of_something_else_is_none(market: Any, false: str) -> None:
    made = market()
    lies = {"provider": bytes(20), "auditor": bytes(20), "verdict": 7}
    for auditor in made.auditors:
        honest = auditor.found
        auditor.found = lambda dossier, hashes, honest=honest: replace(
            honest(dossier, hashes), **{false: lies.get(false, bytes(32))}
        )
    made.buys()
    made.draws(1, 4)
    made.world.until(lambda: all(auditor.shown for auditor in made.auditors))
    made.world.until(lambda: made.session.purse.spending()[1] == 0)
    time.sleep(0.1)
    assert made.session.purse.findings.all() == []
    assert made.session.purse.findings.cost() > 0  # It was paid all the same: the answer came.


def test_a_finding_that_another_key_signed_is_none(market: Any) -> None:
    made = market()
    for auditor in made.auditors:
        auditor.auditing_key = Key(b"\6" * 32)
    made.buys()
    made.draws(1, 4)
    made.world.until(lambda: all(auditor.shown for auditor in made.auditors))
    time.sleep(0.1)
    assert made.session.purse.findings.all() == []


def test_where_one_is_away_another_is_asked(market: Any) -> None:
    made = market()
    made.buys()
    made.auditors[0].close()
    made.draws(1, 4)
    (found,) = made.findings(1)
    assert found.finding.message.auditor == made.auditors[1].key.address


LIMITS = [{"credit": 1}, {"context": 3}, {"credit": 50_000}, {"price": 50_000_000, "credit": 10**9}]
"""By which an auditor takes less, or nothing: an audit of four answers here is more than a quarter of such a
credit, or much dearer than one at the audited provider's price."""


@pytest.mark.parametrize("limits", LIMITS)
def test_an_auditor_that_takes_little_leaves_the_others_all_of_it(world: World, limits: Any) -> None:
    """What it takes at a time is its own choice: any provider could wipe out what was drawn."""
    made = Market(world, answers=4)
    small = [world.provider(Auditor, **limits) for _ in range(3)]
    addresses = {one.key.address for one in small}
    world.chain.posted[:] = [
        replace(posted, stake=replace(posted.stake, staked=Atoms(10**30)))
        if posted.offer.provider in addresses
        else posted
        for posted in world.chain.posted
    ]
    made.buys(8)
    made.draws(1, 2, 4, 7)
    made.findings(1)
    (dossier,) = [shown for auditor in made.auditors for shown in auditor.shown]
    assert [one.receipt.message.sequence for one in dossier.samples] == [1, 2, 4, 7]
    assert not any(one.shown for one in small)


class Narrow(Auditor):
    """Takes two answers at a time: of more it says that they are too many, or nothing until `late`."""

    most = 2
    late: Event | None = None

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        if path != AUDIT_PATH or len(json.loads(raw)["dossier"]["samples"]) <= self.most:
            return False
        if self.late is not None:
            self.late.wait(60)
        handler._json(413, {"error": {"message": "Too large.", "type": "proxy", "code": "413"}})
        return True


def test_what_is_too_large_for_an_auditor_is_halved_once(market: Any) -> None:
    """A gateway may stand behind something that reads less than it."""
    made = market(Narrow, answers=4)
    made.buys()
    made.draws(0, 1, 3, 5)
    made.findings(1)
    (shown,) = [shown for auditor in made.auditors for shown in auditor.shown]
    assert [one.receipt.message.sequence for one in shown.samples] == [3, 5]
    assert sum(auditor.seen[AUDIT_PATH] for auditor in made.auditors) == 2


def test_what_is_too_large_for_it_halved_too_is_shown_to_another(market: Any) -> None:
    """Of all that it takes, not of what the first one left."""
    made = market(Narrow, answers=4)
    made.buys()
    for auditor in made.auditors:
        auditor.most = 1
    made.draws(0, 1, 3, 5)
    made.world.until(lambda: [auditor.seen[AUDIT_PATH] for auditor in made.auditors] == [2, 2])
    assert not any(auditor.shown for auditor in made.auditors)


def test_an_auditor_that_is_not_done_in_time_is_shown_half(
    market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = market(Narrow, answers=4)
    made.buys()
    ask_auditor, late = auditing.ask_auditor, Event()

    def asks(payer: Any, dossier: Dossier, *rest: Any) -> Any:
        read_s = 300.0 if len(dossier.samples) <= Narrow.most else 0.3
        timeout = {"connect": 60.0, "read": read_s, "write": 60.0, "pool": 60.0}
        monkeypatch.setattr("tallystick.client.auditors._TIMEOUT", timeout)
        return ask_auditor(payer, dossier, *rest)

    monkeypatch.setattr(auditing, "ask_auditor", asks)
    monkeypatch.setattr(Narrow, "late", late)
    made.draws(0, 1, 3, 5)
    made.findings(1)
    late.set()
    (shown,) = [shown for auditor in made.auditors for shown in auditor.shown]
    assert [one.receipt.message.sequence for one in shown.samples] == [3, 5]


def test_a_provider_that_dates_its_receipts_back_has_them_left_out(market: Any) -> None:
    """It would know the block that draws them."""
    made = market()
    honest = made.seller.told
    made.seller.told = lambda receipt: [made.seller.signed(replace(receipt, finished_at=Milliseconds(5)))]
    made.buys(3)
    made.seller.told = honest
    made.buys(4)
    made.draws(1, 4, 6)
    made.findings(1)
    (dossier,) = [shown for auditor in made.auditors for shown in auditor.shown]
    assert dossier.receipts[0].message.sequence == 3


def test_what_is_dated_ahead_keeps_no_audit_away(market: Any) -> None:
    """Its block never comes, as far as anybody can wait: not even where it is of a request that is shown to
    nobody."""
    made = market()
    made.seller.ahead_ms = 3_600_000
    made.buys(1, tallystick={"private": True})
    made.seller.ahead_ms = 0
    made.buys(4)
    made.newest = int(time.time()) + 600
    made.draws(1, 3)
    made.findings(1)
    (dossier,) = [shown for auditor in made.auditors for shown in auditor.shown]
    assert [one.message.sequence for one in dossier.receipts] == [1, 2, 3]


def test_receipts_that_wait_for_a_block_are_not_read_at_every_look(market: Any) -> None:
    """One of them may be dated after those that were drawn, by a clock that is a little off."""
    made = market()
    made.seller.ahead_ms = 10_000
    made.buys(1)
    made.newest = int(time.time()) + 30 + 5
    made.seller.ahead_ms = 0
    made.buys(4)
    made.draws(1, 3)
    made.world.until(lambda: made.reads)
    time.sleep(0.3)
    assert (made.reads, made.session.purse.findings.cost()) == (1, 0)
    made.newest += 60
    made.findings(1)
    assert made.reads <= 4


def test_a_thread_that_could_not_be_started_is_started_later(
    market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = market()
    start = Thread.start

    def there_are_too_many(thread: Thread) -> None:
        if thread.name == "tallystick-audits":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", there_are_too_many)
        made.buys(3)
    made.buys(3)
    made.draws(1, 4)
    made.findings(1)


# ------------------------------------------------------------------------------------------------- the purse


def test_findings_outlive_the_process_and_what_was_shown_is_sealed(market: Any) -> None:
    made = market()
    for auditor in made.auditors:
        auditor.verdict = Verdict.STRIKE
    made.buys()
    made.draws(1, 4)
    found = made.findings(2)
    made.session.close()

    files = b"".join(path.read_bytes() for path in made.world.home.rglob("purse.db*"))
    assert b'"messages"' not in files
    again = made.world.session().purse.findings
    assert again.all() == found
    assert again.shown(found[0].number).provider == made.seller.key.address


def test_no_caller_waits_for_the_purse_while_receipts_are_read(
    market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = market()
    made.buys(3)
    purse, waited = made.session.purse, []

    def read(text: str) -> Signed[Receipt]:
        caller = Thread(target=purse.spending)
        caller.start()
        caller.join(5)
        waited.append(caller.is_alive())
        return receipt_of(text)

    monkeypatch.setattr(findings, "receipt_of", read)
    channel_id = made.receipts[0].channel_id
    assert len(purse.findings.stretch(channel_id, 1, 2)) == 2
    assert waited == [False, False]


def test_the_offers_of_a_stretch_are_those_of_its_receipts_alone(market: Any) -> None:
    made = market()
    made.buys(2)
    (first,) = made.world.chain.posted[:1]
    channel_id = made.receipts[0].channel_id
    offers = made.session.purse.findings.offers
    assert offers(channel_id, 0, 1) == [first.offer]
    assert offers(channel_id, 2, 9) == []


def test_an_audit_under_way_as_its_process_dies_stays_counted_at_its_most(market: Any) -> None:
    """Saved before anything of it is signed."""
    made = market()
    for auditor in made.auditors:
        auditor.hold.clear()
    made.buys()
    made.draws(1, 4)
    made.world.until(lambda: any(auditor.seen[AUDIT_PATH] for auditor in made.auditors))
    cost = made.session.purse.findings.cost()
    assert cost > 0
    again = made.world.session().purse.findings
    assert again.cost() == cost
    for auditor in made.auditors:
        auditor.hold.set()


def test_a_wish_says_what_it_cannot_be() -> None:
    for wrong in ({"budget": -1}, {"budget": 1, "answers": 0}, {"budget": 1, "opinions": 0}):
        with pytest.raises(ValueError, match="audit"):
            Audits(**wrong)
    with pytest.raises(TypeError):
        Audits(budget=1.5)  # type: ignore[arg-type]


def test_the_next_audit_waits_for_as_many_again() -> None:
    wanted = Audits(budget=1)
    assert [wanted.is_due(fresh, 0) for fresh in (3, 4)] == [False, True]
    assert [wanted.is_due(fresh, 10) for fresh in (9, 10)] == [False, True]
    assert [wanted.is_due(fresh, 64) for fresh in (31, 32)] == [False, True]
