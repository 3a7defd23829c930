"""A market on a real chain that ran every kind of trade once, failures included."""

from dataclasses import dataclass, replace
from typing import Any

from tallystick.chain import contracts
from tallystick.chain.deployment import Deployment
from tallystick.chain.local import LocalChain
from tallystick.chain.market import Opening
from tallystick.chain.reports import report
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.fraud import receipt_equivocation
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.units import ZERO_HASH, Atoms, Hash32, to_hex
from tallystick.protocol.voucher import Close, Voucher
from tests.chain.test_fraud import a_receipt
from tests.chain.test_market import a_voucher, an_offer
from tests.conftest import Parties, Party

DOLLAR = 1_000_000
MODEL = "small-model"


@dataclass
class Traded:
    """Who did it."""

    parties: Parties
    payers: list[Party]
    provider: Party
    cheat: Party
    """Another provider, which was slashed."""
    receipt_key: Key
    channels: list[ChannelKey]

    @property
    def chain(self) -> LocalChain:
        return self.parties.chain

    @property
    def deployment(self) -> Deployment:
        return self.parties.deployment

    def voucher(self, number: int, session: Key, amount: int) -> tuple[ChannelKey, Signed[Voucher]]:
        key = self.channels[number]
        return key, a_voucher(key, amount, session, self.deployment)

    def fail(self, sender: Any, name: str, *values: Any, gas: int = 300_000) -> Hash32:
        """A transaction to the market that is mined and reverts."""
        call = contracts.market().call(self.deployment.market, name, *values)
        self.chain.rpc.call("anvil_impersonateAccount", to_hex(sender.address))
        sent = {"from": to_hex(sender.address), "to": to_hex(self.deployment.market), "gas": hex(gas)}
        answer = self.chain.rpc.call("eth_sendTransaction", sent | {"data": to_hex(call.data)})
        self.chain.rpc.call("anvil_stopImpersonatingAccount", to_hex(sender.address))
        return Hash32(bytes.fromhex(answer[2:]))


def trade(parties: Parties) -> Traded:
    payers = [parties.funded_payer(), parties.funded_payer()]
    provider, cheat = parties.staked_provider(), parties.staked_provider()
    sessions = [Key.generate() for _ in range(4)]
    receipt_key = Key.generate()
    ends = [(payers[0], provider), (payers[0], cheat), (payers[1], provider), (payers[1], provider)]
    channels = [
        ChannelKey(payer=payer.address, provider=party.address, session_key=session.address)
        for (payer, party), session in zip(ends, sessions, strict=True)
    ]
    done = Traded(parties, payers, provider, cheat, receipt_key, channels)
    deployment = parties.deployment
    provider.market.set_receipt_key(receipt_key.address)
    for sequence, model in ((1, MODEL), (2, "<b>other\0</b>")):
        offer = an_offer(provider.address, sequence, model)
        payers[0].market.post_offer(sign(offer, deployment.domain, receipt_key).signed)
    provider.market.withdraw_offers(2)
    for payer, mine in ((payers[0], channels[:2]), (payers[1], channels[2:])):
        openings = [opening(key, 10 * DOLLAR) for key in mine]
        payer.market.open_own_channels(openings)
    payers[0].market.open_own_channels([opening(channels[0], 12 * DOLLAR)])
    _settle(done, sessions)
    _end(done, sessions)
    return done


def opening(key: ChannelKey, cap: int) -> Opening:
    return Opening(provider=key.provider, session_key=key.session_key, cap=Atoms(cap))


def _settle(done: Traded, sessions: list[Key]) -> None:
    market = done.provider.market
    stale = done.voucher(2, sessions[2], DOLLAR)
    market.settle([done.voucher(0, sessions[0], 3 * DOLLAR), stale])
    market.settle([done.voucher(0, sessions[0], 5 * DOLLAR), stale])
    done.cheat.market.settle([done.voucher(1, sessions[1], 2 * DOLLAR)])
    done.fail(done.payers[0], "exit", done.payers[0].address)
    done.fail(done.payers[0], "requestExit", 1 << 95)
    done.fail(done.payers[0], "settle", done.provider.address, [], gas=23_000)
    stranger = done.payers[1].market
    stranger.mint(Atoms(77), done.deployment.market)  # A gift, which is owed to nobody.


def _end(done: Traded, sessions: list[Key]) -> None:
    channels, provider, cheat = done.channels, done.provider, done.cheat
    payers = done.payers
    close = Close(channel_id=channels[2].id, cumulative_amount=Atoms(4 * DOLLAR))
    payers[1].market.close(channels[2], sign(close, done.deployment.domain, done.receipt_key).signed)
    payers[1].market.request_close(provider.address, sessions[3].address)
    payers[0].market.request_exit(Atoms(900 * DOLLAR))
    provider.market.withdraw()
    cheat.market.request_unstake(Atoms(30 * DOLLAR))
    _report(done)
    provider.market.request_unstake(Atoms(10 * DOLLAR))
    done.parties.pass_time(90_000)
    payers[0].market.exit()
    provider.market.unstake()
    provider.market.finalize_close(payers[1].address, provider.address, sessions[3].address)


def _report(done: Traded) -> None:
    """The cheat signed two receipts in one place of its channel."""
    channel, domain = done.channels[1], done.deployment.domain
    one = a_receipt(an_offer(done.cheat.address), channel)
    other = replace(one, response_hash=ZERO_HASH)
    shown = [sign(receipt, domain, done.cheat.key).signed for receipt in (one, other)]
    report(done.payers[1].market, receipt_equivocation(channel, *shown))
