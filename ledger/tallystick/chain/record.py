"""All that a market's contract ever logged about channels, offers and keys, read once: an auditor's facts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from tallystick.chain.blocks import read_block
from tallystick.chain.events import (
    ChannelClosed,
    ChannelOpened,
    OfferPosted,
    OffersWithdrawn,
    ReceiptKeySet,
    Settled,
)
from tallystick.chain.follower import Follower
from tallystick.chain.market import Market
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.facts import Facts, Posted, Settlement
from tallystick.protocol.units import Address, ChannelId, Hash32, Timestamp

_EVENTS: Final = (ChannelOpened, OfferPosted, OffersWithdrawn, ReceiptKeySet, Settled, ChannelClosed)
_BLOCKS: Final = 100
"""Asked for in one batch."""


class Record:
    """An offer whose words are no UTF-8 is not in it: no payer can have read it. Raises ChainUnavailable
    where the node does not answer."""

    def __init__(self, market: Market):
        self._market = market
        update = Follower(market.rpc, market.deployment, events=_EVENTS).poll()
        self.block = update.head.number
        self._times: dict[int, Timestamp] = {}
        self._opened: dict[ChannelId, ChannelKey] = {}
        self._posted: dict[Hash32, OfferPosted] = {}
        self._withdrawn: dict[Address, list[OffersWithdrawn]] = defaultdict(list)
        self._keys: dict[Address, set[Address]] = defaultdict(set)
        self._settled: dict[ChannelId, list[Settled | ChannelClosed]] = defaultdict(list)
        for event in update.events:
            match event:
                case ChannelOpened():
                    self._opened.setdefault(event.channel_id, _key(event))
                case OfferPosted() if event.offer.struct_hash() == event.offer_hash:
                    self._posted.setdefault(event.offer_hash, event)
                case OffersWithdrawn():
                    self._withdrawn[event.provider].append(event)
                case ReceiptKeySet():
                    self._keys[event.provider].add(event.receipt_key)
                case Settled():
                    self._settled[event.channel_id].append(event)
                case ChannelClosed():
                    self._close(event)

    def _close(self, event: ChannelClosed) -> None:
        """It is a payment where it settled more than was settled before."""
        before = self._settled[event.channel_id]
        if event.settled > (before[-1].settled if before else 0):
            before.append(event)

    def facts(self, channel_id: ChannelId, offer_hashes: Iterable[Hash32]) -> Facts:
        """About one channel, and these offers."""
        posted = [event for name in set(offer_hashes) if (event := self._posted.get(name)) is not None]
        channel, settled = self._opened.get(channel_id), self._settled.get(channel_id, [])
        withdrawals = {event.offer_hash: self._withdrawal(event) for event in posted}
        self._read_times([*posted, *settled, *(event for event in withdrawals.values() if event is not None)])
        providers = {event.provider for event in posted} | ({channel.provider} if channel else set())
        return Facts(
            domain=self._market.deployment.domain,
            block=self.block,
            channel=channel,
            offers={event.offer_hash: self._offer(event, withdrawals[event.offer_hash]) for event in posted},
            receipt_keys={provider: frozenset(self._keys.get(provider, ())) for provider in providers},
            settlements=tuple(self._settlement(event) for event in settled),
        )

    def channels_of(self, party: Address) -> list[ChannelId]:
        """That it ever paid or was paid through, oldest first."""
        return [channel_id for channel_id, key in self._opened.items() if party in (key.payer, key.provider)]

    def channel(self, channel_id: ChannelId) -> ChannelKey | None:
        return self._opened.get(channel_id)

    def settled_channels(self) -> Sequence[ChannelId]:
        return [channel_id for channel_id, payments in self._settled.items() if payments]

    def _withdrawal(self, posted: OfferPosted) -> OffersWithdrawn | None:
        return next(
            (
                event
                for event in self._withdrawn.get(posted.provider, ())
                if event.minimum_sequence > posted.sequence
            ),
            None,
        )

    def _offer(self, event: OfferPosted, withdrawn: OffersWithdrawn | None) -> Posted:
        return Posted(
            offer=event.offer,
            posted_at=self._times[event.block],
            withdrawn_at=None if withdrawn is None else self._times[withdrawn.block],
        )

    def _settlement(self, event: Settled | ChannelClosed) -> Settlement:
        return Settlement(
            settled=event.settled,
            acknowledgement_hash=event.acknowledgement_hash if isinstance(event, Settled) else None,
            block=event.block,
            log_index=event.log_index,
            transaction=event.transaction,
            timestamp=self._times[event.block],
        )

    def _read_times(self, events: Iterable[OfferPosted | OffersWithdrawn | Settled | ChannelClosed]) -> None:
        missing = sorted({event.block for event in events} - self._times.keys())
        for start in range(0, len(missing), _BLOCKS):
            numbers = missing[start : start + _BLOCKS]
            found = self._market.rpc.batch(
                [("eth_getBlockByNumber", (hex(number), False)) for number in numbers]
            )
            for number, block in zip(numbers, found, strict=True):
                self._times[number] = read_block(block, number).timestamp


def _key(event: ChannelOpened) -> ChannelKey:
    return ChannelKey(
        payer=event.payer, provider=event.provider, session_key=event.session_key, epoch=event.epoch
    )
