"""All tabs of one provider, in memory and on disk, and its offers. The rules are `tab`'s and `admission`'s.

Everything here is one step of the event loop, except where it says that it saves.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from tallystick.ports import Clock
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import (
    ChannelLost,
    ModelNotOffered,
    OfferExpired,
    OfferUnknown,
    OfferWithdrawn,
)
from tallystick.protocol.offer import SALT_BITS, Offer, fresh_sequence
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed, Verified, sign
from tallystick.protocol.units import Address, Atoms, ChannelId, Hash32, Timestamp, to_hex
from tallystick.protocol.voucher import Close, Voucher
from tallystick.protocol.wire import receipt_text
from tallystick_node.gateway.errors import ChainStale
from tallystick_node.gateway.past import Past
from tallystick_node.gateway.tab import Account, Tab
from tallystick_node.store.records import ChannelSaved, ReceiptRestored, Store, StoredChannel, VoucherSaved


class Books:
    """What one provider sells, and what it is owed for it."""

    def __init__(
        self,
        *,
        provider: Address,
        key: Key,
        domain: Domain,
        store: Store,
        clock: Clock,
        on_receipt: Callable[[Receipt], None] = lambda _: None,
    ):
        self.provider = provider
        self.domain = domain
        self.store = store
        self.clock = clock
        self.accounts: dict[Address, Account] = {}
        self.tabs: dict[ChannelId, Tab] = {}
        self.offers: dict[Hash32, Offer] = {}
        """All of ours that were ever posted, by hash."""
        self.minimum_sequence = 0
        """Offers under it are withdrawn."""
        self.unsettled_since: dict[ChannelId, Timestamp] = {}
        self._signed: dict[int, Hash32] = {}
        """Offers that this process signed, by sequence: never two with one."""
        self.made: set[int] = set()
        """Sequences of those that nobody had signed before."""
        self._key = key
        self._on_receipt = on_receipt
        self._wakes: dict[Address, list[asyncio.Event]] = {}
        self.past = Past(store.birth())
        for stored in store.channels():
            self._load(stored)

    def _load(self, stored: StoredChannel) -> None:
        tab = self._add(
            Tab(
                channel=Channel(key=stored.key),
                grant=stored.grant,
                closed=stored.closed,
                refusing=stored.refusing,
                lost=stored.lost,
                kept=True,
                voucher=stored.voucher,
                acknowledged=stored.acknowledged,
                issued=stored.acknowledged,
            )
        )
        for receipt in stored.unacknowledged:
            tab.issue(receipt)
        if tab.voucher is not None:
            self.unsettled_since[tab.id] = self.now

    @property
    def receipt_key(self) -> Address:
        return self._key.address

    @property
    def now(self) -> Timestamp:
        return Timestamp(self.clock.milliseconds() // 1000)

    # ------------------------------------------------------------------------------------------------ tabs

    def open(self, key: ChannelKey) -> Tab:
        """The channel's tab, a new one where there is none. A new one is not saved."""
        known = self.tabs.get(key.id)
        return known or self._add(Tab(channel=Channel(key=key)))

    def _add(self, tab: Tab) -> Tab:
        payer = tab.channel.key.payer
        account = self.accounts.setdefault(payer, Account(payer=payer))
        account.tabs[tab.id] = tab
        self.tabs[tab.id] = tab
        return tab

    def drop(self, tab: Tab) -> None:
        """One that was never kept."""
        assert not tab.kept
        assert not tab.running
        del self.tabs[tab.id]
        account = self.account(tab)
        del account.tabs[tab.id]
        if not account.tabs:
            del self.accounts[account.payer]

    def account(self, tab: Tab) -> Account:
        return self.accounts[tab.channel.key.payer]

    def is_lost(self, tab: Tab) -> bool:
        """Whether receipts may have been issued on it that we have forgotten. Of one without receipts that is
        asked anew each time; raises ChainStale while it cannot be said."""
        if tab.lost or tab.issued.count:
            return tab.lost
        lost = self.past.may_hold(tab.channel.key)
        if lost is None:
            raise ChainStale(
                "This node has not read enough of the chain to say what it may have forgotten.",
                required=self.past.birth,
                actual=self.past.reached,
            )
        return lost

    def require_whole(self, tab: Tab) -> None:
        """We hold all that was ever issued on it; raises ChannelLost or ChainStale."""
        if self.is_lost(tab):
            raise _lost(tab)

    def require_open(self, tab: Tab) -> None:
        """It takes vouchers and work; raises WrongEpoch, ChannelLost, ChainStale, ChannelNotOpen or
        ChannelUnknown."""
        if not tab.closed:
            self.require_whole(tab)
        tab.require_open()

    @staticmethod
    def saved(tab: Tab) -> ChannelSaved:
        """The tab, as it is kept from now on."""
        tab.kept = True
        return ChannelSaved(
            key=tab.channel.key,
            channel_id=tab.id,
            grant=tab.grant,
            closed=tab.closed,
            refusing=tab.refusing,
            lost=tab.lost,
        )

    def acknowledge(self, tab: Tab, verified: Verified[Voucher]) -> VoucherSaved | None:
        """What to save before anything is done on the strength of it; None: the voucher was overtaken.
        Raises what `Tab.acknowledge` does."""
        if not tab.acknowledge(verified):
            return None
        self.unsettled_since.setdefault(tab.id, self.now)
        self.wake(tab)
        return VoucherSaved(voucher=verified.signed, tally=tab.acknowledged)

    # --------------------------------------------------------------------------------------------- signing

    def issue(self, tab: Tab, receipt: Receipt) -> tuple[Signed[Receipt], str]:
        """The next receipt, signed, and as it goes over the wire. Save it before it is sent. Raises
        ChannelLost: a second receipt under one sequence would be proof of fraud."""
        if tab.lost or (tab.issued.count == 0 and self.past.may_hold(tab.channel.key)):
            raise _lost(tab)
        tab.issue(receipt)
        self._on_receipt(receipt)
        signed = sign(receipt, self.domain, self._key).signed
        return signed, receipt_text(signed)

    def restore(self, tab: Tab, receipt: Receipt, text: str, *, wanted: int) -> ReceiptRestored:
        """One of ours that the payer has kept and we have not, the next of its channel; raises what
        `Tab.take_back` does."""
        tab.lost = True
        tab.take_back(receipt, wanted=wanted)
        return ReceiptRestored(receipt=receipt, text=text)

    def sign_close(self, tab: Tab) -> Signed[Close]:
        """At what is acknowledged. The tab must be refusing, and saved so."""
        return self._close_at(tab, tab.acknowledged.amount)

    def sign_end(self, tab: Tab) -> Signed[Close]:
        """At what is settled: it pays nothing, so that anyone may send it, and gives up the rest."""
        return self._close_at(tab, tab.channel.settled)

    def _close_at(self, tab: Tab, amount: Atoms) -> Signed[Close]:
        assert tab.refusing
        return sign(Close(channel_id=tab.id, cumulative_amount=amount), self.domain, self._key).signed

    def sign_quote(self, quote: Quote) -> Signed[Quote]:
        return sign(quote, self.domain, self._key).signed

    def sign_offer(self, offer: Offer, *, latest: int, minimum: int) -> Signed[Offer]:
        """Under a sequence that was never signed for; `latest` and `minimum` are the chain's."""
        latest = max(latest, *self._signed, 0)
        sequence = fresh_sequence(
            latest=latest, minimum=minimum, now=self.clock.milliseconds(), salt=secrets.randbits(SALT_BITS)
        )
        fresh = replace(offer, sequence=sequence)
        self._signed[sequence] = fresh.struct_hash()
        self.made.add(sequence)
        return sign(fresh, self.domain, self._key).signed

    def posted_offers(self) -> list[tuple[Hash32, Signed[Offer]]]:
        """Those that hold, signed once more. One that contradicts what this process signed is left out:
        whoever makes the chain's node say so is after the stake."""
        return [
            (offer_hash, sign(offer, self.domain, self._key).signed)
            for offer_hash, offer in self.holding()
            if self._signed.setdefault(offer.sequence, offer_hash) == offer_hash
        ]

    # ---------------------------------------------------------------------------------------------- offers

    def offer(self, offer_hash: Hash32, model: str) -> Offer:
        """One of ours that holds and names the model; raises OfferError."""
        offer = self.standing(offer_hash)
        if offer.model != model:
            raise ModelNotOffered("The offer is for another model.", required=offer.model, actual=model)
        return offer

    def standing(self, offer_hash: Hash32) -> Offer:
        """One of ours that holds; raises OfferUnknown, OfferWithdrawn or OfferExpired."""
        offer = self.offers.get(offer_hash)
        if offer is None:
            raise OfferUnknown("The offer is none of this provider's.", actual=to_hex(offer_hash))
        if offer.sequence < self.minimum_sequence:
            raise OfferWithdrawn(
                "The offer was withdrawn.", required=self.minimum_sequence, actual=offer.sequence
            )
        if offer.valid_until <= self.now:
            raise OfferExpired("The offer has expired.", required=offer.valid_until, actual=self.now)
        return offer

    def holding(self) -> list[tuple[Hash32, Offer]]:
        """The newest of each model that holds now."""
        newest = {offer.model: (offer_hash, offer) for offer_hash, offer in self._by_sequence()}
        return list(newest.values())

    def _by_sequence(self) -> list[tuple[Hash32, Offer]]:
        holding = (
            item
            for item in self.offers.items()
            if item[1].sequence >= self.minimum_sequence and item[1].valid_until > self.now
        )
        return sorted(holding, key=lambda item: item[1].sequence)

    # --------------------------------------------------------------------------------------------- waiting

    def wake(self, tab: Tab) -> None:
        """There may be room again: whoever is paused looks, the longest waiting first."""
        for event in self._wakes.get(tab.channel.key.payer, ()):
            event.set()

    @contextmanager
    def waiting(self, tab: Tab) -> Iterator[asyncio.Event]:
        """An event that `wake` sets."""
        event = asyncio.Event()
        events = self._wakes.setdefault(tab.channel.key.payer, [])
        events.append(event)
        try:
            yield event
        finally:
            events.remove(event)


def _lost(tab: Tab) -> ChannelLost:
    return ChannelLost(
        "This provider has lost what it held of the channel. Hand your half over (restore): it is closed at "
        "what you hold, and goes on in its next epoch.",
        actual=tab.issued.count,
    )
