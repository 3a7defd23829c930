"""What an auditor is shown: an unbroken stretch of receipts, all that was drawn of it, and nothing else."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from tallystick.client.auditors import as_much_as_fits
from tallystick.protocol.dossier import RECEIPTS, Dossier, drawn, signers
from tallystick.protocol.errors import (
    DossierMismatch,
    DrawPending,
    MalformedMessage,
    MalformedSignature,
    ReceiptMismatch,
)
from tallystick.protocol.examining import Examined, Opinion
from tallystick.protocol.finding import Verdict
from tallystick.protocol.receipt import Finish
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_HASH
from tests.audits.drawing import always, drawing
from tests.audits.showing import (
    DOMAIN,
    END,
    OFFER,
    PROVIDER,
    SCALES,
    body,
    prefill_reply,
    replay_reply,
    sample,
)

IDS = [10, 11, END]


def answers(count: int = 8, start: int = 0, **changes: Any) -> list[Sample]:
    return [sample(IDS, sequence=start + number, **changes) for number in range(count)]


def dossier(all_: list[Sample], *shown: int, **more: Any) -> Dossier:
    """Of all of these receipts, with the answers of those sequences."""
    receipts = tuple(one.receipt for one in all_)
    samples = tuple(one for one in all_ if one.receipt.message.sequence in shown)
    return Dossier(receipts=receipts, samples=samples, **more)


def block_of(shown: Dossier, *wanted: int) -> Any:
    return always(drawing([signed.message for signed in shown.receipts], wanted))


def test_all_that_was_drawn_is_shown() -> None:
    shown = dossier(answers(), 2, 7)
    found = drawn(shown, block_of(shown, 2, 7))

    assert signers(shown, DOMAIN) == {PROVIDER.address}
    assert (found.samples, found.withheld) == (shown.samples, 0)


def test_its_later_half_holds_together_too() -> None:
    half = dossier(answers(), 1, 3, 6, 7).later_half()
    assert half is not None
    assert [signed.message.sequence for signed in half.receipts] == [4, 5, 6, 7]
    assert [one.receipt.message.sequence for one in half.samples] == [6, 7]
    assert signers(half, DOMAIN) == {PROVIDER.address}
    assert dossier(answers(), 7).later_half() is None


def test_no_more_is_shown_than_an_auditor_answers_in_time() -> None:
    """The newest of long answers, and one at least, if a gateway reads so much."""
    long = [sample([10] * 6_000, sequence=number) for number in range(8)]
    shown = as_much_as_fits(dossier(long, 1, 3, 5, 7))
    assert shown is not None
    assert [one.receipt.message.sequence for one in shown.samples] == [5, 7]

    endless = [sample([10] * 60_000)]
    assert as_much_as_fits(dossier(endless, 0)) == dossier(endless, 0)
    wordy = [sample(IDS, asked=body(messages="word " * 700_000))]
    assert as_much_as_fits(dossier(wordy, 0)) is None


def test_it_reads_as_it_was_written() -> None:
    other = replace(OFFER, model="another")
    shown = dossier(answers(), 2, 7, others=(other,))
    assert Dossier.from_json(orjson.loads(orjson.dumps(shown.to_json()))) == shown


def test_what_was_drawn_and_is_not_shown_is_counted() -> None:
    shown = dossier(answers(), 7)
    assert drawn(shown, block_of(shown, 2, 5, 7)).withheld == 2


def test_what_was_not_drawn_cannot_be_shown() -> None:
    shown = dossier(answers(), 2, 7)
    with pytest.raises(DossierMismatch):
        drawn(shown, block_of(shown, 7))


def test_an_answer_to_a_picture_is_shown_and_not_audited() -> None:
    asked = body(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])
    all_ = answers()
    all_[2] = sample(IDS, sequence=2, asked=asked)
    shown = dossier(all_, 2, 7)
    found = drawn(shown, block_of(shown, 2, 7))
    assert (found.samples, found.withheld) == ((all_[7],), 0)


def test_what_cannot_be_audited_need_not_be_shown() -> None:
    """A part of an answer, one that broke off, one without ids, one of another model."""
    other = replace(OFFER, model="another")
    all_ = [
        sample(IDS, sequence=0, finish=Finish.INTERIM),
        sample(IDS, sequence=1, finish=Finish.CANCELLED),
        sample(IDS, sequence=2, tokens_hash=ZERO_HASH),
        sample(IDS, sequence=3, offer_hash=other.struct_hash()),
        sample(IDS, sequence=4),
    ]
    shown = dossier(all_, 4, others=(other,))
    assert drawn(shown, block_of(shown, 0, 1, 2, 3, 4)).withheld == 0
    same = replace(shown, others=(replace(OFFER, sequence=9),))
    assert drawn(same, block_of(same, 0, 1, 2, 3, 4)).withheld == 1


def test_a_request_for_several_answers_is_shown_and_not_examined() -> None:
    all_ = [sample(IDS, sequence=0, asked=body(n=2)), sample(IDS, sequence=1)]
    shown = dossier(all_, 0, 1)
    found = drawn(shown, block_of(shown, 0, 1))
    assert (found.samples, found.withheld) == (tuple(all_[1:]), 0)


def test_before_its_block_nobody_can_tell() -> None:
    with pytest.raises(DrawPending):
        drawn(dossier(answers(), 7), always(None))


# ----------------------------------------------------------------------------------------- what is no dossier


def broken() -> dict[str, Dossier]:
    all_ = answers()
    whole = dossier(all_, 2, 7)
    elsewhere = sample(IDS, sequence=3, channel_id=bytes(32))
    another = sample(IDS, sequence=2, input_tokens=99)
    return {
        "a gap": replace(whole, receipts=whole.receipts[:3] + whole.receipts[4:]),
        "another channel's": replace(
            whole, receipts=(*whole.receipts[:3], elsewhere.receipt, *whole.receipts[4:])
        ),
        "not the last": dossier(all_, 2),
        "of another receipt": replace(whole, samples=(another, whole.samples[1])),
        "twice": replace(whole, samples=(whole.samples[0], *whole.samples)),
        "out of order": replace(whole, samples=whole.samples[::-1]),
    }


@pytest.mark.parametrize("name", broken())
def test_what_does_not_hold_together_is_refused(name: str) -> None:
    with pytest.raises(DossierMismatch):
        signers(broken()[name], DOMAIN)


def test_doctored_answers_are_refused() -> None:
    whole = dossier(answers(), 2, 7)
    doctored = replace(whole.samples[0], ids=(10, 12, END))
    with pytest.raises(ReceiptMismatch):
        signers(replace(whole, samples=(doctored, whole.samples[1])), DOMAIN)


def test_whoever_signed_is_named_and_nobody_is_refused() -> None:
    all_ = answers()
    forged = sign(all_[0].receipt.message, DOMAIN, Key(b"\7" * 32)).signed
    shown = replace(dossier(all_, 7), receipts=(forged, *dossier(all_, 7).receipts[1:]))
    assert len(signers(shown, DOMAIN)) == 2
    unsigned = replace(forged, signature=bytes(65))
    with pytest.raises(MalformedSignature):
        signers(replace(shown, receipts=(unsigned, *shown.receipts[1:])), DOMAIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"receipts": []},
        {"samples": []},
        {"samples": 1},
        {"others": None},
        {"receipts": [{}]},
        {"others": [1]},
    ],
)
def test_what_is_none_is_not_read(changes: dict[str, Any]) -> None:
    data = dossier(answers(), 7).to_json() | changes
    with pytest.raises(MalformedMessage):
        Dossier.from_json(data)


def test_it_is_bounded() -> None:
    data = dossier(answers(), 7).to_json()
    with pytest.raises(MalformedMessage):
        Dossier.from_json(data | {"receipts": data["receipts"] * RECEIPTS})


# ---------------------------------------------------------------------------------- who withholds pays for it


def test_a_strike_needs_more_where_others_were_drawn_and_are_not_shown() -> None:
    """By the logarithm of the choices that whoever shows them had."""
    ids = [10, 11, 12, END]
    wrong = Examined.of(sample(ids), replay=replay_reply(ids), prefill=prefill_reply(ids, (2.0,) * 4))
    verdicts = []
    for withheld in (0, 1, 40):
        opinion = Opinion(scales=SCALES, withheld=withheld)
        opinion = opinion.after(wrong)
        verdicts.append((opinion.verdict, opinion.surcharge))

    assert verdicts[0] == (Verdict.STRIKE, 0)
    assert verdicts[1] == (Verdict.STRIKE, 2_079_442)  # ln 2 choices, ln 4 of how many
    assert verdicts[2][0] is Verdict.ALARM
