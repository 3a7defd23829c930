"""Each bad receipt fails at the step that it is bad at, and a good one at none."""

import json
from pathlib import Path

import pytest

from tallystick.protocol.audit import Verdict, checked, verdict
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.facts import facts_from_json, facts_to_json

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "audit.json").read_text(encoding="utf-8"))
FACTS = [facts_from_json(item) for item in VECTORS["facts"]]
CASES = {case["name"]: case for case in VECTORS["cases"]}

FIRST_TO_FAIL = {
    "nothing is known of it": "price",
    "forged by a stranger": "signature",
    "a signature of zeros": "signature",
    "a signature of nothing": "signature",
    "a signature of high s": "signature",
    "by the key of another provider": "signature",
    "overcharged by an atom": "price",
    "an atom too cheap": "price",
    "overcharged absurdly": "price",
    "more cached than there was": "price",
    "outputTokens altered": "signature",
    "cost altered": "signature",
    "cumulativeCost altered": "signature",
    "sequence altered": "signature",
    "receivedAt altered": "signature",
    "a proof that is off by a digit": "inclusion",
    "no proof at all": "inclusion",
    "another channel's proof": "inclusion",
    "settled under another root": "settlement",
    "not among those acknowledged": "place",
    "a stranger's voucher": "settlement",
    "a voucher for an atom less": "settlement",
    "a voucher that nobody signed": "settlement",
    "another chain": "market",
    "another market": "market",
    "an offer never posted": "price",
    "the offer of another provider": "price",
    "a sum below its cost": "place",
    "a first receipt with another sum": "place",
    "received a minute after": "offer",
    "withdrawn before the request": "offer",
}


def steps_of(case):
    return checked(case["document"], FACTS[case["facts"]])


def group(name):
    return [case for case in CASES.values() if case["group"] == name]


def named(case):
    return case["name"]


def test_every_bad_case_is_named_here():
    failing = {
        case["name"] for case in CASES.values() if not all(s["holds"] is not False for s in case["steps"])
    }

    assert failing == set(FIRST_TO_FAIL) | {case["name"] for case in group("formless")}


@pytest.mark.parametrize("case", CASES.values(), ids=named)
def test_the_steps_are_those_of_the_vectors(case):
    assert [step.to_json() for step in steps_of(case)] == case["steps"]


@pytest.mark.parametrize("case", group("good"), ids=named)
def test_a_good_receipt_was_paid(case):
    assert verdict(steps_of(case)) is Verdict.PAID


@pytest.mark.parametrize("case", group("not paid"), ids=named)
def test_one_that_is_not_paid_is_not_bad(case):
    assert verdict(steps_of(case)) is Verdict.UNPAID


@pytest.mark.parametrize("name", FIRST_TO_FAIL)
def test_a_bad_one_fails_where_it_is_bad(name):
    steps = steps_of(CASES[name])

    assert verdict(steps) is Verdict.BAD
    assert next(step.name for step in steps if step.holds is False) == FIRST_TO_FAIL[name]


@pytest.mark.parametrize("case", group("formless"), ids=named)
def test_of_what_is_no_document_nothing_else_is_said(case):
    (step,) = steps_of(case)

    assert (step.name, step.holds) == ("format", False)
    assert step.reason


def test_the_paying_transaction_is_the_first_that_paid_so_much():
    first, later = CASES["paid by the first, shown under the second"], CASES["paid by the second settlement"]
    settlements = VECTORS["facts"][first["facts"]]["settlements"]

    paid_in = [steps_of(case)[-1].inputs["paidIn"] for case in (first, later)]

    assert paid_in == [item["transactionHash"] for item in settlements]


@pytest.mark.parametrize("facts", VECTORS["facts"])
def test_facts_are_read_as_they_were_written(facts):
    assert facts_to_json(facts_from_json(facts)) == facts


@pytest.mark.parametrize(
    "broken",
    [None, [], {}, {"offers": 1}, {"offers": [1]}, {"offers": [], "receiptKeys": [], "settlements": [{}]}],
)
def test_what_are_no_facts_is_refused(broken):
    with pytest.raises(MalformedMessage):
        facts_from_json(VECTORS["facts"][0] | broken if isinstance(broken, dict) and broken else broken)
