"""What the contract's events do to its channels: the part that every model of it in these tests shares."""

from dataclasses import replace

from tallystick.chain.events import (
    CapRaised,
    ChainEvent,
    ChannelClosed,
    ChannelOpened,
    CloseRequested,
    Settled,
)
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.units import Address, ChannelId

Place = tuple[Address, Address, Address]
"""Payer, provider, session key."""


def place_of(key: ChannelKey) -> Place:
    return key.payer, key.provider, key.session_key


def held_at(channels: dict[Place, Channel], place: Place) -> Channel:
    """The channel there; in its first epoch, and empty, where nothing ever was."""
    payer, provider, session_key = place
    key = ChannelKey(payer=payer, provider=provider, session_key=session_key)
    return channels.get(place) or Channel(key=key)


def named(channels: dict[Place, Channel], channel_id: ChannelId) -> Channel:
    return next(channel for channel in channels.values() if channel.id == channel_id)


def apply(channels: dict[Place, Channel], event: ChainEvent) -> None:
    match event:
        case ChannelOpened():
            key = ChannelKey(
                payer=event.payer,
                provider=event.provider,
                session_key=event.session_key,
                epoch=event.epoch,
            )
            changed = Channel(key=key, cap=event.cap)
        case CapRaised():
            changed = replace(named(channels, event.channel_id), cap=event.cap)
        case Settled():
            changed = replace(named(channels, event.channel_id), settled=event.settled)
        case CloseRequested():
            changed = replace(named(channels, event.channel_id), closes_at=event.closes_at)
        case ChannelClosed():
            key = named(channels, event.channel_id).key
            changed = Channel(key=replace(key, epoch=key.epoch + 1))
        case _:
            return
    channels[place_of(changed.key)] = changed
