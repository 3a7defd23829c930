"""Deploys a market and hands it to whoever types:  scripts/console"""

from brownie import accounts

import market as words


def main():
    owner, payer, provider, judge = accounts[:4]
    made = words.deploy_duels(owner)
    asset, market, duels, audits, lens = made.asset, made.market, made.duels, made.audits, made.lens
    for party in (payer, provider, judge):
        asset.mint(party, 10_000_000_000, {"from": party})
        asset.approve(market, 2**256 - 1, {"from": party})
    print(
        """
    asset, market, duels, audits, lens     the contracts
    owner, payer, provider, judge          accounts; the last three have 10,000 TEST each, approved
    words                                  key, sign, row, ... of contracts/brownie/market.py

    market.deposit(payer, 5_000_000, {"from": payer})
    market.openChannels([(provider, words.key("session").address, 1_000_000)], {"from": payer})
    market.settle(provider, [words.row(market, payer.address, provider.address, words.key("session"), 42)], {"from": owner})
    market.balanceOf(provider)
    market.stake(1_000_000_000, {"from": judge})
    duels.enlist(judge, {"from": judge})
    audits.strikesOf(provider)
    """
    )
    return asset, market, duels, audits, lens
