"""What a visitor sees while things go wrong: nothing there yet, a node that goes away, a chain that takes
back, a stranger's words."""

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from tallystick.chain.market import Opening
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.signed import sign
from tallystick.protocol.units import to_hex
from tests.browser.conftest import STAKE, Chain, Visitor
from tests.chain.test_market import an_offer

pytestmark = pytest.mark.e2e


def test_an_empty_market_is_no_error(chain: Chain, guest: Visitor) -> None:
    page = guest.open("/")
    for path in ("/", "/models", "/providers", "/offers", "/channels", "/settlements", "/disputes"):
        page.goto(path)
        expect(page.locator("h1")).not_to_be_empty()
    page.goto("/")
    expect(page.locator("#conserved")).to_contain_text("every atom accounted for")


def test_the_first_of_everything_appears_while_one_looks_at_an_empty_market(
    chain: Chain, guest: Visitor
) -> None:
    page = guest.open("/")
    page.evaluate("window.kept = true")
    expect(page.locator("#models, #transactions")).to_have_count(0)
    market, key = chain.provider(1), chain.keys[1]
    market.post_offer(sign(an_offer(key.address), chain.deployment.domain, key).signed)
    expect(page.locator("#models tbody tr")).to_have_count(1)
    expect(page.locator("#transactions tbody tr")).to_have_count(3)
    expect(page.locator("figure .uplot").first).to_be_visible()
    assert page.evaluate("window.kept")


def test_a_node_that_goes_away_and_returns(chain: Chain, guest: Visitor) -> None:
    page = guest.open("/")
    chain.provider(1)
    chain.explorer.wait_for(int(chain.rpc.call("eth_blockNumber"), 16))
    page.goto("/providers")
    chain.stop()
    page.reload()
    expect(page.locator("main")).to_contain_text("0x")  # What was read is still there to be seen.
    page.goto("/")
    chain.start()
    chain.provider(2)
    expect(page.locator("#figures")).to_contain_text("2 providers", timeout=20_000)


def test_a_chain_that_takes_back_what_somebody_looks_at(chain: Chain, guest: Visitor) -> None:
    """As deep as the provider's three transactions, while the page stays open."""
    page = guest.open("/")
    chain.provider(1)
    page.goto("/")
    expect(page.locator("#figures")).to_contain_text("1 provider", timeout=20_000)
    before = chain.rpc.call("evm_snapshot")
    chain.provider(2)
    expect(page.locator("#figures")).to_contain_text("2 providers", timeout=20_000)
    chain.rpc.call("evm_revert", before)
    chain.rpc.call("anvil_mine", "0x10")
    expect(page.locator("#figures")).to_contain_text("1 provider", timeout=20_000)
    expect(page.locator("#conserved")).to_contain_text("every atom accounted for")


def test_the_very_thing_that_somebody_looks_at_is_taken_back_and_returns(
    chain: Chain, guest: Visitor
) -> None:
    """Somebody has a transaction, a channel and a provider open, each in its own window."""
    payer, key = chain.payer(3), chain.keys[4]
    before = chain.rpc.call("evm_snapshot")
    provider = chain.provider(2)
    opening = Opening(provider=chain.keys[2].address, session_key=key.address, cap=STAKE)
    opened = payer.open_own_channels([opening])
    channel = ChannelKey(
        payer=chain.keys[3].address, provider=chain.keys[2].address, session_key=key.address
    ).id
    chain.explorer.wait_for(provider.head().number)
    names = (to_hex(opened.transaction), to_hex(channel), to_hex(chain.keys[2].address))
    pages = [
        guest.open(f"/{kind}/{name}") for kind, name in zip(("tx", "channel", "provider"), names, strict=True)
    ]
    for page in pages:
        expect(page.locator("main")).to_contain_text("0x")
        expect(page.locator("#banners")).to_be_empty()

    chain.rpc.call("evm_revert", before)
    chain.rpc.call("anvil_mine", "0x10")

    for page in pages:
        expect(page.locator("#banners")).to_contain_text("The chain took this back")
    chain.provider(2)
    expect(pages[2].locator("#banners")).to_be_empty()
    expect(pages[1].locator("#banners")).not_to_be_empty()
    guest.forgive("404 (Not Found)")


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}} {% raw %} ${7*7}",
    "javascript:alert(1)//",
    "\u202egnp.exe\u2066 right to left",
    '=HYPERLINK("http://evil.example")',
    "a" * 128,
)


def test_a_strangers_words_are_shown_and_never_run(chain: Chain, guest: Visitor) -> None:
    """In every place that shows a model or an endpoint. What a script would do, the `Visitor` tells of."""
    market, key = chain.provider(1), chain.keys[1]
    for number, words in enumerate(HOSTILE, start=1):
        offer = replace(an_offer(key.address, number, words), endpoint=words)
        market.post_offer(sign(offer, chain.deployment.domain, key).signed)
    chain.explorer.wait_for(int(chain.rpc.call("eth_blockNumber"), 16))
    page = guest.open("/")
    page.goto("/")
    expect(page.locator("#models")).to_contain_text("<script>alert(1)</script>", timeout=20_000)
    expect(page.locator("#models")).to_contain_text("{{7*7}} {% raw %}")
    provider = "0x" + key.address.hex()
    for path in ("/", "/offers", "/models", f"/provider/{provider}", f"/account/{provider}"):
        page.goto(path)
    page.goto("/models")
    links = page.locator("main tbody a")
    hrefs = [link.get_attribute("href") for link in links.all()]
    for href in hrefs:
        assert href is not None
        assert href.startswith("/")
        page.goto(href)
        expect(page.locator("h1")).not_to_be_empty()
    for words in HOSTILE:
        page.goto("/")
        page.locator("#q").fill(words)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).not_to_be_empty()
