"""A stranger's words in every field that a stranger controls: they are read and never run."""

import csv
import io
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Table

from tests.explorer import small
from tests.explorer.test_thing_pages import PAGES, TABLES, asking

WORDS: Final = (
    "<script>alert(1)</script>\"><img src=x onerror=alert(1)>' onmouseover='alert(1)' x='",
    "javascript:alert({{ 7 * 7 }}){% raw %}",
    "\u202egnp.exe\u2066\u200f first\nsecond\r\nthird\x00\x1b[31m",
    "m" * 128,
    "é" * 128,
    "../../blocks?x=1&y=2#z",
    "",
)
"""The contract takes 128 bytes of a model's name and 256 of an endpoint."""
FORMULAS: Final = ('=HYPERLINK("http://evil.example","x")', "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", " =1")
ACTIVE: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
TURNS: Final = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that turn the direction of what follows them."""


class Hostile(small.Small):
    """The small market, all of its words one stranger's."""

    def __init__(self, words: str):
        self.words = words
        super().__init__()

    def put(self, table: Table, **row: Any) -> None:
        for name in ("model", "endpoint", "error"):
            if row.get(name) is not None:
                row[name] = self.words
        for name in ("arguments", "evidence"):
            if name in row:
                row[name] = json.dumps(_replaced(json.loads(row[name]), self.words))
        if "text" in row:
            row["text"] = json.dumps({"receipt": {self.words: self.words}})
        super().put(table, **row)


def _replaced(value: Any, words: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(part, words) for key, part in value.items()}
    return words if isinstance(value, str) and not value.startswith("0x") and not value.isdecimal() else value


class Markup(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module", params=WORDS, ids=lambda words: ascii(words)[:24])
def hostile(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, TestClient]]:
    with asking(Hostile(request.param), tmp_path_factory.mktemp("hostile")) as client:
        yield request.param, client


def test_a_page_runs_and_fetches_nothing_of_a_stranger_s(hostile: tuple[str, TestClient]) -> None:
    _, client = hostile
    for path in PAGES:
        answer = client.get(path)
        assert answer.status_code == 200, path
        page = Markup(answer.text)
        for tag, attributes in page.tags:
            where = f"{path}: {tag} {attributes}"
            assert tag not in {"iframe", "object", "embed", "base", "style"}, where
            assert not any(name.startswith("on") or name == "style" for name in attributes), where
            for name in ("src", "href", "action", "hx-get"):
                assert (attributes.get(name) or "/").startswith(("/", "#", "?")), where
                assert not (attributes.get(name) or "").startswith("//"), where
            assert tag != "script" or (attributes.get("src") or "").startswith("/static/"), where
        assert not any(turn in answer.text for turn in TURNS), f"{path} lets words turn what follows."
        assert "\x1b" not in answer.text
        assert "\x00" not in answer.text


def test_the_words_are_there_to_be_read(hostile: tuple[str, TestClient]) -> None:
    words, client = hostile
    page = Markup(client.get(f"/provider/0x{small.CARL.hex()}").text)
    links = [attributes.get("href") or "" for tag, attributes in page.tags if tag == "a"]
    titles = [attributes.get("title") for _, attributes in page.tags]
    assert any(unquote(link) == f"/model/{words}" for link in links), "It leads to the model's page."
    if words.isprintable():
        assert words in titles, "The whole of it is in the title, however long."


def test_json_has_the_words_as_they_are(hostile: tuple[str, TestClient]) -> None:
    words, client = hostile
    page = client.get(f"/api/provider/0x{small.CARL.hex()}").json()
    assert {offer["model"] for offer in page["offers"]["rows"]} == {words}
    assert client.get(f"/api/receipt/0x{small.FIRST.id.hex()}/1").json()["published"] == {
        "receipt": {words: words}
    }


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_spreadsheet_runs_nothing_of_a_stranger_s(formula: str, tmp_path: Path) -> None:
    with asking(Hostile(formula), tmp_path) as client:
        for path in TABLES:
            for row in csv.reader(io.StringIO(client.get(f"/api{path}.csv").text, newline="")):
                for cell in row:
                    assert not cell.startswith(ACTIVE), f"{path}: {cell!r}"
        failed = list(
            csv.DictReader(io.StringIO(client.get("/api/transactions.csv?failed=true").text, newline=""))
        )
        assert failed[0]["error"] == (f"'{formula}" if formula.startswith(ACTIVE) else formula)
