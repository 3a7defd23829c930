"""A program that knows only web3 and the shipped ABI sees the same market as our adapter does."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from web3 import Web3
from web3.contract import Contract

import tallystick.chain.market
from tallystick.chain.events import OfferPosted, Settled
from tallystick.chain.follower import Follower
from tallystick.chain.local import LocalChain
from tallystick.chain.market import Opening
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_HASH, Atoms, AtomsPerMTok, Hash32, Timestamp, Tokens
from tallystick.protocol.voucher import Acknowledgement, Voucher

ARTIFACT = Path(tallystick.chain.market.__file__).parent / "artifacts/Market.json"


@pytest.fixture
def contract(local_chain: LocalChain, deployment) -> Contract:
    w3 = Web3(Web3.HTTPProvider(local_chain.url))
    address = w3.to_checksum_address(deployment.market)
    return w3.eth.contract(address=address, abi=json.loads(ARTIFACT.read_text())["abi"])


@pytest.fixture
def trade(funded_payer, staked_provider):
    """A payer, a provider with an offer, and a channel on which 400 atoms are settled."""
    payer, provider, session = funded_payer(10_000), staked_provider(), Key.generate()
    domain = provider.market.deployment.domain
    offer = Offer(
        provider=provider.address,
        sequence=7,
        endpoint="https://provider.example/ä",
        endpoint_key=Hash32(b"\5" * 32),
        model="tiny",
        model_hash=ZERO_HASH,
        input_price=AtomsPerMTok(100_000),
        cached_input_price=AtomsPerMTok(50_000),
        output_price=AtomsPerMTok(400_000),
        context_length=Tokens(4096),
        credit=Atoms(10_000),
        valid_until=Timestamp(2**39),
    )
    provider.market.post_offer(sign(offer, domain, provider.key).signed)
    payer.market.open_own_channels(
        [Opening(provider=provider.address, session_key=session.address, cap=Atoms(1_000))]
    )
    key = ChannelKey(payer=payer.address, provider=provider.address, session_key=session.address)
    acknowledgement = Acknowledgement(receipt_count=1, receipts_root=Hash32(b"\6" * 32))
    voucher = Voucher(channel_id=key.id, cumulative_amount=Atoms(400), acknowledgement=acknowledgement)
    provider.market.settle([(key, sign(voucher, domain, session).signed)])
    payer.market.request_exit(Atoms(70))
    return payer, provider, session


def hexed(address: bytes) -> str:
    return Web3.to_checksum_address(address)


def test_account_stake_and_channel_are_the_same(contract: Contract, trade) -> None:
    payer, provider, session = trade
    theirs, ours = contract.functions, payer.market

    account = ours.account(payer.address)
    assert theirs.accountOf(hexed(payer.address)).call() == [
        account.free,
        account.exiting,
        account.exits_at,
    ]
    assert (account.free, account.exiting) == (10_000 - 1_000 - 70, 70)

    stake = ours.stake(provider.address)
    assert theirs.stakeOf(hexed(provider.address)).call() == [
        stake.staked,
        stake.exiting,
        stake.exits_at,
        hexed(stake.receipt_key),
    ]

    channel = ours.channel(payer.address, provider.address, session.address)
    parties = map(hexed, (payer.address, provider.address, session.address))
    assert theirs.channelOf(*parties).call() == [
        channel.cap,
        channel.settled,
        channel.closes_at,
        channel.key.epoch,
    ]
    assert channel.settled == 400


def test_offers_are_the_same(contract: Contract, trade) -> None:
    payer, provider, _ = trade
    latest, minimum = contract.functions.offersOf(hexed(provider.address)).call()
    assert (latest, minimum) == payer.market.offers_of(provider.address)

    (log,) = contract.events.OfferPosted().get_logs(from_block=payer.market.deployment.block)
    (posted,) = payer.market.offers()
    ours = asdict(posted.offer) | {"provider": hexed(provider.address)}
    assert list(log["args"]["offer"].values()) == list(ours.values())
    assert log["args"]["offerHash"] == posted.offer_hash


@pytest.mark.parametrize("kind", [OfferPosted, Settled])
def test_logs_are_the_same(contract: Contract, trade, kind: type) -> None:
    market = trade[0].market
    (event,) = Follower(market.rpc, market.deployment, events=(kind,)).poll().events
    (log,) = contract.events[kind.__name__]().get_logs(from_block=market.deployment.block)
    place = (log["blockNumber"], log["logIndex"], log["transactionHash"])
    assert place == (event.block, event.log_index, event.transaction)
    match event:
        case Settled():
            assert tuple(log["args"].values()) == (
                event.channel_id,
                event.settled,
                event.acknowledgement_hash,
            )
        case OfferPosted():
            assert log["args"]["provider"] == hexed(event.provider)
            assert log["args"]["sequence"] == event.sequence == 7
            assert log["args"]["offer"]["endpoint"] == event.offer.endpoint
