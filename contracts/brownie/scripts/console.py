"""Deploys a market and hands it to whoever types:  scripts/console"""

from brownie import accounts

import market as words


def main():
    owner, arbiter, payer, provider = accounts[:4]
    made = words.deploy_all(owner, arbiter)
    asset, market, lens = made.asset, made.market, made.lens
    for party in (payer, provider):
        asset.mint(party, 10_000_000_000, {"from": party})
        asset.approve(market, 2**256 - 1, {"from": party})
    print(
        """
    asset, market, lens                    the contracts
    owner, arbiter, payer, provider        accounts; payer and provider have 10,000 TEST each, approved
    words                                  key, sign, row, ... of contracts/brownie/market.py

    market.deposit(payer, 5_000_000, {"from": payer})
    market.openChannels([(provider, words.key("session").address, 1_000_000)], {"from": payer})
    market.settle(provider, [words.row(market, payer.address, provider.address, words.key("session"), 42)], {"from": owner})
    market.balanceOf(provider)
    """
    )
    return asset, market, lens
