"""A sceptic verifies receipts: by the explorer's server, in the browser by its index, and in the browser by a
node of the sceptic's own. All three say the same of every receipt, good or bad."""

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from tallystick.protocol.documents import ReceiptDocument, document_to_json
from tallystick_node.local.explorer import LocalExplorer
from tests.browser.conftest import Visitor
from tests.explorer.halves import Held, bad_ones, hold

pytestmark = pytest.mark.e2e


@pytest.fixture
def held(local_chain, deployment, funded_payer, staked_provider) -> Held:
    return hold(local_chain, deployment, funded_payer, staked_provider)


@pytest.fixture
def guest(chromium: Browser, held: Held, tmp_path: Path) -> Iterator[Visitor]:
    file = tmp_path / "deployment.json"
    held.deployment.save(file)
    explorer = LocalExplorer(folder=tmp_path, rpc=held.chain.url, deployment=file)
    with explorer.start():
        explorer.wait_for(int(held.chain.rpc.call("eth_blockNumber"), 16))
        with Visitor(chromium, explorer.url, also=held.chain.url) as guest:
            yield guest


def by_the_server(page: Page, held: Held) -> str:
    page.get_by_role("button", name="Check by this server").click()
    return "By this server"


def in_the_browser(page: Page, held: Held) -> str:
    page.get_by_role("button", name="Check in this browser").click()
    return "by what this explorer's index says"


def by_ones_own_node(page: Page, held: Held) -> str:
    page.get_by_label("Node, its RPC address").fill(held.chain.url)
    page.get_by_role("button", name="Check in this browser").click()
    return "This server had no part in it"


@pytest.mark.parametrize("way", [by_the_server, in_the_browser, by_ones_own_node])
def test_a_good_receipt_is_green_and_each_bad_one_red_where_it_is_bad(
    guest: Visitor, held: Held, way: Callable[[Page, Held], str]
) -> None:
    paid, *_, unpaid = held.settled.documents()
    page = guest.open("/verify")

    def verdict_of(document: ReceiptDocument) -> str | None:
        page.goto("/verify")
        page.get_by_label("Document").fill(orjson.dumps(document_to_json(document)).decode())
        said = way(page, held)
        expect(page.locator("#result")).to_contain_text(said)
        return page.locator("#result [data-verdict]").get_attribute("data-verdict")

    assert verdict_of(paid) == "paid"
    expect(page.locator("#result li.bad")).to_have_count(0)
    assert verdict_of(unpaid) == "unpaid"
    for name, (document, step) in bad_ones(held).items():
        assert verdict_of(document) == "bad", name
        first = page.locator("#result li.bad").first
        assert first.get_attribute("data-step") == step, name
        assert first.inner_text().count(" ") > 4, "It says why."


def test_a_file_is_taken_and_nonsense_is_told(guest: Visitor, held: Held, tmp_path: Path) -> None:
    page = guest.open("/verify")
    file = tmp_path / "receipts.json"
    file.write_bytes(orjson.dumps([document_to_json(item) for item in held.closed.documents()]))
    page.locator("#file").set_input_files(file)
    page.get_by_role("button", name="Check in this browser").click()
    expect(page.locator("#result [data-verdict=paid]")).to_have_count(5)
    page.get_by_label("Document").fill("{no json")
    page.get_by_role("button", name="Check in this browser").click()
    expect(page.locator("#result")).to_contain_text("not checked")
    page.get_by_role("button", name="Check by this server").click()
    expect(page.locator("#result")).to_contain_text("not checked")
    guest.forgive("400 (Bad Request)")
