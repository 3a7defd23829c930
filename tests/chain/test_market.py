"""The market's contract on a real chain, question by question and transaction by transaction."""

import time
from dataclasses import replace

import pytest

from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ContractError, NoContract, WrongChain
from tallystick.chain.events import ChannelOpened, Earned, GrantSkipped, RowSkipped, Settled
from tallystick.chain.follower import Follower
from tallystick.chain.local import LocalChain, deploy
from tallystick.chain.market import Market, Notices, Opening
from tallystick.ports import ChainReader, Directory, MarketTerms, Settlement
from tallystick.protocol.channel import Channel, ChannelKey, Status
from tallystick.protocol.grant import Grant
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.units import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Atoms,
    AtomsPerMTok,
    Hash32,
    Timestamp,
    Tokens,
)
from tallystick.protocol.voucher import Acknowledgement, Close, Voucher

DOLLAR = 1_000_000


def an_offer(provider: Address, sequence: int = 1, model: str = "tiny") -> Offer:
    return Offer(
        provider=provider,
        sequence=sequence,
        endpoint="https://provider.example",
        endpoint_key=Hash32(b"\5" * 32),
        model=model,
        model_hash=ZERO_HASH,
        input_price=AtomsPerMTok(100_000),
        cached_input_price=AtomsPerMTok(50_000),
        output_price=AtomsPerMTok(400_000),
        context_length=Tokens(4096),
        credit=Atoms(10_000),
        valid_until=Timestamp(2**40),
    )


def a_voucher(key: ChannelKey, amount: int, session: Key, deployment: Deployment) -> Signed[Voucher]:
    acknowledgement = Acknowledgement(receipt_count=1, receipts_root=Hash32(b"\6" * 32))
    voucher = Voucher(channel_id=key.id, cumulative_amount=Atoms(amount), acknowledgement=acknowledgement)
    return sign(voucher, deployment.domain, session).signed


def a_grant(
    payer, provider, session: Key, cap: int, *, epoch: int = 0, deadline: int = 2**40
) -> Signed[Grant]:
    grant = Grant(
        payer=payer.address,
        provider=provider.address,
        session_key=session.address,
        epoch=epoch,
        cap=Atoms(cap),
        deadline=Timestamp(deadline),
    )
    return sign(grant, payer.market.deployment.domain, payer.key).signed


def test_it_is_every_port_of_the_chain(party) -> None:
    market = party().market
    reader: ChainReader = market
    directory: Directory = market
    settlement: Settlement = market
    assert reader.head().number > 0
    assert directory.offers() == []
    settlement.open_channels([])
    assert settlement.settle([]).atoms == 0


# ------------------------------------------------------------------------------------------ the deployment


def test_a_good_deployment_is_checked(local_chain: LocalChain, deployment: Deployment) -> None:
    market = Market(local_chain.rpc, deployment)
    market.check()
    assert market.minimum_stake() == 100 * DOLLAR
    assert market.terms() == MarketTerms(minimum_stake=Atoms(100 * DOLLAR), unit=Atoms(DOLLAR))
    assert market.notices() == Notices(exit_s=600, close_s=3600, unstake_s=86_400)
    assert (market.asset().symbol, market.asset().decimals) == ("TEST", 6)


def test_another_chain_is_refused(local_chain: LocalChain, deployment: Deployment) -> None:
    other = Deployment(
        chain_id=1, market=deployment.market, asset=deployment.asset, lens=deployment.lens, block=0
    )
    with pytest.raises(WrongChain, match="follows chain 31337 and the deployment is on 1"):
        Market(local_chain.rpc, other).check()


@pytest.mark.parametrize("missing", ["market", "asset"])
def test_an_empty_address_is_no_contract(
    local_chain: LocalChain, deployment: Deployment, missing: str
) -> None:
    addresses = {name: getattr(deployment, name) for name in ("market", "asset", "lens")}
    other = Deployment(chain_id=31337, block=0, **(addresses | {missing: Address(b"\1" * 20)}))
    with pytest.raises(NoContract, match=f"no {missing} at 0x0101"):
        Market(local_chain.rpc, other).check()


def test_another_contract_is_no_market(local_chain: LocalChain, deployment: Deployment) -> None:
    swapped = Deployment(
        chain_id=31337, market=deployment.lens, asset=deployment.asset, lens=deployment.lens, block=0
    )
    with pytest.raises((NoContract, ContractError)):
        Market(local_chain.rpc, swapped).check()


def test_another_market_s_asset_is_refused(local_chain: LocalChain, deployment: Deployment) -> None:
    other = deploy(local_chain.rpc, local_chain.keys[0])
    mixed = Deployment(
        chain_id=31337, market=deployment.market, asset=other.asset, lens=deployment.lens, block=0
    )
    with pytest.raises(NoContract, match="not this market's"):
        Market(local_chain.rpc, mixed).check()


# ------------------------------------------------------------------------------------------ account


def test_a_deposit_approves_what_it_needs_once(party) -> None:
    payer = party(100)
    payer.market.deposit(Atoms(60))
    assert payer.market.account(payer.address).free == 60
    assert payer.market.asset_balance(payer.address) == 40
    payer.market.approve(Atoms(40))
    assert payer.market.approve(Atoms(30)) is None


def test_a_deposit_for_somebody_else(party) -> None:
    giver, payer = party(100), party()
    giver.market.deposit(Atoms(60), payer.address)
    assert payer.market.account(payer.address).free == 60


def test_a_permit_deposits_in_one_transaction(party) -> None:
    payer = party(100)
    assert payer.market.takes_permits()
    payer.market.deposit_with_permit(Atoms(100))
    payer.market.mint(Atoms(5))
    payer.market.deposit_with_permit(Atoms(5))
    assert payer.market.account(payer.address).free == 105


def test_too_little_of_the_asset_is_a_sentence(party) -> None:
    payer = party(10)
    with pytest.raises(ContractError, match="holds 10 atoms of the asset and 11 are needed"):
        payer.market.deposit(Atoms(11))


def test_an_exit_pays_after_its_notice(local_chain: LocalChain, funded_payer, pass_time) -> None:
    payer = funded_payer(100)
    snapshot = local_chain.rpc.call("evm_snapshot")
    payer.market.request_exit(Atoms(70))
    account = payer.market.account(payer.address)
    assert (account.free, account.exiting) == (30, 70)
    with pytest.raises(ContractError, match="The exit notice runs until"):
        payer.market.exit()
    pass_time(account.exits_at - payer.market.head().timestamp)
    payer.market.exit()
    assert payer.market.asset_balance(payer.address) == 70
    local_chain.rpc.call("evm_revert", snapshot)


# ------------------------------------------------------------------------------------------ stake and offers


def test_stake_grows_and_leaves(local_chain: LocalChain, staked_provider, pass_time) -> None:
    provider = staked_provider(200)
    snapshot = local_chain.rpc.call("evm_snapshot")
    provider.market.request_unstake(Atoms(50))
    stake = provider.market.stake(provider.address)
    assert (stake.provider, stake.staked, stake.exiting) == (provider.address, 150, 50)
    pass_time(stake.exits_at - provider.market.head().timestamp)
    provider.market.unstake()
    assert provider.market.asset_balance(provider.address) == 50
    local_chain.rpc.call("evm_revert", snapshot)


def test_the_receipt_key_is_the_provider_until_it_names_another(staked_provider) -> None:
    provider, receipt_key = staked_provider(), Key.generate()
    assert provider.market.stake(provider.address).receipt_key == provider.address
    provider.market.set_receipt_key(receipt_key.address)
    assert provider.market.stake(provider.address).receipt_key == receipt_key.address


def test_a_posted_offer_is_found_with_its_stake(staked_provider, party) -> None:
    provider, payer = staked_provider(), party()
    offer = an_offer(provider.address)
    payer.market.post_offer(sign(offer, provider.market.deployment.domain, provider.key).signed)
    (posted,) = payer.market.offers()
    assert posted.offer == offer
    assert posted.offer_hash == offer.struct_hash()
    assert posted.stake == provider.market.stake(provider.address)
    assert payer.market.offers_of(provider.address) == (1, 0)


def test_an_offer_of_another_key_is_refused_with_both_addresses(staked_provider) -> None:
    provider, other = staked_provider(), Key.generate()
    with pytest.raises(ContractError, match=other.address.hex()):
        provider.market.post_offer(
            sign(an_offer(provider.address), provider.market.deployment.domain, other).signed
        )


def test_the_directory_has_the_newest_offer_of_each_model_that_still_holds(staked_provider, party) -> None:
    provider, watcher = staked_provider(), party()
    domain = provider.market.deployment.domain

    def post(sequence: int, model: str) -> Offer:
        offer = an_offer(provider.address, sequence, model)
        provider.market.post_offer(sign(offer, domain, provider.key).signed)
        return offer

    post(1, "a")
    b = post(2, "b")
    assert [posted.offer.sequence for posted in watcher.market.offers()] == [1, 2]
    newer = post(3, "a")
    assert {posted.offer for posted in watcher.market.offers()} == {b, newer}
    provider.market.withdraw_offers(3)
    assert [posted.offer for posted in watcher.market.offers()] == [newer]
    provider.market.request_unstake(Atoms(1))  # Under the minimum: nobody stands behind it.
    assert watcher.market.offers() == []


def test_an_offer_s_end_is_its_end(local_chain: LocalChain, staked_provider, party) -> None:
    provider, watcher = staked_provider(), party()
    ends = max(watcher.market.head().timestamp, int(time.time())) + 60
    offer = replace(an_offer(provider.address), valid_until=Timestamp(ends))
    provider.market.post_offer(sign(offer, provider.market.deployment.domain, provider.key).signed)
    assert len(watcher.market.offers()) == 1
    snapshot = local_chain.rpc.call("evm_snapshot")
    local_chain.rpc.call("evm_setNextBlockTimestamp", ends)
    local_chain.rpc.call("evm_mine")
    assert watcher.market.offers() == []
    local_chain.rpc.call("evm_revert", snapshot)


def test_the_directory_survives_a_reorganisation(local_chain: LocalChain, staked_provider, party) -> None:
    provider, watcher = staked_provider(), party()
    assert watcher.market.offers() == []
    snapshot = local_chain.rpc.call("evm_snapshot")
    provider.market.post_offer(
        sign(an_offer(provider.address), provider.market.deployment.domain, provider.key).signed
    )
    assert len(watcher.market.offers()) == 1
    local_chain.rpc.call("evm_revert", snapshot)
    local_chain.rpc.call("evm_mine")  # Until another block stands there, the node may merely lag.
    assert watcher.market.offers() == []


# ------------------------------------------------------------------------------------------ channels


@pytest.fixture
def trade(funded_payer, staked_provider):
    return funded_payer(10_000), staked_provider(), Key.generate()


def test_a_channel_that_nobody_opened_is_all_zero(trade) -> None:
    payer, provider, session = trade
    channel = payer.market.channel(payer.address, provider.address, session.address)
    key = ChannelKey(payer=payer.address, provider=provider.address, session_key=session.address)
    assert channel == Channel(key=key)
    assert channel.status is Status.NONE


def test_many_channels_are_read_in_one_question(trade, monkeypatch: pytest.MonkeyPatch) -> None:
    payer, provider, session = trade
    market = payer.market
    market.open_own_channels(
        [Opening(provider=provider.address, session_key=session.address, cap=Atoms(500))]
    )
    keys = [
        ChannelKey(payer=payer.address, provider=provider.address, session_key=key)
        for key in (session.address, provider.address)
    ]
    asked: list[str] = []
    call = market.rpc.call
    monkeypatch.setattr(market.rpc, "call", lambda *values: asked.append(values[0]) or call(*values))

    assert market.channels(keys) == [market.channel(key.payer, key.provider, key.session_key) for key in keys]
    assert market.channels(keys)[0].cap == 500
    assert asked == ["eth_call"] * 4
    assert market.channels([]) == []


def test_a_payer_opens_channels_and_raises_a_cap(trade) -> None:
    payer, provider, session = trade
    openings = [
        Opening(provider=provider.address, session_key=key, cap=Atoms(100))
        for key in (session.address, Key.generate().address)
    ]
    mined = payer.market.open_own_channels(openings)
    assert [type(event) for event in mined.events] == [ChannelOpened, ChannelOpened]
    payer.market.open_own_channels([replace(openings[0], cap=Atoms(500))])
    assert payer.market.channel(payer.address, provider.address, session.address).cap == 500
    assert payer.market.account(payer.address).free == 10_000 - 600


def test_a_provider_opens_channels_by_grants_and_settles_vouchers(trade) -> None:
    payer, provider, session = trade
    market, domain = provider.market, provider.market.deployment
    second = Key.generate()
    follower = Follower(market.rpc, domain)
    follower.poll()
    stale = a_grant(payer, provider, Key.generate(), 100, deadline=1)
    grants = [a_grant(payer, provider, key, 1000) for key in (session, second)]
    market.open_channels([*grants, stale])
    opened = [event for event in follower.poll().events if isinstance(event, ChannelOpened)]
    assert [event.channel_id for event in opened] == [grant.message.channel.id for grant in grants]

    keys = [grant.message.channel for grant in grants]
    vouchers = [
        (key, a_voucher(key, 400, owner, domain)) for key, owner in zip(keys, (session, second), strict=True)
    ]
    assert market.settle(vouchers).atoms == 800
    assert market.balance_of(provider.address) == 800
    assert market.channel(payer.address, provider.address, session.address).settled == 400
    assert market.settle(vouchers).atoms == 0  # Replays are harmless.
    events = follower.poll().events
    assert [type(event) for event in events].count(Settled) == 2
    assert [event.amount for event in events if isinstance(event, Earned)] == [800]
    assert [type(event) for event in events].count(RowSkipped) == 2

    market.withdraw()
    assert market.asset_balance(provider.address) == 800


def test_a_grant_that_cannot_be_met_is_skipped_and_says_why(trade) -> None:
    payer, provider, session = trade
    follower = Follower(provider.market.rpc, provider.market.deployment)
    follower.poll()
    provider.market.open_channels([a_grant(payer, provider, session, 10_001)])
    (event,) = follower.poll().events
    assert isinstance(event, GrantSkipped)
    assert event.reason.name == "INSUFFICIENT_FREE"


def test_many_vouchers_are_settled_in_parts(funded_payer, staked_provider) -> None:
    payer, provider = funded_payer(100_000), staked_provider()
    deployment = provider.market.deployment
    sessions = [Key.generate() for _ in range(203)]
    provider.market.open_channels([a_grant(payer, provider, session, 10) for session in sessions])
    keys = [
        ChannelKey(payer=payer.address, provider=provider.address, session_key=session.address)
        for session in sessions
    ]
    vouchers = [
        (key, a_voucher(key, 3, session, deployment)) for key, session in zip(keys, sessions, strict=True)
    ]
    follower = Follower(provider.market.rpc, deployment, events=(Settled,))
    assert provider.market.settle(vouchers).atoms == 609
    assert len({event.transaction for event in follower.poll().events}) == 2


def test_vouchers_of_two_providers_go_to_each(funded_payer, staked_provider) -> None:
    payer, one, two = funded_payer(1000), staked_provider(), staked_provider()
    session = Key.generate()
    deployment = one.market.deployment
    vouchers = []
    for provider, amount in ((one, 30), (two, 50)):
        one.market.open_channels([a_grant(payer, provider, session, 100)])
        key = ChannelKey(payer=payer.address, provider=provider.address, session_key=session.address)
        vouchers.append((key, a_voucher(key, amount, session, deployment)))
    assert one.market.settle(vouchers).atoms == 80
    assert (one.market.balance_of(one.address), one.market.balance_of(two.address)) == (30, 50)


def test_a_provider_signed_close_ends_a_channel_at_once(trade) -> None:
    payer, provider, session = trade
    opening = Opening(provider=provider.address, session_key=session.address, cap=Atoms(1000))
    payer.market.open_own_channels([opening])
    key = payer.market.channel(payer.address, provider.address, session.address).key
    close = sign(
        Close(channel_id=key.id, cumulative_amount=Atoms(250)), payer.market.deployment.domain, provider.key
    )
    payer.market.close(key, close.signed)
    assert payer.market.account(payer.address).free == 10_000 - 250
    assert payer.market.balance_of(provider.address) == 250
    assert payer.market.channel(payer.address, provider.address, session.address).key.epoch == 1


def test_a_payer_closes_alone_after_the_notice(local_chain: LocalChain, trade, pass_time) -> None:
    payer, provider, session = trade
    opening = Opening(provider=provider.address, session_key=session.address, cap=Atoms(1000))
    payer.market.open_own_channels([opening])
    snapshot = local_chain.rpc.call("evm_snapshot")
    with pytest.raises(ContractError, match="Nobody has requested"):
        payer.market.finalize_close(payer.address, provider.address, session.address)
    payer.market.request_close(provider.address, session.address)
    channel = payer.market.channel(payer.address, provider.address, session.address)
    assert channel.status is Status.CLOSING
    pass_time(channel.closes_at - payer.market.head().timestamp)
    payer.market.finalize_close(payer.address, provider.address, session.address)
    assert payer.market.account(payer.address).free == 10_000
    local_chain.rpc.call("evm_revert", snapshot)


def test_a_zero_address_is_a_sentence(party) -> None:
    with pytest.raises(ContractError, match="An address is zero"):
        party().market.set_receipt_key(ZERO_ADDRESS)
