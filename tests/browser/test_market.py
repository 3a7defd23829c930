"""The explorer as people use it: they look around, search, drill down and come back."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visitor
from tests.browser.faults import faults
from tests.browser.shop import Shop

pytestmark = pytest.mark.e2e
MISSING = "/no/such/page"

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LISTS = (
    *("/", "/models", "/providers", "/offers", "/accounts", "/channels", "/settlements", "/transactions"),
    *("/events", "/receipts"),
    *("/blocks", "/disputes", "/verify", "/audit", "/contract", "/api"),
)


@pytest.fixture
def guest(chromium: Browser, shop: Shop) -> Iterator[Visitor]:
    """Of the shop's explorer."""
    with Visitor(chromium, shop.url) as guest:
        yield guest


def pages_of(shop: Shop) -> list[str]:
    """Every page once."""
    row = shop.api("/settlements")["rows"][0]
    return [
        *LISTS,
        "/model/echo",
        f"/provider/{row['provider']}",
        f"/offer/{shop.first('/offers', 'offerHash')}",
        f"/account/{row['payer']}",
        f"/channel/{row['channelId']}",
        f"/settlement/{row['block']}/{row['logIndex']}",
        f"/tx/{row['transactionHash']}",
        f"/block/{row['block']}",
        "/search?q=nothing-of-the-kind",
    ]


def test_a_newcomer_drills_down_from_a_model_to_a_transaction(shop: Shop, guest: Visitor) -> None:
    page = guest.open("/")
    page.keyboard.press("/")
    page.keyboard.type("echo")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/model/echo$"))
    page.locator("main a[href^='/provider/']").first.click()
    expect(page.locator("h1")).to_contain_text("Provider")
    page.locator("main a[href^='/channel/']").first.click()
    expect(page.locator("h1")).to_contain_text("Channel")
    page.locator("main a[href^='/settlement/']").first.click()
    expect(page.locator("h1")).to_contain_text("Settlement")
    page.locator("main a[href^='/tx/']").first.click()
    expect(page.locator("main")).to_contain_text("settle")
    page.go_back()
    expect(page.locator("h1")).to_contain_text("Settlement")


def test_each_thing_is_found_by_its_name(shop: Shop, guest: Visitor) -> None:
    page, row = guest.open("/"), shop.api("/settlements")["rows"][0]
    offer = shop.first("/offers", "offerHash")
    for words, where in (
        (str(row["block"]), f"/block/{row['block']}"),
        (row["transactionHash"], f"/tx/{row['transactionHash']}"),
        (row["channelId"], f"/channel/{row['channelId']}"),
        (row["provider"].upper().replace("0X", "0x"), f"/provider/{row['provider']}"),
        (row["payer"], f"/account/{row['payer']}"),
        (offer, f"/offer/{offer}"),
    ):
        page.goto(f"{shop.url}/search?q={words}")
        expect(page).to_have_url(shop.url + where)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
def test_every_page_is_for_everybody(shop: Shop, guest: Visitor, scheme: str, device: dict) -> None:
    page, found = guest.open("/", color_scheme=scheme, **device), []
    for path in (*pages_of(shop), MISSING):
        page.goto(path)
        found += faults(page)
    assert not found
    guest.forgive("404 (Not Found)")


def test_without_javascript_every_page_says_what_it_has_to(shop: Shop, guest: Visitor) -> None:
    page = guest.open("/", java_script_enabled=False)
    for path in pages_of(shop):
        page.goto(path)
        expect(page.locator("h1")).not_to_be_empty()
        assert len(page.locator("main").inner_text()) > 60, path
    page.goto(shop.url)
    assert page.locator("figure svg").count() >= 1
    page.locator("#q").fill("echo")
    page.locator("form.search button").click()
    expect(page).to_have_url(re.compile("/model/echo$"))


def test_every_page_prints(shop: Shop, guest: Visitor) -> None:
    page = guest.open("/")
    for path in pages_of(shop):
        page.goto(path)
        assert len(page.pdf()) > 5_000, path
        page.emulate_media(media="print")
        expect(page.locator("nav").first).to_be_hidden()
        page.emulate_media(media="screen")


def test_a_settlement_arrives_while_one_looks(shop: Shop, guest: Visitor) -> None:
    page = guest.open("/")
    rows = shop.api("/overview")["totals"]["settlements"]
    first = page.locator("#settlements tbody tr").first.inner_text()
    shop.buy(8)
    expect(page.locator("#settlements tbody tr").first).not_to_have_text(first, timeout=15_000)
    assert shop.api("/overview")["totals"]["settlements"] > rows
