"""What keeps somebody from reading a page."""

from collections.abc import Iterator

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_OPTIONS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}


def faults(page: Page) -> Iterator[tuple[str, str, str]]:
    """WCAG 2.1 AA as axe sees it, contrast included; and no page is wider than its window."""
    path = page.evaluate("location.pathname + location.search")
    for item in Axe().run(page, options=_OPTIONS).response["violations"]:
        yield from ((path, item["id"], node["html"][:200]) for node in item["nodes"])
    wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if wider > 0:
        yield path, "wider than its window", f"{wider} px"
