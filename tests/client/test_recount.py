"""What is recounted and what is left to looser bounds, with the tokenizer of the test model."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick.client.ask import CHAT_PATH, COMPLETIONS_PATH, read_ask
from tallystick.client.errors import TokenizerUnavailable
from tallystick.client.recount import SILENT, Output, input_size
from tallystick.client.tokenizers import load_tokenizers
from tallystick.protocol.signed import Key
from tallystick.tokenizer import Vocabulary

GOOD = Path(__file__).parents[1] / "models" / "good"
HELLO = [{"role": "user", "content": "Hello"}]
CALL = {"index": 0, "function": {"arguments": "{}"}}


@pytest.fixture(scope="module")
def tokenizer() -> Vocabulary:
    return Vocabulary(GOOD)


def size(tokenizer: Vocabulary, path: str = CHAT_PATH, **fields: Any) -> int | None:
    return input_size(read_ask(path, json.dumps({"model": "m", **fields}).encode()), tokenizer)


def output(tokenizer: Vocabulary, *choices: dict[str, Any], **fields: Any) -> int | None:
    body = json.dumps({"model": "m", "messages": HELLO, **fields}).encode()
    recounted = Output(read_ask(CHAT_PATH, body), tokenizer)
    for choice in choices:
        recounted.add({"choices": [choice]})
    return recounted.bound


def test_plain_input_is_counted_exactly(tokenizer: Vocabulary) -> None:
    hello = len(tokenizer.encode("Hello"))
    assert size(tokenizer, messages=HELLO) == hello + 3  # <|user|>, a newline, <|assistant|>
    assert size(tokenizer, COMPLETIONS_PATH, prompt="Hello") == hello
    assert size(tokenizer, COMPLETIONS_PATH, prompt=["Hello", "Hello"], n=2) == 2 * hello
    assert size(tokenizer, COMPLETIONS_PATH, prompt=[7, 8, 9]) == 3
    assert size(tokenizer, COMPLETIONS_PATH, prompt=[[7, 8, 9], [7]]) == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": HELLO, "tools": [{"type": "function", "function": {"name": "look"}}]},
        {"messages": HELLO, "chat_template_kwargs": {"enable_thinking": True}},
        {"messages": HELLO, "documents": []},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]},
        {"messages": [{"role": "user", "content": "Hello", "name": "Ada"}]},
        {"messages": [{"role": "assistant", "content": None}]},
        {"messages": "Hello"},
        {},
    ],
)
def test_other_input_is_left_to_the_bytes_sent(tokenizer: Vocabulary, fields: dict[str, Any]) -> None:
    assert size(tokenizer, **fields) is None


@pytest.mark.parametrize("prompt", [None, {}, ["Hello", 3], [True], [[]], [-1]])
def test_a_prompt_of_no_known_shape(tokenizer: Vocabulary, prompt: object) -> None:
    assert size(tokenizer, COMPLETIONS_PATH, prompt=prompt) in (None, 0)


def test_a_template_that_refuses_or_reads_the_date_counts_nothing(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((GOOD / name).read_bytes())
    for template in (
        "{{ raise_exception('no') }}",
        "{{ strftime_now('%d') }}",
        "{{ messages[7].content.x }}",
    ):
        (tmp_path / "chat_template.jinja").write_text(template)
        assert size(Vocabulary(tmp_path), messages=HELLO) is None


def test_ids_that_are_those_of_the_text_are_the_count(tokenizer: Vocabulary) -> None:
    ids = tokenizer.encode("Hello world, how are you?")
    said = {"message": {"content": "Hello world, how are you?"}, "token_ids": [*ids, 1]}
    assert output(tokenizer, said) == len(ids) + 1


def test_choices_are_counted_apart(tokenizer: Vocabulary) -> None:
    """The ids of one do not stand for the text of the other."""
    ids = tokenizer.encode("Hello world")
    one = {"index": 0, "delta": {"content": "Hello world"}, "token_ids": ids}
    assert output(tokenizer, one, one | {"index": 1}) == 2 * len(ids)
    assert output(tokenizer, one, {"index": 1, "delta": {"content": ""}, "token_ids": ids * 9}) == (
        len(ids) + SILENT
    )


def test_what_a_parser_took_apart_is_bounded_by_all_of_it(tokenizer: Vocabulary) -> None:
    bare = {"delta": {"content": "Nairobi."}, "token_ids": list(range(7, 60))}
    reasons = {"delta": {"content": "Nairobi.", "reasoning": "Kenya."}, "token_ids": list(range(7, 60))}
    parted = tokenizer.text_size("Nairobi.") + tokenizer.text_size("Kenya.")
    assert (output(tokenizer, bare) or 0) < 53 <= (output(tokenizer, reasons) or 0) < 2 * parted + 70


@pytest.mark.parametrize(
    "fields",
    [{"tools": [{}]}, {"skip_special_tokens": False}, {"ignore_eos": True}, {"logit_bias": {"7": 9}}],
)
def test_what_the_request_makes_of_the_answer_may_not_be_known(
    tokenizer: Vocabulary, fields: dict[str, Any]
) -> None:
    assert output(tokenizer, {"delta": {"tool_calls": [CALL]}, "token_ids": [7] * 300}, **fields) is None


def test_a_receipt_at_every_token_encodes_no_long_text_anew() -> None:
    class Counting(Vocabulary):
        encoded = 0

        def text_size(self, text: str) -> int:
            self.encoded += len(text)
            return super().text_size(text)

    tokenizer = Counting(GOOD)
    recounted = Output(read_ask(CHAT_PATH, json.dumps({"model": "m", "messages": HELLO}).encode()), tokenizer)
    for _ in range(4_000):
        recounted.add({"choices": [{"delta": {"content": "word "}}]})
        assert recounted.bound
    assert tokenizer.encoded < 4_000 * 2_100
    once = super(Counting, tokenizer).text_size("word " * 4_000)
    assert once <= (recounted.bound or 0) <= once * 1.26 + 50


def test_a_folder_that_holds_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(TokenizerUnavailable, match="tiny"):
        load_tokenizers({"tiny": tmp_path})
    (tmp_path / "tokenizer.json").write_text('{"decoder": {"type": "ByteLevel"}}')
    with pytest.raises(TokenizerUnavailable, match="its tokenizer"):
        load_tokenizers({"tiny": tmp_path})
    (tmp_path / "tokenizer.json").write_text('{"decoder": null}')
    with pytest.raises(TokenizerUnavailable):
        tallystick.transport(
            Key.generate(),
            rpc="http://127.0.0.1:1",
            budget=tallystick.Budget(total=1, per_request=1),
            home=tmp_path,
            tokenizers={"tiny": tmp_path},
        )


@pytest.mark.parametrize("missing", ["jinja2", "tokenizers"])
def test_packages_that_are_missing_are_named(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from tallystick.client.errors import TokenizerUnavailable\n"
        "from tallystick.client.tokenizers import load_tokenizers\n"
        "try: load_tokenizers({'tiny': '.'})\n"
        "except TokenizerUnavailable as error: print(error)\n"
    )
    told = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert missing in told
    assert "pip install 'tallystick[tokenizer]'" in told
