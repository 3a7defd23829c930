"""Every picture that a page names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_image_that_a_page_names_exists() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        (page, name)
        for page in pages
        for name in re.findall(r"!\[[^\]]*\]\(([^)\s]+)", page.read_text())
        if "://" not in name
    }
    assert len(named) >= 3
    missing = [(str(page), name) for page, name in named if not (page.parent / name).is_file()]
    assert missing == []
