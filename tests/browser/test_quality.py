"""Duels and strikes in a browser: what a visitor sees while a duel is decided, and how a newcomer finds out
who is accused by whom, for what, and what came of it; at a desk, on a phone, without scripts."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from playwright.sync_api import Browser, expect

from tallystick.chain.audit_events import Accused, Concluded
from tallystick.chain.duels import CastVote
from tallystick.protocol.duel import Vote
from tallystick.protocol.strikes import SEATS as REAUDITORS
from tallystick.protocol.units import to_hex
from tallystick_node.explorer.database import writing
from tallystick_node.explorer.index.facts import MarketBlock
from tallystick_node.explorer.index.filling import fill_with
from tallystick_node.explorer.index.made_audits import AuditedMarket
from tallystick_node.explorer.index.made_block import DEPLOYMENT
from tests.browser.conftest import Chain, Explorer, Visitor
from tests.browser.faults import faults
from tests.chain.test_duels import SALT, SEATS, World
from tests.conftest import Parties

pytestmark = pytest.mark.e2e
PHONE = {"viewport": {"width": 375, "height": 800}, "color_scheme": "dark"}


def test_a_duel_is_decided_while_somebody_looks_at_it(chain: Chain, guest: Visitor) -> None:
    parties = Parties(chain, chain.deployment)
    world = World(
        parties.party, parties.staked_provider, lambda blocks: chain.rpc.call("anvil_mine", hex(blocks))
    )
    chain.explorer.wait_for(world.duels.market.head().number)
    page = guest.open("/duels")
    page.evaluate("window.kept = true")
    page.locator("main tbody th a").click()
    expect(page.locator("h1")).to_contain_text("open")
    expect(page.locator("main")).to_contain_text("Until then the duel is two hashes.")
    page.evaluate("window.kept = true")

    votes: list[CastVote] = [world.cast(judge, Vote.SECOND) for judge in world.panel()]
    world.duels.decide(world.id, world.case, votes, salt=SALT)

    expect(page.locator("h1")).to_contain_text("ended")
    assert page.evaluate("window.kept"), "It was changed in place."
    expect(page.locator(".steps li.good")).to_have_count(8)
    expect(page.locator(".steps li.bad, .steps li.warn")).to_have_count(0)
    expect(page.locator("main")).to_contain_text("What was taken is what was given and burnt, to the atom.")
    page.locator(".steps summary").nth(4).click()
    expect(page.locator(".steps li").nth(4)).to_contain_text("sumOfWeights")
    expect(page.locator("main")).to_contain_text(f"tally duel verify {to_hex(world.id)}")

    phone = guest.open(f"/duel/{to_hex(world.id)}", **PHONE)
    for path in (
        f"/duel/{to_hex(world.id)}",
        "/duels",
        "/judges",
        f"/provider/{to_hex(world.first.address)}",
    ):
        phone.goto(path)
        assert phone.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
    plain = guest.open(f"/provider/{to_hex(world.second.address)}", java_script_enabled=False)
    plain.locator("main tbody th a", has_text=to_hex(world.id)[:8]).click()
    expect(plain.locator("main tbody td[data-label=Judge], main tbody th[data-label=Judge]")).to_have_count(
        SEATS
    )


def under_way(blocks: list[MarketBlock]) -> int:
    """Accusations that are not concluded."""
    kinds = Counter(type(event) for block in blocks for event in block.events)
    return kinds[Accused] - kinds[Concluded]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    """Of a made market with strikes and accusations in every state."""
    path, market = tmp_path_factory.mktemp("audited") / "explorer.db", AuditedMarket(3)
    blocks = [*market.opening(), *islice(iter(market.traded, None), 160)]
    while not under_way(blocks):
        blocks.append(market.traded())

    async def fill() -> None:
        engine = writing(f"sqlite+aiosqlite:///{path}")
        await fill_with(engine, blocks)
        await engine.dispose()

    with ThreadPoolExecutor(1) as thread:  # Playwright holds an event loop in the tests' own.
        thread.submit(asyncio.run, fill()).result()
    explorer = Explorer(path, DEPLOYMENT, now=market.time)
    explorer.start()
    yield explorer
    explorer.stop()


@pytest.fixture
def newcomer(chromium: Browser, audited: Explorer) -> Iterator[Visitor]:
    with Visitor(chromium, audited.url) as newcomer:
        yield newcomer


def test_one_goes_from_a_duel_to_the_strikes_to_an_accusation_and_to_whom_it_cost(newcomer: Visitor) -> None:
    page = newcomer.open("/duels")
    page.locator("main tbody tr", has_text="ended").first.locator("th a").click()
    expect(page.locator("h1")).to_contain_text("Duel")
    page.get_by_role("link", name="Strikes", exact=True).click()
    expect(page.get_by_text("What was compared, and what the evidence is")).to_be_visible()
    page.locator("main tbody tr", has_text="upheld").first.locator("a[href^='/accusation/']").click()

    expect(page.locator("h1")).to_contain_text("upheld")
    expect(page.locator(".lead")).to_contain_text("two thirds of the stake were slashed")
    accused = page.locator(".facts > div", has_text="Accused").first.locator("a")
    address = accused.get_attribute("title")
    strikes = page.locator("[id^=strike-]")
    upheld = [row.locator("[data-label=Uphold]").inner_text() for row in strikes.all()]
    assert sorted(map(int, upheld))[-3] > REAUDITORS // 2
    assert strikes.locator("a[href^='/channel/']").count() == strikes.count() == len(upheld)
    seats = page.locator("tbody tr", has=page.locator("[data-label=Seat]"))
    expect(seats).to_have_count(REAUDITORS)
    said = seats.locator("[data-label='On strike 1']").all_inner_texts()
    assert said.count("uphold") == int(upheld[0])
    steps = page.locator(".steps li")
    expect(steps).to_have_count(len(upheld) + 4)
    expect(page.locator(".steps li.good")).to_have_count(len(upheld) + 4)
    steps.locator("summary").first.click()
    expect(steps.first).to_contain_text("auditorsDrawn")
    expect(page.locator("main")).to_contain_text("What was taken is what was given and burnt, to the atom.")
    expect(page.locator(".timeline li").last).to_contain_text("Concluded: upheld")

    accused.click()
    expect(page).to_have_url(re.compile(f"/provider/{address}$"))
    expect(page.locator("h1")).to_contain_text("slashed")
    slash = page.locator("main tbody tr", has=page.locator("th", has_text="strikes")).first
    slash.locator("a[href^='/accusation/']").click()
    expect(page.locator("h1")).to_contain_text("Accusation")


@pytest.mark.parametrize(
    ("device", "scheme"), [({}, "light"), (PHONE, "dark")], ids=["a light desk", "a dark phone"]
)
def test_pages_of_strikes_are_for_everybody(newcomer: Visitor, device: dict, scheme: str) -> None:
    page, found = newcomer.open("/accusations", **(device | {"color_scheme": scheme})), []
    paths = ["/duels", "/strikes", "/accusations", "/disputes"]
    for state in ("upheld", "cleared", "unanswered"):
        row = page.locator("main tbody tr", has_text=state).first
        paths += [str(row.locator("th a").get_attribute("href"))]
    page.get_by_role("link", name="Only those that are not concluded").click()
    paths += [str(page.locator("main tbody th a").first.get_attribute("href"))]
    paths += [str(page.locator("main a[href^='/provider/']").first.get_attribute("href"))]
    for path in paths:
        page.goto(path)
        found += faults(page)
    assert not found
    plain = newcomer.open(paths[4], java_script_enabled=False)
    expect(plain.locator("[id^=strike-]").first).to_be_visible()
