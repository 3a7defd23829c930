"""Whether a market adds up, from the chain and from the receipts that its payers hold.

Three questions, each answered with the figures that decide. It starts nothing and changes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from tallystick.chain.events import ChannelOpened, Deposited, OfferPosted, Settled, Staked
from tallystick.chain.follower import Follower
from tallystick.chain.market import Market
from tallystick.client.purse import HeldReceipt
from tallystick.client.transport import Transport
from tallystick.protocol.audit import audited, tally_of
from tallystick.protocol.errors import MarketError
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Verified
from tallystick.protocol.units import ZERO_HASH, ChannelId, Hash32, to_hex
from tallystick.protocol.voucher import Tally


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


def audit(market: Market, payer: PayersHalf) -> list[Check]:
    """The three checks over all that the chain has logged and all that the one payer has accepted."""
    events = Follower(market.rpc, market.deployment).poll().events
    settled = {event.channel_id: event for event in events if isinstance(event, Settled)}
    by_channel, faults = _verified(market, events, payer.held)
    faults += _misrooted(by_channel, settled, payer.asked)

    earned = sum(item.message.cost for items in by_channel.values() for item in items)
    paid = sum(event.settled for event in settled.values())
    held = market.asset_balance(market.deployment.market)
    owed = _owed(market, events)
    return [
        Check(
            question="Σ receipts = Σ settled",
            holds=earned == paid and set(by_channel) == set(settled),
            found=f"{earned:,} = {paid:,} atoms over {len(settled)} channels",
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


def _verified(
    market: Market, events: Sequence[object], held: Sequence[HeldReceipt]
) -> tuple[dict[ChannelId, list[Verified[Receipt]]], list[str]]:
    """The receipts by channel, each one signed and priced as its posted offer says; and what is wrong."""
    offers = {event.offer_hash: event.offer for event in events if isinstance(event, OfferPosted)}
    by_channel: dict[ChannelId, list[Verified[Receipt]]] = defaultdict(list)
    faults: list[str] = []
    for signed in (item.receipt for item in held):
        try:
            offer = offers[signed.message.offer_hash]
            key = market.stake(offer.provider).receipt_key
            verified = audited(signed, offer, market.deployment.domain, receipt_key=key)
            by_channel[signed.message.channel_id].append(verified)
        except (MarketError, KeyError) as error:
            faults.append(f"receipt {signed.message.sequence}: {error}")
    return by_channel, faults


def _misrooted(
    by_channel: Mapping[ChannelId, Sequence[Verified[Receipt]]],
    settled: Mapping[ChannelId, Settled],
    asked: Iterable[tuple[ChannelId, Hash32, int]],
) -> Iterator[str]:
    """Channels whose receipts do not follow each other, or were settled by another root than theirs."""
    carried: dict[ChannelId, list[tuple[Hash32, int]]] = defaultdict(lambda: [(ZERO_HASH, 0)])
    for channel_id, request_hash, nonce in asked:
        carried[channel_id].append((request_hash, nonce))
    for channel_id, receipts in by_channel.items():
        try:
            tally = tally_of(item.message for item in receipts)
        except MarketError as error:
            yield f"channel {to_hex(channel_id)[:10]}…: {error}"
            continue
        event = settled.get(channel_id)
        if event is not None and not _acknowledges(event, tally, carried[channel_id]):
            yield f"channel {to_hex(channel_id)[:10]}…: the settled root is not that of its receipts"


def _acknowledges(event: Settled, tally: Tally, carried: Iterable[tuple[Hash32, int]]) -> bool:
    """The settled voucher acknowledges exactly `tally`: a bare one, or one that came with a request."""
    return any(
        event.acknowledgement_hash
        == tally.voucher(
            event.channel_id, request_hash=request_hash, request_nonce=nonce
        ).acknowledgement.struct_hash()
        for request_hash, nonce in carried
    )


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
