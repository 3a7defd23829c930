"""A channel's life at its provider: grants, closing, settling, resynchronising, and a chain that changes its
mind."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.events import Awarded, Slashed, Staked, UnstakeRequested
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, verify
from tallystick.protocol.units import Address, Atoms, Timestamp
from tallystick.protocol.voucher import Close, Tally, Voucher
from tallystick.protocol.wire import signed_from_json
from tallystick_node.config import LimitsConfig, SettleConfig
from tallystick_node.gateway.gateway import Limits
from tallystick_node.gateway.settling import SettlePolicy
from tests.gateway.conftest import DOMAIN, Make, World
from tests.gateway.payer import Payer
from tests.gateway.test_streaming import asking

HOUR = 3600


def newcomer(world: World, deposit: int = 100_000) -> Payer:
    """One with a deposit and no channel."""
    payer = world.stranger()
    world.chain.deposit(payer.wallet.address, deposit)
    return payer


def soon(world: World) -> int:
    return world.clock.now // 1000 + HOUR


# ------------------------------------------------------------------------------------------- grants


async def test_a_grant_is_served_on_at_once_and_mined_later(world: World) -> None:
    world.chain.holds_grants = True
    payer = newcomer(world)
    grant = payer.grant(50_000, deadline=soon(world))
    await payer.complete(grant=grant)
    await world.cashier.submit_grants()
    assert world.chain.submitted == [grant]
    await payer.complete(grant=grant)  # Along with the next request, as long as the payer likes.
    await world.cashier.submit_grants()
    assert world.chain.submitted == [grant]
    world.chain.mine(grant.message)
    await world.watch.poll()
    tab = world.books.tabs[payer.channel.id]
    assert (tab.channel.cap, world.books.account(tab).unsecured) == (50_000, 0)
    await payer.complete()


async def test_a_close_before_the_grant_is_mined_loses_nothing(world: World) -> None:
    world.chain.holds_grants = True
    payer = newcomer(world)
    grant = payer.grant(50_000, deadline=soon(world))
    await payer.complete(grant=grant)
    assert (await payer.acknowledge()).status_code == 200
    assert (await payer.close()).json()["close"]["cumulativeAmount"] == "90"
    world.chain.holds_grants = False
    await world.cashier.submit_grants()
    await world.watch.poll()
    await world.cashier.settle(leaving=True)
    assert world.chain.settlements == [[(payer.channel.id, 90)]]


async def test_a_close_of_nothing_costs_no_gas(world: World) -> None:
    payer = newcomer(world)
    await payer.complete(grant=payer.grant(50_000, deadline=soon(world)))
    assert (await payer.close(tally=Tally())).json()["close"]["cumulativeAmount"] == "0"
    await world.cashier.submit_grants()
    assert world.chain.submitted == []


async def test_a_grant_that_could_not_be_handed_in_is_handed_in_before_a_node_leaves(world: World) -> None:
    payer = newcomer(world)
    await payer.complete(grant=payer.grant(50_000, deadline=soon(world)))
    await payer.acknowledge()
    world.chain.gone = True
    with pytest.raises(ChainUnavailable):
        await world.cashier.submit_grants()
    world.chain.gone = False
    await world.cashier.submit_grants()
    await world.watch.poll()
    await world.cashier.settle(leaving=True)
    assert world.chain.settlements == [[(payer.channel.id, 90)]]


async def test_what_is_served_on_a_grant_is_limited(world: World) -> None:
    world.chain.holds_grants = True
    payer = newcomer(world)
    grant = payer.grant(50_000, deadline=soon(world))
    while (response := await payer.post(body := payer.body(), grant=grant)).status_code == 200:
        payer.take_whole(body, response)
        await payer.acknowledge()  # It does not help: nothing could settle it.
    assert response.json()["error"]["code"] == "cap-exceeded"
    assert 0 < payer.tally.amount <= 2_000
    world.chain.mine(grant.message)
    await world.watch.poll()
    await payer.complete()


async def test_the_grant_of_a_first_request_that_is_too_large_is_handed_in_all_the_same(world: World) -> None:
    world.chain.holds_grants = True
    payer = newcomer(world)
    grant = payer.grant(50_000, deadline=soon(world))
    large = payer.body(max_tokens=900)
    response = await payer.post(large, grant=grant)
    assert response.json()["error"]["code"] == "cap-exceeded"
    assert int(response.json()["error"]["terms"]["cap"]) <= grant.message.cap
    await world.cashier.submit_grants()
    assert world.chain.submitted == [grant]
    world.chain.mine(grant.message)
    await world.watch.poll()
    assert (await payer.post(large)).status_code == 200


async def test_parallel_first_requests_bring_one_grant(world: World) -> None:
    world.chain.holds_grants = True
    payer = newcomer(world)
    grant = payer.grant(50_000, deadline=soon(world))
    await asyncio.gather(*(payer.complete(grant=grant) for _ in range(4)))
    await world.cashier.submit_grants()
    assert world.chain.submitted == [grant]


async def test_a_grant_raises_the_cap(world: World) -> None:
    payer = await world.payer(cap=100)
    world.chain.deposit(payer.wallet.address, 10_000)
    response = await payer.post(payer.body())
    assert response.json()["error"]["code"] == "cap-exceeded"
    await payer.complete(grant=payer.grant(5_000, deadline=soon(world)))
    await world.cashier.submit_grants()
    await world.watch.poll()
    assert world.books.tabs[payer.channel.id].channel.cap == 5_000


async def test_grants_that_will_not_be_mined(world: World) -> None:
    before = world.held()
    payer = newcomer(world, deposit=1_000)
    expired = payer.grant(500, deadline=world.clock.now // 1000 + 30)
    uncovered = payer.grant(1_001, deadline=soon(world))
    forged = payer.grant(500, deadline=soon(world), key=Key.generate())
    another = newcomer(world).grant(500, deadline=soon(world))
    later = payer.grant(500, deadline=soon(world), epoch=1)
    for grant, status, code in [
        (expired, 402, "grant-expired"),
        (uncovered, 402, "grant-not-covered"),
        (forged, 401, "wrong-signer"),
        (another, 404, "channel-unknown"),
        (later, 404, "channel-unknown"),
    ]:
        response = await payer.post(payer.body(), grant=grant)
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    response = await payer.post(payer.body(), grant=later, channel=later.message.channel)
    assert response.json()["error"]["code"] == "wrong-epoch"
    assert world.held() == before


async def test_two_grants_need_the_money_twice(world: World) -> None:
    world.chain.holds_grants = True
    one = newcomer(world, deposit=1_000)
    two = world.stranger()
    two.wallet = one.wallet
    two.channel = two.grant(1, deadline=0).message.channel
    await one.complete(grant=one.grant(800, deadline=soon(world)))
    response = await two.post(two.body(), grant=two.grant(800, deadline=soon(world)))
    error = response.json()["error"]
    assert (error["code"], error["required"], error["actual"]) == ("grant-not-covered", "1600", "1000")


async def test_a_grant_that_was_skipped_is_served_on_no_longer(world: World) -> None:
    world.chain.holds_grants = True
    payer = newcomer(world)
    grant = payer.grant(50_000, deadline=soon(world))
    await payer.complete(grant=grant)
    await world.cashier.submit_grants()
    world.chain.free[payer.wallet.address] = 0
    world.chain.mine(grant.message)
    await world.watch.poll()
    response = await payer.post(payer.body())
    assert response.json()["error"]["code"] == "channel-unknown"


async def test_a_skip_that_somebody_else_brought_about_changes_nothing(world: World) -> None:
    """The contract reports it before it looks at any signature."""
    world.chain.holds_grants = True
    payer = newcomer(world)
    await payer.complete(grant=payer.grant(50_000, deadline=soon(world)))
    await world.cashier.submit_grants()
    world.chain.skip(payer.channel)
    await world.watch.poll()
    await payer.complete()


async def test_a_tab_is_kept_once_a_request_is_weighed(world: World) -> None:
    payer = newcomer(world)
    grant = payer.grant(50_000, deadline=soon(world))
    response = await payer.post(payer.body(model="none"), grant=grant)
    assert response.json()["error"]["code"] == "model-not-offered"
    await world.cashier.submit_grants()
    assert world.chain.submitted == []
    world.clock.advance(HOUR)
    await world.cashier.submit_grants()
    assert (world.books.tabs, world.books.accounts) == ({}, {})
    assert world.store is not None
    assert world.store.channels() == []


async def test_the_chain_is_asked_once_about_a_poor_payer(world: World) -> None:
    payer = newcomer(world, deposit=0)
    for _ in range(3):
        response = await payer.post(payer.body(), grant=payer.grant(50_000, deadline=soon(world)))
        assert response.json()["error"]["code"] == "grant-not-covered"
    assert world.chain.asked == 1
    world.chain.deposit(payer.wallet.address, 50_000)
    world.clock.advance(3)
    await payer.complete(grant=payer.grant(50_000, deadline=soon(world)))


def test_grants_and_settlements_are_worth_their_gas() -> None:
    assert LimitsConfig().minimum_cap == 1_000
    assert SettleConfig().minimum == 1_000


async def test_a_grant_that_ran_out_is_served_on_no_longer(world: World) -> None:
    world.chain.holds_grants = True
    payer = newcomer(world)
    await payer.complete(grant=payer.grant(50_000, deadline=soon(world)))
    world.clock.advance(HOUR)
    await world.watch.poll()
    await world.cashier.submit_grants()
    assert world.chain.submitted == []
    response = await payer.post(payer.body())
    assert response.json()["error"]["code"] == "channel-unknown"


async def test_another_receipt_key_ends_the_selling(world: World) -> None:
    payer = await world.payer()
    world.chain.set_receipt_key(world.key.address, payer.wallet.address)
    await world.watch.poll()
    response = await payer.post(payer.body())
    assert (response.status_code, response.json()["error"]["code"]) == (503, "unready")
    health = await world.http.get("/healthz")
    assert (health.status_code, health.json()["receiptKey"]) == (503, {"ok": False})
    world.chain.set_receipt_key(world.key.address, world.key.address)
    await world.watch.poll()
    await payer.complete()


async def test_a_duel_s_award_changes_what_is_staked(make_world: Make) -> None:
    """Of the loser and of the winner; another's is nothing to this node."""
    limits = Limits(running=500, unsecured=Atoms(2_000), head_age_s=120, minimum_stake=Atoms(100))
    world = await make_world(limits=limits)
    provider, other = world.key.address, Address(b"\7" * 20)
    world.chain.emit(Staked, provider=provider, amount=Atoms(150), staked=Atoms(150))
    moved = {"to_winner": Atoms(7), "to_arbiter": Atoms(1), "exiting": Atoms(0)}
    for loser, winner, staked, winner_staked, here in (
        (other, provider, 900, 157, 157),
        (provider, other, 149, 907, 149),
        (other, other, 1, 2, 149),
    ):
        ends = {"loser": loser, "winner": winner}
        world.chain.emit(Awarded, **ends, **moved, staked=Atoms(staked), winner_staked=Atoms(winner_staked))
        await world.watch.poll()
        health = (await world.http.get("/healthz")).json()
        assert health["stake"]["staked"] == str(here)
        assert health["stake"]["slashed"] == "0"


async def test_a_slashed_stake_ends_the_selling(make_world: Make) -> None:
    """What is owed may be acknowledged all the while, and a new stake begins it again."""
    limits = Limits(running=500, unsecured=Atoms(2_000), head_age_s=120, minimum_stake=Atoms(100))
    world = await make_world(limits=limits)
    provider = world.key.address
    world.chain.emit(Staked, provider=provider, amount=Atoms(150), staked=Atoms(150))
    payer = await world.payer()
    await payer.complete()
    slashed = {"provider": provider, "recipient": payer.wallet.address, "exiting": Atoms(0)}
    before = world.chain.length
    world.chain.emit(Slashed, **slashed, reward=Atoms(75), burnt=Atoms(75), staked=Atoms(0))
    with capture_logs() as logs:
        await world.watch.poll()
    assert [entry for entry in logs if entry["event"] == "provider.slashed"] == [
        {"event": "provider.slashed", "log_level": "error", "block": before, "taken": 150, "staked": 0}
    ]
    response = await payer.post(payer.body())
    assert (response.status_code, response.json()["error"]["code"]) == (503, "unready")
    assert (await payer.acknowledge()).status_code == 200
    health = await world.http.get("/healthz")
    stake = {"ok": False, "staked": "0", "required": "100", "slashed": "150"}
    assert (health.status_code, health.json()["stake"]) == (503, stake)
    text = (await world.http.get("/metrics")).text
    assert "tallystick_staked_atoms 0.0\n" in text
    assert "tallystick_slashed_atoms 150.0\n" in text
    world.chain.emit(Staked, provider=provider, amount=Atoms(100), staked=Atoms(100))
    await world.watch.poll()
    await payer.complete()
    leaving = {"provider": provider, "exiting": Atoms(1), "exits_at": Timestamp(0)}
    world.chain.emit(UnstakeRequested, **leaving, staked=Atoms(99))
    await world.watch.poll()
    assert (await payer.post(payer.body())).json()["error"]["code"] == "unready"
    world.chain.rewind(before)  # The chain takes all of it back.
    await world.watch.poll()
    assert (world.gateway.staked, world.gateway.slashed) == (150, 0)
    await payer.complete()


# ------------------------------------------------------------------------------------------- settling


async def test_a_voucher_is_settled_by_amount_and_by_time(make_world: Make) -> None:
    policy = SettlePolicy(amount=Atoms(150), interval_s=900, minimum=Atoms(1))
    world = await make_world(settle_policy=policy)
    payer = await world.payer()
    await payer.complete()
    await payer.acknowledge()
    await world.cashier.settle()
    assert world.chain.settlements == []
    world.clock.advance(900)
    await world.cashier.settle()
    assert world.chain.settlements == [[(payer.channel.id, 90)]]
    await world.cashier.settle()  # Before the chain's own word comes back.
    await world.watch.poll()
    await world.cashier.settle()
    assert len(world.chain.settlements) == 1
    await payer.complete()
    await payer.complete()
    await payer.acknowledge()
    await world.cashier.settle()
    assert world.chain.settlements[1:] == [[(payer.channel.id, 270)]]


async def test_a_close_request_is_answered_by_settling(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    await payer.acknowledge()
    world.chain.request_close(payer.channel)
    await world.watch.poll()
    await world.cashier.settle()
    assert world.chain.settlements == [[(payer.channel.id, 90)]]


async def test_leaving_settles_all(world: World) -> None:
    payers = [await world.payer() for _ in range(3)]
    for payer in payers:
        await payer.complete()
        await payer.acknowledge()
    await world.cashier.settle(leaving=True)
    assert sorted(world.chain.settlements[0]) == sorted((payer.channel.id, 90) for payer in payers)


async def test_a_chain_that_takes_events_back(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    world.chain.rewind(1)  # Only the offer stays.
    await world.watch.poll()
    response = await payer.post(payer.body())
    assert response.json()["error"]["code"] == "channel-unknown"
    world.chain.open(payer.channel, 10_000)
    await world.watch.poll()
    await payer.complete()
    assert world.books.tabs[payer.channel.id].issued.amount == 180


async def test_a_close_that_the_chain_took_back_stays_so(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    world.chain.close(payer.channel)
    await world.watch.poll()
    world.chain.rewind(1)
    await world.watch.poll()
    world.chain.open(payer.channel, 10_000)
    await world.restart()
    payer.http = world.http
    await payer.complete()


async def test_a_close_that_the_chain_took_back_while_the_node_was_away(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    await payer.acknowledge()
    length = world.chain.length
    world.chain.close(payer.channel)
    await world.watch.poll()
    assert world.books.tabs[payer.channel.id].closed
    await world.restart(lambda: world.chain.rewind(length))
    payer.http = world.http
    assert not world.books.tabs[payer.channel.id].closed
    await world.cashier.settle(leaving=True)
    assert world.chain.settlements == [[(payer.channel.id, 90)]]


# ------------------------------------------------------------------------------------------- closing


async def test_a_close_is_signed_at_what_is_acknowledged(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    response = await payer.close()
    signed = signed_from_json(Close, response.json())
    close = verify(signed, DOMAIN, signer=world.key.address).message
    assert (close.channel_id, close.cumulative_amount) == (payer.channel.id, 90)
    refused_answers = [await payer.post(payer.body()), await payer.acknowledge()]
    assert {answer.json()["error"]["code"] for answer in refused_answers} == {"channel-not-open"}
    assert (await payer.close()).json() == response.json()
    await world.restart()
    payer.http = world.http
    assert (await payer.post(payer.body())).json()["error"]["code"] == "channel-not-open"
    assert (await payer.close()).json() == response.json()


async def test_a_close_waits_for_what_runs(world: World) -> None:
    payer = await world.payer()
    world.engine.gate = asyncio.Semaphore(2)
    async with payer.stream(asking(payer)) as stream:
        for _ in range(2):
            await stream.next_event()
        response = await payer.close()
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["retryable"]) == (409, "requests-running", True)
        for _ in range(6):
            world.engine.gate.release()
        await stream.finish()
    assert (await payer.close()).json()["close"]["cumulativeAmount"] == "90"


async def test_what_a_closed_channel_owes_still_counts(make_world: Make) -> None:
    """Nobody gets the credit twice by closing one channel and opening another."""
    world = await make_world(credit=300)
    payer = await world.payer()
    await payer.complete()
    world.chain.close(payer.channel)
    again = world.stranger()
    again.wallet = payer.wallet
    again.channel = again.grant(1, deadline=0).message.channel
    world.chain.open(again.channel, 10_000)
    await world.watch.poll()
    response = await again.post(again.body(max_tokens=15))
    error = response.json()["error"]
    assert (error["code"], error["terms"]["owed"]) == ("credit-exceeded", "90")


# ------------------------------------------------------------------------------------------- resynchronising


async def test_a_payer_that_lost_everything_gets_it_back(world: World) -> None:
    payer = await world.payer()
    for _ in range(3):
        await payer.complete()
    signed = [payer.receipts[index] for index in range(3)]
    fresh = Tally()
    response = await payer.resync(tally=fresh)
    data = response.json()
    receipts = [
        verify(signed_from_json(Receipt, item), DOMAIN, signer=world.key.address).message
        for item in data["receipts"]
    ]
    assert receipts == signed
    voucher = verify(signed_from_json(Voucher, data["voucher"]), DOMAIN, signer=payer.session.address).message
    assert voucher.acknowledgement.receipt_count == 2
    later = await payer.resync(start=2, tally=fresh)
    assert len(later.json()["receipts"]) == 1
    assert (await payer.resync(start=10**18, tally=fresh)).json()["receipts"] == []


async def test_a_resync_of_a_fresh_channel(world: World) -> None:
    payer = await world.payer()
    assert (await payer.resync()).json() == {"voucher": None, "receipts": []}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"fromSequence": 1}', b'{"fromSequence": "-1"}'])
async def test_a_resync_that_asks_nothing(world: World, body: bytes) -> None:
    payer = await world.payer()
    response = await payer.http.post(
        "/tallystick/v1/resync", content=body, headers=payer.headers(body, offer_hash=bytes(32))
    )
    assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed-message")


async def test_the_books_survive_a_restart(world: World) -> None:
    payer = await world.payer()
    for _ in range(5):
        await payer.complete()
    before = world.books.tabs[payer.channel.id]
    await world.restart()
    after = world.books.tabs[payer.channel.id]
    assert (after.issued, after.acknowledged, after.voucher) == (
        before.issued,
        before.acknowledged,
        before.voucher,
    )
    assert after.channel == before.channel
    payer.http = world.http
    await payer.complete()
    assert payer.tally.count == 6


# ------------------------------------------------------------------------------------------- listings


async def test_what_is_for_sale(world: World) -> None:
    listed = (await world.http.get("/v1/models")).json()["data"]
    assert [item["id"] for item in listed] == ["stub"]
    assert listed[0]["tallystick"]["offer"] == world.offer.to_json()
    (offer,) = (await world.http.get("/tallystick/v1/offers")).json()
    assert offer["offer"] == world.offer.to_json()
    world.chain.withdraw_offers(2, world.key.address)
    await world.watch.poll()
    assert (await world.http.get("/v1/models")).json()["data"] == []


async def test_what_an_operator_sees(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    await payer.post(payer.body(model="none"))
    text = (await world.http.get("/metrics")).text
    for line in (
        'tallystick_receipts_total{finish="stop"} 1.0',
        "tallystick_billed_atoms_total 90.0",
        "tallystick_owed_atoms 90.0",
        'tallystick_refused_total{code="model-not-offered"} 1.0',
        "tallystick_channels 1.0",
    ):
        assert line in text
    health = await world.http.get("/healthz")
    assert (health.status_code, health.json()["status"]) == (200, "ok")
