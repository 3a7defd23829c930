"""Whether a market adds up, from the chain and from the receipts that its payers hold.

Three questions, each answered with the figures that decide. It starts nothing and changes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from tallystick.chain.events import ChannelOpened, Deposited, Staked
from tallystick.chain.follower import Follower
from tallystick.chain.market import Market
from tallystick.chain.record import Record
from tallystick.client.purse import HeldReceipt
from tallystick.client.transport import Transport
from tallystick.protocol.acknowledgements import find_settled
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.reconcile import ChannelAudit, reconcile
from tallystick.protocol.units import ChannelId, Hash32, to_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question and its answer."""

    question: str
    holds: bool
    found: str
    """The figures, or what is wrong."""


@dataclass(frozen=True, slots=True)
class PayersHalf:
    """What a payer holds of the market."""

    held: Sequence[HeldReceipt]
    asked: Sequence[tuple[ChannelId, Hash32, int]]
    """(channel, request hash, nonce) of its requests: a settled voucher is bare, or came with one of them."""

    @classmethod
    def of(cls, transport: Transport) -> Self:
        purse = transport.session.purse
        return cls(purse.held_receipts(), purse.asked())

    @classmethod
    def joined(cls, halves: Iterable[Self]) -> Self:
        """What several hold together."""
        halves = list(halves)
        return cls(
            [one for half in halves for one in half.held], [one for half in halves for one in half.asked]
        )


def audit(market: Market, payer: PayersHalf) -> list[Check]:
    """The three checks over all that the chain has logged and all that the one payer has accepted."""
    record = Record(market)
    channels = [_channel(record, payer, channel_id) for channel_id in _channels(record, payer)]
    earned, paid = sum(item.amount for item in channels), sum(item.settled for item in channels)
    faults = [fault for item in channels for fault in _faults(item)]
    held = market.asset_balance(market.deployment.market)
    owed = _owed(market, Follower(market.rpc, market.deployment).poll().events)
    return [
        Check(
            question="Σ receipts = Σ settled",
            holds=earned == paid and all(item.receipts and item.rows for item in channels),
            found=f"{earned:,} = {paid:,} atoms over {len(channels)} channels",
        ),
        Check(
            question="the contract holds what it owes (INV-1)",
            holds=held == owed,
            found=f"{held:,} = {owed:,} atoms",
        ),
        Check(
            question="every receipt verifies: signature, price, sum, settled root",
            holds=not faults and bool(payer.held),
            found=f"{len(payer.held):,} receipts" if not faults else "; ".join(faults[:5]),
        ),
    ]


def _channels(record: Record, payer: PayersHalf) -> list[ChannelId]:
    """Those that were settled, and those that it has receipts of."""
    held = dict.fromkeys(item.receipt.message.channel_id for item in payer.held)
    return list(dict.fromkeys((*held, *record.settled_channels())))


def _channel(record: Record, payer: PayersHalf, channel_id: ChannelId) -> ChannelAudit:
    receipts = [item.receipt for item in payer.held if item.receipt.message.channel_id == channel_id]
    receipts.sort(key=lambda signed: signed.message.sequence)
    facts = record.facts(channel_id, {signed.message.offer_hash for signed in receipts})
    requests = [
        (request_hash, nonce) for channel, request_hash, nonce in payer.asked if channel == channel_id
    ]
    settled = find_settled([signed.message for signed in receipts], requests, facts.settlements)
    return reconcile(receipts, settled, channel_id, facts)


def _faults(channel: ChannelAudit) -> Iterator[str]:
    """What is wrong with it. Requests of a purse that was lost are not known any more, and so not what their
    vouchers acknowledged: only the last settlement must be of these receipts."""
    name = f"channel {to_hex(channel.channel_id)[:10]}…"
    yield from (f"{name}: {fault.reason}" for fault in channel.faults)
    yield from (f"{name}: {row.reason}" for row in channel.rows if row.holds is False)
    if channel.rows and not channel.rows[-1].holds:
        yield f"{name}: the settled root is not that of its receipts"


def charged_twice(held: Iterable[HeldReceipt], most_tokens: int) -> list[tuple[ChannelId, int]]:
    """(channel, nonce) of the requests with two last receipts, two charges of the input, or more output than
    any asked for. A receipt without a nonce stands for a request of its own."""
    requests: dict[tuple[ChannelId, int, int], list[Receipt]] = defaultdict(list)
    for item in held:
        receipt = item.receipt.message
        requests[receipt.channel_id, item.nonce, 0 if item.nonce else receipt.sequence].append(receipt)
    return [
        (channel, nonce)
        for (channel, nonce, _), issued in requests.items()
        if sum(receipt.finish != Finish.INTERIM for receipt in issued) > 1
        or sum(receipt.input_tokens > 0 for receipt in issued) > 1
        or sum(receipt.output_tokens for receipt in issued) > most_tokens
    ]


def _owed(market: Market, events: Sequence[object]) -> int:
    """Σ free + Σ exiting + Σ (cap − settled) + Σ balances + Σ stake, read from the contract's state."""
    opened = [event for event in events if isinstance(event, ChannelOpened)]
    payers = {event.payer for event in events if isinstance(event, Deposited)}
    providers = {event.provider for event in events if isinstance(event, Staked | ChannelOpened)}
    keys = {(event.payer, event.provider, event.session_key) for event in opened}
    accounts = [market.account(payer) for payer in payers]
    stakes = [market.stake(provider) for provider in providers]
    channels = [market.channel(*key) for key in keys]
    return (
        sum(account.free + account.exiting for account in accounts)
        + sum(channel.cap - channel.settled for channel in channels)
        + sum(market.balance_of(provider) for provider in providers)
        + sum(stake.staked + stake.exiting for stake in stakes)
    )
