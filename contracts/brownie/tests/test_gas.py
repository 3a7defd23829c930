"""What a real chain charges for whole transactions: within the ceilings, and what the forge snapshot says."""

import json
from pathlib import Path

import pytest
from brownie import accounts, chain

from market import HOUR, as_tuple, channel_id, compact, deploy_all, key, row, sign

SNAPSHOT = json.loads((Path(__file__).parents[2] / "snapshots" / "transactions.json").read_text())
SESSIONS = [key(f"session {i}") for i in range(100)]
WALLETS = [key(f"wallet {i}") for i in range(100)]
CAP = 10_000_000


@pytest.fixture(scope="module")
def market():
    owner, arbiter, sponsor = accounts[:3]
    made = deploy_all(owner, arbiter)
    made.asset.mint(sponsor, 10**12, {"from": sponsor})
    made.asset.approve(made.market, 10**12, {"from": sponsor})
    for wallet in WALLETS:
        made.market.deposit(wallet.address, 100_000_000, {"from": sponsor, "silent": True})
    made.market.deposit(sponsor, 1_000_000_000, {"from": sponsor})
    return made.market


def check(transaction, units, ceiling, name):
    each = transaction.gas_used / units
    print(f"\n{name}: {each:,.0f}")
    assert each <= ceiling
    # Zero bytes in addresses and signatures are cheaper, and every run has others.
    assert each == pytest.approx(int(SNAPSHOT[name]), rel=0.01)


def test_open_ten_channels(market):
    sponsor = accounts[2]
    openings = [(WALLETS[i].address, SESSIONS[i].address, CAP) for i in range(10)]
    check(market.openChannels(openings, {"from": sponsor}), 10, 30_000, "open 10 channels, each")


def test_a_hundred_grants_and_then_their_vouchers(market):
    provider, relayer = accounts[3], accounts[4]
    grants, signatures = [], []
    for wallet, session in zip(WALLETS, SESSIONS):
        grant = {
            "payer": wallet.address,
            "provider": provider.address,
            "sessionKey": session.address,
            "epoch": 0,
            "cap": CAP,
            "deadline": chain.time() + HOUR,
        }
        grants.append(as_tuple("Grant", grant))
        signatures.append(compact(sign(market, wallet, "Grant", grant)))
    opened = market.openChannelsFor(grants, signatures, {"from": relayer, "gas_limit": 25_000_000})
    check(opened, 100, 38_500, "open 100 channels by grants, each")

    def rows(count, amount):
        pairs = list(zip(WALLETS, SESSIONS))[:count]
        return [row(market, wallet.address, provider.address, session, amount) for wallet, session in pairs]

    settle = {"from": relayer, "gas_limit": 25_000_000}
    market.settle(provider, rows(100, 1_234_567), settle)  # From here on it is the steady state.
    check(market.settle(provider, rows(100, 2_345_678), settle), 100, 15_500, "settle 100 rows, each")
    check(market.settle(provider, rows(10, 3_456_789), settle), 10, 18_500, "settle 10 rows, each")
    check(market.settle(provider, rows(1, 4_567_890), settle), 1, 44_000, "settle 1 row")


def test_close_signed_by_the_provider(market):
    payer, provider, session = accounts[2], accounts[5], SESSIONS[0]
    gateway = key("gateway")
    market.setReceiptKey(gateway.address, {"from": provider})
    market.openChannels([(provider, session.address, CAP)], {"from": payer})
    market.settle(provider, [row(market, payer.address, provider.address, session, 1_234_567)], {"from": provider})
    final = {"channelId": channel_id(payer.address, provider.address, session, 0), "cumulativeAmount": 2_345_678}
    signature = compact(sign(market, gateway, "Close", final))
    closed = market.close(payer, provider, session.address, 2_345_678, signature, {"from": payer})
    check(closed, 1, 48_000, "close, signed by the provider")
