"""The story of a market, from its first deposit to the last atom out. Each test is a paragraph and leaves its world to the
next: read it from top to bottom."""

from types import SimpleNamespace

import pytest
from brownie import accounts, chain

from market import (
    CLOSE_NOTICE,
    EXIT_NOTICE,
    HOUR,
    MINIMUM_STAKE,
    UNSTAKE_NOTICE,
    as_tuple,
    channel_id,
    compact,
    deploy_all,
    key,
    refusal,
    row,
    sign,
)

DOLLAR = 1_000_000
BURNT = "0x000000000000000000000000000000000000dEaD"


@pytest.fixture(scope="module")
def world():
    owner, arbiter, payer, provider, stranger = accounts[:5]
    made = deploy_all(owner, arbiter)
    return SimpleNamespace(
        asset=made.asset,
        market=made.market,
        lens=made.lens,
        arbiter=arbiter,
        payer=payer,
        provider=provider,
        stranger=stranger,
        wallet=key("a second payer, who never sends a transaction"),
        session=key("the payer's session"),
        other_session=key("the second payer's session"),
        receipts=key("the provider's gateway"),
    )


@pytest.fixture(scope="module")
def fund(world):
    def fund(party, amount):
        world.asset.mint(party, amount, {"from": party})
        world.asset.approve(world.market, amount, {"from": party})

    return fund


def test_a_provider_stakes_and_names_the_key_of_its_gateway(world, fund):
    fund(world.provider, MINIMUM_STAKE)
    world.market.stake(MINIMUM_STAKE, {"from": world.provider})
    world.market.setReceiptKey(world.receipts.address, {"from": world.provider})
    assert tuple(world.market.stakeOf(world.provider)) == (MINIMUM_STAKE, 0, 0, world.receipts.address)


def test_a_relayer_posts_the_offer_that_the_gateway_signed(world):
    offer = world.offer = {
        "provider": world.provider.address,
        "sequence": 1,
        "endpoint": "https://provider.example:8443",
        "endpointKey": bytes(31) + b"\x01",
        "model": "qwen3-8b",
        "modelHash": bytes(32),
        "inputPrice": 150_000,
        "cachedInputPrice": 15_000,
        "outputPrice": 600_000,
        "contextLength": 32_768,
        "credit": 20_000,
        "validUntil": chain.time() + 30 * 24 * HOUR,
    }
    signature = sign(world.market, world.receipts, "Offer", offer)
    forged = sign(world.market, world.session, "Offer", offer)
    post = world.market.postOffer
    assert refusal(post, as_tuple("Offer", offer), forged, {"from": world.stranger}) == "WrongSigner"

    posted = post(as_tuple("Offer", offer), signature, {"from": world.stranger}).events["OfferPosted"]
    assert posted["offer"][2] == "https://provider.example:8443"
    assert posted["offerHash"] == world.lens.hashOffer(as_tuple("Offer", offer))
    assert refusal(post, as_tuple("Offer", offer), signature, {"from": world.stranger}) == "SequenceNotGreater"


def test_a_payer_makes_one_deposit_and_opens_a_channel(world, fund):
    fund(world.payer, 100 * DOLLAR)
    world.market.deposit(world.payer, 100 * DOLLAR, {"from": world.payer})
    opening = (world.provider, world.session.address, 10 * DOLLAR)
    opened = world.market.openChannels([opening], {"from": world.payer}).events["ChannelOpened"]
    assert opened["channelId"] == channel_hex(world, world.payer.address, world.session)
    assert tuple(world.market.accountOf(world.payer)) == (90 * DOLLAR, 0, 0)


def channel_hex(world, payer, session, epoch=0):
    return "0x" + channel_id(payer, world.provider.address, session, epoch).hex()


def test_a_second_payer_grants_a_channel_which_the_provider_opens(world, fund):
    fund(world.stranger, 50 * DOLLAR)
    world.market.deposit(world.wallet.address, 50 * DOLLAR, {"from": world.stranger})
    grant = {
        "payer": world.wallet.address,
        "provider": world.provider.address,
        "sessionKey": world.other_session.address,
        "epoch": 0,
        "cap": 5 * DOLLAR,
        "deadline": chain.time() + HOUR,
    }
    signature = compact(sign(world.market, world.wallet, "Grant", grant))
    forged = compact(sign(world.market, world.session, "Grant", grant))
    batch = [as_tuple("Grant", grant)] * 3
    events = world.market.openChannelsFor(batch, [forged, signature, signature], {"from": world.provider}).events
    assert [skipped["reason"] for skipped in events["GrantSkipped"]] == [2, 1]  # forged; already met
    assert events["ChannelOpened"]["cap"] == 5 * DOLLAR
    assert world.market.accountOf(world.wallet.address)[0] == 45 * DOLLAR


def test_vouchers_grow_and_one_transaction_settles_the_latest_of_each_channel(world):
    old = row(world.market, world.payer.address, world.provider.address, world.session, 40_000)
    rows = [
        row(world.market, world.payer.address, world.provider.address, world.session, 3 * DOLLAR, receipts=812),
        row(world.market, world.wallet.address, world.provider.address, world.other_session, 2 * DOLLAR, receipts=77),
        old,
    ]
    events = world.market.settle(world.provider, rows, {"from": world.stranger}).events
    assert [settled["settled"] for settled in events["Settled"]] == [3 * DOLLAR, 2 * DOLLAR]
    assert events["Settled"][0]["acknowledgementHash"] == "0x" + rows[0][4].hex()
    assert events["RowSkipped"]["reason"] == 1  # not greater
    assert events["Earned"]["balance"] == 5 * DOLLAR


def test_no_voucher_pays_more_than_the_cap_until_the_payer_raises_it(world):
    greedy = row(world.market, world.payer.address, world.provider.address, world.session, 12 * DOLLAR)
    assert world.market.settle.call(world.provider, [greedy]) == 7 * DOLLAR
    world.market.settle(world.provider, [greedy], {"from": world.provider})
    world.market.raiseCap(world.provider, world.session.address, 20 * DOLLAR, {"from": world.payer})
    world.market.settle(world.provider, [greedy], {"from": world.provider})
    assert world.market.balanceOf(world.provider) == (12 + 2) * DOLLAR


def test_the_provider_withdraws_what_it_earned(world):
    world.market.withdraw(world.provider, {"from": world.stranger})
    assert world.asset.balanceOf(world.provider) == 14 * DOLLAR
    assert refusal(world.market.withdraw, world.provider, {"from": world.provider}) == "NothingToWithdraw"


def test_payer_and_provider_part_as_friends(world):
    final = {"channelId": channel_id(world.payer.address, world.provider.address, world.session, 0)}
    final["cumulativeAmount"] = 13 * DOLLAR
    signature = sign(world.market, world.receipts, "Close", final)
    close = (world.payer, world.provider, world.session.address, 13 * DOLLAR, signature)
    # It pays one more dollar, which only the payer may spend.
    assert refusal(world.market.close, *close, {"from": world.provider}) == "OnlyPayer"
    closed = world.market.close(*close, {"from": world.payer}).events["ChannelClosed"]
    assert (closed["settled"], closed["returned"]) == (13 * DOLLAR, 7 * DOLLAR)
    assert world.market.accountOf(world.payer)[0] == 87 * DOLLAR


def test_a_voucher_of_the_closed_channel_is_worth_nothing_even_when_it_opens_again(world):
    world.market.openChannels([(world.provider, world.session.address, 20 * DOLLAR)], {"from": world.payer})
    old = row(world.market, world.payer.address, world.provider.address, world.session, 19 * DOLLAR, epoch=0)
    skipped = world.market.settle(world.provider, [old], {"from": world.provider}).events["RowSkipped"]
    assert skipped["reason"] == 0  # stale epoch
    new = row(world.market, world.payer.address, world.provider.address, world.session, 1 * DOLLAR, epoch=1)
    assert world.market.settle.call(world.provider, [new]) == 1 * DOLLAR


def test_a_payer_whose_provider_has_vanished_closes_alone(world):
    channel = (world.provider, world.session.address)
    world.market.requestClose(*channel, {"from": world.payer})
    assert refusal(world.market.finalizeClose, world.payer, *channel, {"from": world.payer}) == "CloseNotOver"

    # A provider that has only slept settles within the notice: the voucher in its hands loses nothing.
    late = row(world.market, world.payer.address, world.provider.address, world.session, 4 * DOLLAR, epoch=1)
    world.market.settle(world.provider, [late], {"from": world.provider})

    chain.sleep(CLOSE_NOTICE)
    chain.mine()
    world.market.finalizeClose(world.payer, *channel, {"from": world.stranger})
    assert world.market.accountOf(world.payer)[0] == 83 * DOLLAR


def test_the_payer_takes_its_deposit_home_after_the_notice(world):
    world.market.requestExit(83 * DOLLAR, {"from": world.payer})
    assert refusal(world.market.exit, world.payer, {"from": world.payer}) == "ExitNotOver"
    chain.sleep(EXIT_NOTICE)
    chain.mine()
    world.market.exit(world.payer, {"from": world.payer})
    assert world.asset.balanceOf(world.payer) == 83 * DOLLAR


def test_a_provider_on_its_way_out_can_still_be_slashed(world):
    world.market.requestUnstake(MINIMUM_STAKE, {"from": world.provider})
    slash = (world.provider, 400 * DOLLAR, world.payer)
    assert refusal(world.market.slash, *slash, {"from": world.stranger}) == "OnlyArbiter"
    slashed = world.market.slash(*slash, {"from": world.arbiter}).events["Slashed"]
    assert (slashed["reward"], slashed["burnt"]) == (200 * DOLLAR, 200 * DOLLAR)
    assert world.asset.balanceOf(BURNT) == 200 * DOLLAR
    world.market.withdraw(world.payer, {"from": world.payer})
    assert world.asset.balanceOf(world.payer) == 283 * DOLLAR


def test_the_rest_of_the_stake_leaves_after_the_notice(world):
    assert refusal(world.market.unstake, world.provider, {"from": world.provider}) == "UnstakeNotOver"
    chain.sleep(UNSTAKE_NOTICE)
    chain.mine()
    world.market.unstake(world.provider, {"from": world.provider})
    assert world.asset.balanceOf(world.provider) == (14 + 600) * DOLLAR


def test_a_provider_that_cheats_loses_all_that_it_staked_anew(world):
    """One atom too much is enough, whoever tells of it, and only once."""
    stake = 500 * DOLLAR
    world.asset.approve(world.market, 2 * stake, {"from": world.provider})
    world.market.stake(stake, {"from": world.provider})
    receipt = {
        "channelId": channel_id(world.payer.address, world.provider.address, world.session, 1),
        "sequence": 0,
        "offerHash": bytes(world.lens.hashOffer(as_tuple("Offer", world.offer))),
        **{name: bytes(32) for name in ("requestHash", "responseHash", "tokensHash")},
        **{"inputTokens": 1_000, "cachedInputTokens": 0, "outputTokens": 100, "finish": 1},
        **{"receivedAt": 1, "firstTokenAt": 2, "finishedAt": 3, "cost": 210, "cumulativeCost": 210},
    }

    def report(receipt, reporter=world.stranger):
        signature = sign(world.market, world.receipts, "Receipt", receipt)
        proof = as_tuple("Offer", world.offer), as_tuple("Receipt", receipt), signature
        return (*proof, {"from": reporter})

    assert refusal(world.market.slashOvercharge, *report(receipt)) == "NotOvercharged"
    receipt["cost"] += 1
    events = world.market.slashOvercharge(*report(receipt)).events
    assert (events["OverchargeProven"]["price"], events["OverchargeProven"]["cost"]) == (210, 211)
    assert (events["Slashed"]["reward"], events["Slashed"]["burnt"]) == (stake // 3, stake - stake // 3)
    world.market.withdraw(world.stranger, {"from": world.stranger})
    assert world.asset.balanceOf(world.stranger) == stake // 3

    world.market.stake(100 * DOLLAR, {"from": world.provider})
    assert refusal(world.market.slashOvercharge, *report(receipt)) == "AlreadyProven"
    receipt["sequence"] = 1  # another lie
    events = world.market.slashOvercharge(*report(receipt, world.provider)).events
    assert (events["Slashed"]["reward"], events["Slashed"]["burnt"]) == (0, 100 * DOLLAR)


def test_what_remains_is_what_is_owed_to_the_atom(world):
    free, exiting, _ = world.market.accountOf(world.wallet.address)
    cap, settled, *_ = world.market.channelOf(world.wallet.address, world.provider, world.other_session.address)
    owed = free + exiting + (cap - settled) + world.market.balanceOf(world.provider)
    assert world.asset.balanceOf(world.market) == owed == (45 + 3 + 5) * DOLLAR
