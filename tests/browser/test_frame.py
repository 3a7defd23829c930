"""What is around every page, in a browser: themes, keys, search, a phone, no JavaScript, and new blocks."""

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Explorer, Visitor
from tests.explorer import small

PAGES = (
    *("/", "/models", f"/model/{small.MODEL}", "/offers", "/hours", "/contract", "/contract/src/Market.sol"),
    *(
        "/api",
        "/search?q=l",
        "/blocks",
        "/transactions",
        "/accounts",
        "/providers",
        "/channels",
        "/settlements",
    ),
    *(
        "/settlements",
        "/disputes",
        "/duels",
        "/judges",
        f"/channel/0x{small.FIRST.id.hex()}",
        f"/provider/0x{small.CARL.hex()}",
        "/nothing",
    ),
)
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
DARK, LIGHT = "rgb(19, 22, 20)", "rgb(251, 250, 247)"


def colour(page: Page) -> str:
    text: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return text


@pytest.mark.parametrize(("system", "first", "then"), [("light", LIGHT, DARK), ("dark", DARK, LIGHT)])
def test_the_theme_is_the_system_s_until_the_visitor_changes_it(
    visitor: Visitor, system: str, first: str, then: str
) -> None:
    page = visitor.open("/models", color_scheme=system)
    assert colour(page) == first
    page.get_by_role("button", name="Change between light and dark").click()
    assert colour(page) == then
    page.goto("/offers")
    assert colour(page) == then, "The choice is kept."
    page.emulate_media(media="print")
    assert colour(page) == "rgb(255, 255, 255)"


def test_a_slash_searches_and_suggestions_are_walked_with_the_arrows(visitor: Visitor) -> None:
    page = visitor.open("/models")
    page.keyboard.press("/")
    page.keyboard.type("small")
    expect(page.locator("#suggestions a")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#suggestions a")).to_have_count(0)
    page.keyboard.type("-m")
    expect(page.locator("#suggestions a")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/model/{small.MODEL}")


def test_the_first_key_skips_to_the_content(visitor: Visitor) -> None:
    page = visitor.open("/models")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def test_no_page_is_wider_than_a_phone(visitor: Visitor) -> None:
    page = visitor.open("/", **PHONE)
    for path in PAGES:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    visitor.forgive("404 (Not Found)")


def test_a_phone_shows_where_one_is(visitor: Visitor) -> None:
    page = visitor.open("/contract", **PHONE)
    expect(page.locator(".top nav [aria-current]")).to_be_in_viewport(ratio=1)


def test_every_page_works_without_javascript(visitor: Visitor) -> None:
    page = visitor.open("/", java_script_enabled=False)
    assert page.locator("figure svg").count() == 4
    expect(page.locator("figure svg").first).to_be_visible()
    expect(page.locator("#theme")).to_be_hidden()
    page.get_by_role("searchbox").fill(f"0x{small.FIRST.id.hex()}")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url(f"**/channel/0x{small.FIRST.id.hex()}")
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("h1")).to_have_text("The market")


def test_charts_become_livelier_and_print_as_they_were_drawn(visitor: Visitor) -> None:
    page = visitor.open("/?days=1")
    expect(page.locator("figure .uplot")).to_have_count(4)
    expect(page.locator("figure svg").first).to_be_hidden()
    page.emulate_media(media="print")
    expect(page.locator("figure svg").first).to_be_visible()
    expect(page.locator("figure .uplot").first).to_be_hidden()


def test_a_new_block_changes_the_page_without_loading_it_anew(visitor: Visitor, explorer: Explorer) -> None:
    page = visitor.open("/")
    page.evaluate("window.kept = true")
    figure = page.locator("#figures .figure", has_text="Settlement rows").locator("a")
    expect(figure).to_have_text("3")
    explorer.read_block(101)
    expect(figure).to_have_text("101")
    assert page.evaluate("window.kept")
    expect(page.locator("figure", has_text="Settlement rows").locator("figcaption")).to_contain_text("101")
    expect(page.locator("figure .uplot")).to_have_count(4)


def test_who_comes_before_the_first_block_was_read_is_shown_the_page_once_it_was(
    visitor: Visitor, explorer: Explorer
) -> None:
    """Until then the answer is 503: an index that is empty is no market that is."""
    explorer.forget_all()
    page = visitor.open("/")
    expect(page.locator("main")).to_contain_text("Nothing of the chain was read yet.")
    visitor.forgive("503 (Service Unavailable)")
    explorer.read_block(101)
    expect(page.locator("#figures .figure", has_text="Settlement rows").locator("a")).to_have_text("101")
    expect(page.locator("figure .uplot")).to_have_count(4)


def test_what_a_visitor_unfolded_and_stands_on_stays_so(visitor: Visitor, explorer: Explorer) -> None:
    page = visitor.open(f"/tx/0x{small.hash_of(0x7000 + 3_000).hex()}")
    page.get_by_text("What each row logged").click()
    link = page.locator("details a").first
    link.focus()
    explorer.read_block(101)
    expect(page.locator("footer")).to_contain_text("101")
    expect(link).to_be_visible()
    expect(link).to_be_focused()


def test_a_page_that_nobody_sees_keeps_no_connection(visitor: Visitor, explorer: Explorer) -> None:
    """A browser opens six to one server: the seventh page would wait for another to be closed."""
    page = visitor.open("/")
    away = "([away]) => { Object.defineProperty(document, 'hidden', { value: away, configurable: true });"
    change = f"{away} document.dispatchEvent(new Event('visibilitychange')); }}"
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/live")):
        page.evaluate(change, [True])
    explorer.read_block(101)
    with page.expect_request("**/live"):
        page.evaluate(change, [False])
    expect(page.locator("#figures .figure", has_text="Settlement rows").locator("a")).to_have_text("101")


def test_a_page_hears_again_after_the_explorer_was_gone(visitor: Visitor, explorer: Explorer) -> None:
    page = visitor.open("/")
    page.evaluate("window.kept = true")
    figure = page.locator("#figures .figure", has_text="Settlement rows").locator("a")
    explorer.read_block(101)
    expect(figure).to_have_text("101")
    explorer.stop()
    explorer.start()
    explorer.read_block(102)
    expect(figure).to_have_text("102")
    assert page.evaluate("window.kept")
    visitor.forgive("net::ERR_")  # What a browser says of a server that is gone.


def test_a_stranger_s_words_are_read_and_not_run(visitor: Visitor) -> None:
    page = visitor.open("/")
    for path in ("/", "/models", "/offers", f"/model/{quote(small.HOSTILE_MODEL, safe='')}"):
        page.goto(path)
        expect(page.locator("bdi", has_text=re.compile("<script>alert")).first).to_be_visible()
        assert page.locator("img:not([src^='/static/'])").count() == 0, path
