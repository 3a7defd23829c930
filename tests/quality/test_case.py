"""A case proves itself: what a judge signs for is the request, the answers and the receipts that it saw."""

import json
from dataclasses import replace

import pytest

from tallystick.protocol.case import Case, checked
from tallystick.protocol.errors import ExhibitMismatch, MalformedMessage, MalformedSignature, Unjudgeable
from tallystick.protocol.receipt import Finish
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Hash32
from tallystick.protocol.vote import Choice, appeal_id
from tests.quality.making import BODY, DOMAIN, FIRST, SECOND, case, exhibit, streamed

SALT = Hash32(b"\7" * 32)


def test_an_honest_case_is_read_back_and_says_who_signed() -> None:
    shown = Case.from_json(json.loads(json.dumps(case().to_json())))
    found = checked(shown, DOMAIN)

    assert shown == case()
    assert found.signers == (FIRST.address, SECOND.address)
    assert (found.question, found.answers) == ("Why?", ("Because.", "So."))


def test_a_ballot_speaks_of_the_receipts_of_the_case() -> None:
    shown = case()
    ballot = checked(shown, DOMAIN).ballot(FIRST.address, Choice.TIE, SALT)

    assert ballot.first_response_hash == shown.first.receipt.message.response_hash
    assert ballot.second_response_hash == shown.second.receipt.message.response_hash
    assert (ballot.duel, ballot.body_hash, ballot.choice) == (shown.duel, shown.body_hash, 3)
    assert ballot.commitment.ballot_hash == ballot.struct_hash()


def test_whatever_differs_is_another_duel() -> None:
    one = case()
    others = [
        case(second=streamed("So.", "")),
        case(challenger=FIRST.address),
        case(hidden=Hash32(b"\1" * 32)),
        case(first=streamed("So."), second=streamed("Be", "cause.")),
        case(appeal=True),
    ]
    assert len({one.duel, *(other.duel for other in others)}) == 6
    assert case(appeal=True).duel == appeal_id(one.duel)


def test_bytes_that_are_no_text_keep_no_answer_from_being_judged() -> None:
    """A provider could put them where no program looks."""
    said = streamed("So.")
    shown = replace(case(), second=exhibit(SECOND, (b'{"x":"\xff"}', *said)))
    assert Case.from_json(json.loads(json.dumps(shown.to_json()))) == shown
    assert checked(shown, DOMAIN).answers == ("Because.", "So.")


@pytest.mark.parametrize(
    "payload", [None, 1, [], {}, {"bytes": 1}, {"bytes": "ff"}, {"bytes": "0xf"}, "\ud800"]
)
def test_what_is_no_payload_is_said_to_be_none(payload: object) -> None:
    shown = case().to_json()
    shown["first"]["payloads"][0] = payload
    with pytest.raises(MalformedMessage):
        Case.from_json(shown)


@pytest.mark.parametrize("finish", [Finish.LENGTH, Finish.TOOL_CALLS, Finish.CONTENT_FILTER, Finish.OTHER])
def test_no_name_of_an_end_keeps_an_answer_from_being_judged(finish: Finish) -> None:
    """Each is a word of its provider's alone."""
    shown = replace(case(), second=exhibit(SECOND, streamed("So."), finish=finish))
    assert checked(shown, DOMAIN).answers == ("Because.", "So.")


@pytest.mark.parametrize(
    "doctored",
    [
        case(body=BODY + b" "),
        replace(case(), first=replace(exhibit(FIRST, streamed("So.")), payloads=streamed("So!"))),
        replace(case(), first=replace(exhibit(FIRST, streamed("So.")), offer=case().second.offer)),
        replace(case(), second=exhibit(SECOND, streamed("So."), finish=Finish.CANCELLED)),
        replace(case(), second=exhibit(SECOND, streamed("So."), finish=Finish.INTERIM)),
        replace(case(), second=exhibit(FIRST, streamed("So."))),
    ],
)
def test_a_doctored_case_is_refused(doctored: Case) -> None:
    with pytest.raises(ExhibitMismatch):
        checked(doctored, DOMAIN)


def test_a_receipt_that_nobody_signed_is_refused() -> None:
    first = exhibit(FIRST, streamed("So."))
    with pytest.raises(MalformedSignature):
        checked(
            replace(case(), first=replace(first, receipt=Signed(first.receipt.message, bytes(65)))), DOMAIN
        )


def test_what_is_no_text_is_refused() -> None:
    body = json.dumps({"model": "m", "prompt": [1]}).encode()
    answers = [exhibit(key, streamed("So."), body=body) for key in (FIRST, SECOND)]
    with pytest.raises(Unjudgeable):
        checked(replace(case(), body=body, first=answers[0], second=answers[1]), DOMAIN)
    with pytest.raises(Unjudgeable):
        checked(case(second=streamed("")), DOMAIN)


@pytest.mark.parametrize("name", ["challenger", "body", "first", "second", "hidden"])
@pytest.mark.parametrize("value", [None, 1, [], {}, "\ud800"])
def test_what_is_no_case_is_said_to_be_none(name: str, value: object) -> None:
    with pytest.raises(MalformedMessage):
        Case.from_json(case().to_json() | {name: value})
