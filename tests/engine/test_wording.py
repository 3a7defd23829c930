"""Text that grows by bytes and ends at a stop string."""

from hypothesis import given
from hypothesis import strategies as st

from tallystick_node.engine.wording import Wording

stops = st.lists(st.text("abé", min_size=1, max_size=3), max_size=2).map(tuple)


def cut(data: bytes) -> st.SearchStrategy[list[bytes]]:
    places = st.lists(st.integers(0, len(data)), max_size=8).map(sorted)
    return places.map(lambda at: [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)])


def said(wording: Wording, parts: list[bytes]) -> tuple[str, str | None]:
    text = ""
    for part in parts:
        more, stop = wording.add(part)
        text += more
        if stop is not None:
            return text, stop
    more, stop = wording.rest()
    return text + more, stop


@given(st.text("abé€", max_size=12).flatmap(lambda text: st.tuples(st.just(text), cut(text.encode()))))
def test_without_stops_the_parts_make_the_whole(case: tuple[str, list[bytes]]) -> None:
    text, parts = case
    assert said(Wording(()), parts) == (text, None)


@given(
    st.text("abé€", max_size=12).flatmap(lambda text: st.tuples(st.just(text), cut(text.encode()))),
    stops,
    st.booleans(),
)
def test_the_text_ends_at_a_stop_string_however_it_came(
    case: tuple[str, list[bytes]], stops: tuple[str, ...], include: bool
) -> None:
    text, parts = case
    shown, stop = said(Wording(stops, include_stop=include), parts)
    if stop is None:
        assert shown == text
        assert not any(other in text for other in stops)
    else:
        assert stop in stops
        assert text.startswith(shown if include else shown + stop)
        assert not any(other in shown.removesuffix(stop) for other in stops)


def test_what_may_begin_a_stop_string_waits() -> None:
    wording = Wording(("END",))
    assert [wording.add(part) for part in (b"the E", b"N", b"T.")] == [
        ("the", None),
        (" ", None),
        ("EN", None),
    ]
    assert wording.rest() == ("T.", None)


def test_half_a_character_waits_for_the_other_half() -> None:
    wording = Wording(())
    assert [wording.add(part) for part in (b"caf\xc3", b"\xa9", b"\xe2\x82")] == [
        ("caf", None),
        ("é", None),
        ("", None),
    ]
    assert wording.rest() == ("\ufffd", None)


def test_no_stop_string_counts_before_it_may() -> None:
    wording = Wording(("b",))
    assert wording.add(b"ab", may_stop=False) == ("ab", None)
    assert wording.add(b"ab") == ("a", "b")
