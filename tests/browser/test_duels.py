"""A duel in a browser: what a visitor sees while it is decided, at a desk, on a phone, without scripts."""

import pytest
from playwright.sync_api import expect

from tallystick.chain.duels import CastVote
from tallystick.protocol.duel import Vote
from tallystick.protocol.units import to_hex
from tests.browser.conftest import Chain, Visitor
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
