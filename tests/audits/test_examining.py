"""What an auditor says of answers, engines' replies being given."""

from collections.abc import Sequence

import orjson
import pytest

from tallystick.protocol.errors import MalformedMessage, ReceiptMismatch, WrongSigner
from tallystick.protocol.evidence import Scales
from tallystick.protocol.examining import Examined, Opinion, finding
from tallystick.protocol.finding import Check, Verdict
from tallystick.protocol.merkle import root
from tallystick.protocol.prefill import prefill_body, replay_body
from tallystick.protocol.receipt import Finish
from tallystick.protocol.sample import Sample, sample_from_json, sample_to_json
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Milliseconds
from tests.audits.showing import (
    DOMAIN,
    END,
    OFFER,
    PROMPT,
    PROVIDER,
    SCALES,
    body,
    prefill_reply,
    replay_reply,
    sample,
)

IDS = [10, 11, 12, END]
SAMPLED = body(temperature=1, seed=7)


def examined(shown: Sample, behind: Sequence[float] = (0, 0, 0, 0), again: Sequence[int] = IDS) -> Examined:
    return Examined.of(shown, replay=replay_reply(again), prefill=prefill_reply(shown.ids, behind))


def opinion(*found: Examined, scales: Scales = SCALES) -> Opinion:
    said = Opinion(scales=scales)
    for one in found:
        said = said.after(one)
    return said


def test_what_the_model_says_is_clear() -> None:
    said = opinion(*[examined(sample(IDS)) for _ in range(100)])

    assert (said.verdict, said.strongest, said.tokens) == (Verdict.CLEAR, Check.RANK, 400)
    assert said.evidence[Check.RANK].highest == 0


def test_tokens_that_the_model_would_not_say_are_struck_once_there_are_enough() -> None:
    wrong = examined(sample(IDS), behind=(0, 2.5, 0.5, 0))

    assert opinion(wrong).verdict is Verdict.ALARM
    assert opinion(wrong, wrong).verdict is Verdict.STRIKE


def test_close_calls_are_no_evidence() -> None:
    close = examined(sample(IDS), behind=(0.001, 0.004, 0.009, 0))

    assert opinion(*[close] * 100).verdict is Verdict.CLEAR


def test_an_answer_that_is_cut_and_closed_ends_where_the_model_would_not() -> None:
    """Its end is a token like the others."""
    cut = examined(sample([10, END]), behind=(0, 6.0))

    assert opinion(cut, cut, cut).verdict is Verdict.STRIKE
    assert opinion(cut).strongest is Check.RANK


def test_an_answer_that_stops_without_an_end_is_struck_by_its_own_receipt() -> None:
    said = opinion(examined(sample([10, 11, 12, 13])))

    assert (said.verdict, said.strongest) == (Verdict.STRIKE, Check.COUNTS)
    assert said.miscounted == "it stops where no token ends it"


@pytest.mark.parametrize(
    ("asked", "finish", "miscounted"),
    [
        (body(max_tokens=4), Finish.LENGTH, False),
        (body(max_tokens=5), Finish.LENGTH, True),
        (body(max_tokens=9_999), Finish.LENGTH, True),
        (body(max_tokens=9_999), Finish.CANCELLED, False),
        (body(stop=["x"]), Finish.STOP, False),
        (body(tools=[{}]), Finish.STOP, False),
    ],
)
def test_ends_are_judged_by_what_was_asked(asked: bytes, finish: Finish, miscounted: bool) -> None:
    said = opinion(examined(sample([10, 11, 12, 13], asked=asked, finish=finish)))

    assert (said.miscounted is not None) is miscounted


def test_a_full_context_ends_an_answer() -> None:
    ids = [10] * (OFFER.context_length - len(PROMPT))
    full = sample(ids, asked=body(max_tokens=None), finish=Finish.LENGTH)

    assert opinion(examined(full, behind=[0] * len(ids))).miscounted is None


def test_more_tokens_billed_than_came_are_struck() -> None:
    assert opinion(examined(sample(IDS, output_tokens=5))).strongest is Check.COUNTS


def test_more_input_billed_than_the_prompt_has_is_an_alarm() -> None:
    assert opinion(examined(sample(IDS, input_tokens=len(PROMPT) + 1))).verdict is Verdict.ALARM
    assert opinion(examined(sample(IDS, input_tokens=0))).verdict is Verdict.CLEAR


def test_a_sampled_answer_is_asked_for_again() -> None:
    same = examined(sample(IDS, asked=SAMPLED), behind=(3, 3, 3, 3))
    other = examined(sample(IDS, asked=SAMPLED), again=[10, 77, 78, 79])

    assert same.distances() == {Check.REPLAY: [0, 0, 0, 0]}
    assert other.distances() == {Check.REPLAY: [0, 1]}
    assert opinion(other, other).verdict is Verdict.STRIKE


def test_an_auditor_of_another_sampler_repeats_nothing() -> None:
    other = examined(sample(IDS, asked=SAMPLED), again=[70])

    assert opinion(*[other] * 20, scales=SCALES.for_sampler("there")).verdict is not Verdict.STRIKE
    assert SCALES.for_sampler("here") is SCALES


def test_log_probabilities_that_are_not_the_models_tell_a_rounded_copy() -> None:
    honest = examined(sample(IDS, [-0.1005, -0.1, -0.0995, -0.1]))
    rounded = examined(sample(IDS, [-0.11, -0.08, -0.13, -0.1]))

    assert honest.distances()[Check.LOGPROB] == [500, 0, 500, 0]
    assert opinion(*[honest] * 50).verdict is Verdict.CLEAR
    assert opinion(rounded).verdict is Verdict.ALARM
    assert opinion(rounded, rounded).verdict is Verdict.STRIKE


def test_unlikely_answers_alone_are_an_alarm() -> None:
    """A cheat may choose its temperature, and a prompt be odd: likelihood proves nothing."""
    odd = examined(sample(IDS, asked=SAMPLED), behind=(9, 9, 9, 9))

    assert opinion(*[odd] * 50).verdict is Verdict.ALARM


@pytest.mark.parametrize(
    "asked",
    [
        body(temperature=0.7),
        body(logit_bias={"7": 5}),
        body(repetition_penalty=1.1),
        body(structured_outputs={"choice": ["a"]}),
        body(tools=[{}]),
    ],
)
def test_a_request_that_bends_the_models_word_is_not_ranked(asked: bytes) -> None:
    assert Check.RANK not in examined(sample(IDS, asked=asked)).distances()


@pytest.mark.parametrize("bent", [{"repetition_penalty": 1.1}, {"tools": [{}]}, {"response_format": {}}])
def test_nor_are_its_log_probabilities_compared(bent: dict[str, object]) -> None:
    """They may be those of the bent distribution, of an honest provider."""
    asked = body(temperature=1, seed=7, **bent)
    shown = examined(sample(IDS, [-3.0] * 4, asked=asked), behind=(9, 9, 9, 9))

    assert shown.distances() == {Check.REPLAY: [0, 0, 0, 0]}
    assert opinion(*[shown] * 50).verdict is Verdict.CLEAR


def test_what_is_asked_of_the_engine() -> None:
    """An answer is had again where it is held against that: at temperature zero the prefill is enough."""
    seeded, free = (sample(IDS, asked=body(temperature=1, stream=True, **more)) for more in ({"seed": 7}, {}))
    again, once, greedy = (
        orjson.loads(replay_body(one, "engine-name")) for one in (seeded, free, sample(IDS))
    )

    assert (again["model"], again["max_tokens"], again["return_token_ids"]) == ("engine-name", 4, True)
    assert (once["max_tokens"], greedy["max_tokens"]) == (1, 1)
    assert not {"stream", "logprobs"} & once.keys()
    prefill = orjson.loads(prefill_body(PROMPT, IDS, "engine-name"))
    assert prefill["prompt"] == PROMPT + IDS
    assert (prefill["max_tokens"], prefill["prompt_logprobs"]) == (1, 1)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": [{"prompt_logprobs": [null]}]}',
        b'{"choices": [{"prompt_logprobs": [null, {}, {}, {}, {}, {}, {}]}]}',
        b'{"choices": [{"prompt_logprobs": [null, 1, 2, {"10": 3}, {"11": {}}, {"12": {"logprob": "x"}}]}]}',
    ],
)
def test_an_engine_that_says_something_else_is_no_evidence(reply: bytes) -> None:
    with pytest.raises(MalformedMessage):
        Examined.of(sample(IDS), replay=replay_reply(IDS), prefill=reply)
    with pytest.raises(MalformedMessage):
        Examined.of(sample(IDS), replay=reply, prefill=prefill_reply(IDS, [0] * 4))


# ------------------------------------------------------------------------------------------- what is bound


def test_a_sample_shows_what_its_receipt_binds() -> None:
    shown = sample(IDS, [-1.0] * 4)
    again = sample_from_json(orjson.loads(orjson.dumps(sample_to_json(shown))))

    assert again == shown
    assert again.require_bound(DOMAIN, PROVIDER.address).message == shown.receipt.message


@pytest.mark.parametrize(
    "changes",
    [
        {"body": body(max_tokens=9).decode()},
        {"ids": [10, 11, 12, 13]},
        {"ids": IDS[:3], "logprobs": [-1.0] * 3},
        {"logprobs": [-1.0, -1.0, -1.0, -1.0000001]},
        {"logprobs": []},
        {"offer": OFFER.to_json() | {"outputPrice": "1"}},
    ],
)
def test_what_the_receipt_does_not_bind_is_not_believed(changes: dict[str, object]) -> None:
    shown = sample_from_json(sample_to_json(sample(IDS, [-1.0] * 4)) | changes)

    with pytest.raises(ReceiptMismatch):
        shown.require_bound(DOMAIN, PROVIDER.address)


def test_somebody_elses_receipt_accuses_nobody() -> None:
    with pytest.raises(WrongSigner):
        sample(IDS).require_bound(DOMAIN, Key.generate().address)


@pytest.mark.parametrize(
    "changes",
    [
        {"tallystick": "receipt/1"},
        {"path": "/v1/embeddings"},
        {"body": 3},
        {"body": "\ud800"},
        {"ids": []},
        {"ids": [-1]},
        {"ids": [True]},
        {"logprobs": [-1.0]},
        {"logprobs": ["x"] * 4},
        {"logprobs": [-(10**400)] * 4},
        {"offer": None},
        {"receipt": None},
        {"signature": "0x1"},
    ],
)
def test_what_is_no_sample_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedMessage):
        sample_from_json(sample_to_json(sample(IDS)) | changes)


def test_several_answers_in_one_request_are_no_sample_to_audit() -> None:
    assert sample(IDS, asked=body(n=1)).is_single
    assert not sample(IDS, asked=body(n=2)).is_single
    assert not sample(IDS, asked=orjson.dumps({"model": "m", "prompt": ["a", "b"]})).is_single
    assert sample(IDS, asked=orjson.dumps({"model": "m", "prompt": [1, 2]})).is_single


@pytest.mark.parametrize("kind", ["image_url", "input_audio"])
def test_a_prompt_with_more_than_text_is_none_either(kind: str) -> None:
    """An auditor's prefill has token ids alone: without the picture each answer to it is far off."""
    picture = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": kind}]}]
    words = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}]}]

    assert not sample(IDS, asked=body(messages=picture)).is_single
    assert sample(IDS, asked=body(messages=words)).is_single
    assert not sample(IDS, asked=body(prompt_embeds="AAAA")).is_single


# ------------------------------------------------------------------------------------------- what is signed


def test_a_finding_names_all_that_it_is_of() -> None:
    shown = [sample(IDS, sequence=n) for n in (0, 3, 4)]
    said = opinion(*[examined(one, behind=(5, 5, 5, 5)) for one in shown])
    found = finding(said, shown, auditor=Key.generate().address, found_at=Milliseconds(9))
    hashes = [one.receipt.message.struct_hash() for one in shown]

    assert (found.provider, found.receipt_hash) == (OFFER.provider, hashes[-1])
    assert (found.receipts_root, found.receipt_count) == (root(hashes), 3)
    assert (found.check, found.verdict, found.tokens) == (Check.RANK, Verdict.STRIKE, 12)
    assert found.evidence == 48_000_000
    assert found.scales_hash == SCALES.hash
