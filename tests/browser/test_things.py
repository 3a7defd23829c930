"""The pages of single things as a visitor has them: drilled through, on a phone, traced, without scripts."""

from typing import Any

from playwright.sync_api import Page, expect

from tallystick.chain import contracts
from tallystick.chain.rpc import Rpc
from tests.explorer import small
from tests.explorer.small import hash_of
from tests.explorer.test_thing_pages import PAGES

from .conftest import Explorer, Visitor

SETTLE = f"/tx/0x{hash_of(0x7000 + 3_000).hex()}"


class Tracing(Rpc):
    """A node that tells one trace, and nothing else."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")

    def call(self, method: str, *params: Any) -> Any:
        if method != "debug_traceTransaction":
            return None
        market, asset = f"0x{small.MARKET.hex()}", f"0x{small.ASSET.hex()}"
        selector = contracts.asset().interface.functions["balanceOf"][0].hex()
        inner = {
            "type": "STATICCALL",
            "from": market,
            "to": asset,
            "input": f"0x{selector}",
            "gasUsed": "0x1",
        }
        call = f"0x{small.settle_call().hex()}"
        return {**inner, "type": "CALL", "from": asset, "to": market, "input": call, "calls": [inner]}


def is_no_wider(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_one_drills_from_a_settlement_to_all_that_it_is_about(visitor: Visitor) -> None:
    page = visitor.open("/settlements")
    page.get_by_role("row").filter(has_text="0.000150").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Settlement")
    page.get_by_role("link", name="receipt 1").click()
    expect(page.get_by_text("the settlement in block 30")).to_be_visible()
    page.locator(".facts").get_by_role("link", name=f"0x{small.FIRST.id.hex()}").click()
    expect(page.locator(".timeline > li")).to_have_count(4)
    expect(page.locator(".timeline > li").first).to_contain_text("Opened")
    page.get_by_role("link", name=f"0x{small.CARL.hex()}").click()
    expect(page.get_by_text("in 5 of 11 hours")).to_be_visible()
    page.get_by_role("link", name="Its transactions, and its account as a payer").click()
    expect(page.get_by_role("heading", name="Account")).to_be_visible()


def test_no_page_of_a_thing_is_wider_than_a_phone(visitor: Visitor) -> None:
    page = visitor.open("/blocks", viewport={"width": 360, "height": 740})
    for path in PAGES:
        page.goto(path)
        assert is_no_wider(page), path


def test_every_page_of_a_thing_is_whole_without_scripts(visitor: Visitor) -> None:
    page = visitor.open("/blocks", java_script_enabled=False)
    for path, text in PAGES.items():
        page.goto(path)
        assert text in page.content(), path
        assert page.get_by_role("heading", level=1).count() == 1, path


def test_a_trace_comes_when_one_scrolls_to_it(visitor: Visitor, explorer: Explorer) -> None:
    explorer.stop()
    explorer.rpc = Tracing()
    explorer.start()
    page = visitor.open(SETTLE)
    page.locator("footer").scroll_into_view_if_needed()
    expect(page.locator("#trace tbody tr")).to_have_count(2)
    expect(page.locator("#trace tbody tr").nth(1)).to_contain_text("balanceOf")
    assert page.url.endswith(SETTLE)

    plain = visitor.open(SETTLE, java_script_enabled=False)
    plain.get_by_role("link", name="Ask the node").click()
    assert plain.url.endswith("/trace")
    assert plain.locator("#trace tbody tr").count() == 2


def test_a_node_without_traces_leaves_the_page_as_it_is(visitor: Visitor, explorer: Explorer) -> None:
    page = visitor.open(SETTLE)
    assert page.get_by_text("Ask the node").count() == 0, "There is no node at all."
    explorer.stop()
    explorer.rpc = Rpc("http://127.0.0.1:1")
    explorer.start()
    page = visitor.open("/blocks")
    with page.expect_response("**/trace") as answered:
        page.goto(SETTLE)
        page.locator("footer").scroll_into_view_if_needed()
    assert answered.value.status == 503
    expect(page.get_by_role("link", name="Ask the node")).to_be_visible()
    visitor.forgive("503")  # What a browser says of an answer that is none.
