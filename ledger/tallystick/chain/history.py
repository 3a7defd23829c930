"""What the market's events say of one channel, one offer, one party. Each question reads them all, once."""

from tallystick.chain.events import ChannelOpened, OfferPosted
from tallystick.chain.follower import Follower
from tallystick.chain.market import Market
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.units import Address, ChannelId, Hash32


def channels_of(market: Market, party: Address) -> list[Channel]:
    """Those that `party` ever paid or was paid through, as they are now; oldest first."""
    ends = {
        (event.payer, event.provider, event.session_key): None
        for event in _opened(market)
        if party in (event.payer, event.provider)
    }
    return [market.channel(*end) for end in ends]


def opened_by(market: Market, payer: Address) -> list[ChannelKey]:
    """Every epoch of every channel that it opened, oldest first; and that which each is in now, for which a
    grant may be on its way."""
    opened = {
        ChannelKey(
            payer=payer, provider=event.provider, session_key=event.session_key, epoch=event.epoch
        ): None
        for event in _opened(market)
        if event.payer == payer
    }
    return list(
        opened | {channel.key: None for channel in channels_of(market, payer) if channel.key.payer == payer}
    )


def opening_of(market: Market, channel_id: ChannelId) -> ChannelOpened | None:
    """How the channel began; None: it never did on this market."""
    return next((event for event in _opened(market) if event.channel_id == channel_id), None)


def posted_offer(market: Market, offer_hash: Hash32) -> OfferPosted | None:
    """The offer of that hash, whether it still holds or not."""
    return next((event for event in posted_offers(market) if event.offer_hash == offer_hash), None)


def posted_offers(market: Market) -> list[OfferPosted]:
    """All that ever were, oldest first."""
    update = Follower(market.rpc, market.deployment, events=(OfferPosted,)).poll()
    return [event for event in update.events if isinstance(event, OfferPosted)]


def _opened(market: Market) -> list[ChannelOpened]:
    update = Follower(market.rpc, market.deployment, events=(ChannelOpened,)).poll()
    return [event for event in update.events if isinstance(event, ChannelOpened)]
