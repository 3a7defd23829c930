"""Recounting never accuses: however an honest engine cuts its answer up, its count is within the bound.

The tokenizer here is made up: ids are pieces of bytes, some of them no whole character, two of them special.
"""

import codecs
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tallystick.client.ask import CHAT_PATH, read_ask
from tallystick.client.recount import SILENT, Output

PIECES = [
    b"",
    b"",
    b"a",
    b"b",
    b"the",
    b" the",
    b"\n",
    "é".encode(),
    "🦊".encode(),
    b"!",
    b"!" * 8,
    b"\xc3",
    b"\xa9",
    b"\xf0\x9f",
    b"\xa6\x8a",
]
SPECIAL = (0, 1)


class Pieces:
    """Longest piece first; a byte that no piece begins with is a token of its own."""

    def shown(self, token: int) -> bytes:
        return PIECES[token] if token < len(PIECES) else b""

    def text_size(self, text: str) -> int:
        data, size = text.encode(), 0
        while data:
            data = data[max((len(p) for p in PIECES if p and data.startswith(p)), default=1) :]
            size += 1
        return size

    def prompt_size(self, text: str) -> int:
        return self.text_size(text)

    def chat_size(self, messages: object) -> int | None:
        return None


def asked(**more: Any) -> Output:
    fields = b'{"model": "m", "messages": []%s}'
    stop = more.get("stop")
    ask = read_ask(CHAT_PATH, fields % (b', "stop": "%s"' % stop.encode() if stop else b""))
    return Output(ask, Pieces())


def chunk(text: str, ids: list[int]) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "token_ids": ids}]}


whole = st.lists(st.integers(2, 10), max_size=60)
"""Whole characters."""
any_ids = st.lists(st.integers(2, len(PIECES) - 1), max_size=60)


@given(any_ids, st.data())
def test_however_a_stream_is_cut_into_chunks(ids: list[int], data: st.DataObject) -> None:
    """Bytes wait for the rest of their character, as they do in vLLM; those of none are replaced, or are
    left out where they come last."""
    output, decoder, at = asked(), codecs.getincrementaldecoder("utf-8")(errors="replace"), 0
    while at < len(ids):
        taken = ids[at : at + data.draw(st.integers(1, 5))]
        at += len(taken)
        output.add(chunk("".join(decoder.decode(PIECES[token]) for token in taken), taken))
        assert output.bound is not None
        assert at <= output.bound or _spells(ids[:at])
    if data.draw(st.booleans()):
        output.add(chunk(decoder.decode(b"", final=True), []))
        assert len(ids) <= (output.bound or 0) or _spells(ids)


def _spells(ids: list[int]) -> bool:
    """Far more tokens than the text would be encoded to: pieces of characters."""
    size = Pieces().text_size(b"".join(PIECES[token] for token in ids).decode(errors="replace"))
    return len(ids) > 2 * size + SILENT


@given(whole.filter(bool), st.integers(0, 4), st.data())
def test_text_that_waits_for_a_stop_string(ids: list[int], held: int, data: st.DataObject) -> None:
    """Ids come at once, the text as many characters later as may begin a stop string; what it cuts off
    never comes."""
    stop = "x" * (held + 1)
    output, text, shown = asked(stop=stop), "", 0
    for at, token in enumerate(ids):
        text += PIECES[token].decode()
        end = max(shown, len(text) - held)
        output.add(chunk(text[shown:end], [token]))
        shown = end
        assert output.bound == at + 1
    if data.draw(st.booleans()):
        output.add(chunk(text[shown:], []))
    assert output.bound == len(ids)


@given(st.integers(1, 2_000), st.booleans())
def test_a_model_that_says_one_thing_for_ever_is_paid_for_it(times: int, streamed: bool) -> None:
    """Its text has far fewer tokens when it is encoded anew: a run of one sign is one long piece."""
    output = asked()
    for _ in range(times if streamed else 1):
        output.add(chunk("!", [9]) if streamed else chunk("!" * times, [9] * times))
    assert output.bound == times


@given(whole, st.integers(0, 200))
def test_ids_without_text_are_not_paid(ids: list[int], padding: int) -> None:
    text = b"".join(PIECES[token] for token in ids).decode()
    output = asked()
    output.add(chunk(text, ids + [4] * padding))
    size = Pieces().text_size(text)
    assert (output.bound or 0) <= max(len(ids) + 1, size + size // 4 + SILENT)


@given(whole, st.integers(0, 200))
def test_nor_are_special_ones(ids: list[int], padding: int) -> None:
    output = asked()
    text = b"".join(PIECES[token] for token in ids).decode()
    output.add(chunk(text, ids + [1] * padding))
    size = Pieces().text_size(text)
    most = max(len(ids) + SILENT + (len(ids) + padding) // 16, size + size // 4 + SILENT)
    assert (output.bound or 0) <= most


@given(whole, any_ids)
def test_ids_of_another_text_are_bounded_by_the_text(ids: list[int], others: list[int]) -> None:
    """And no more than the text is: it may be that we decode otherwise than the engine does."""
    text = b"".join(PIECES[token] for token in ids).decode()
    output = asked()
    output.add(chunk(text, others))
    size = Pieces().text_size(text)
    assert (output.bound or 0) <= max(size + size // 4 + SILENT, len(others))
    assert (output.bound or 0) >= min(size, len(others))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "index",
                        "delta",
                        "message",
                        "content",
                        "text",
                        "token_ids",
                        "reasoning",
                        "tool_calls",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_no_answer_breaks_it(answer: Any) -> None:
    output = asked()
    if isinstance(answer, dict):
        output.add(answer)
    output.add({"choices": [answer]})
    assert (output.bound or 0) >= 0
