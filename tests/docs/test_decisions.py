"""The index of the decision records names each of them, under the title it has."""

import re
from pathlib import Path

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"


def test_the_index_names_every_record() -> None:
    index = re.findall(r"^\| \[(\d+)\]\((.+?)\) (.+?) \|", (DECISIONS / "README.md").read_text(), re.M)
    records = sorted(DECISIONS.glob("0*.md"))
    assert [file for _, file, _ in index] == [record.name for record in records]
    for number, file, title in index:
        heading = (DECISIONS / file).read_text().splitlines()[0]
        assert heading.startswith(f"# {number}. {title}")
