"""A purse that was lost, made again: from the wallet, the chain, and the providers' halves.

The wallet finds its session keys, the chain says which channels they opened, and each provider shows the
largest voucher that carries our own signature, with the receipts under it. Nothing else is believed. What was
delivered after that voucher cannot be checked any more, and is not paid. To be run when no other purse of
this wallet is in use, on any machine: two that sign with one key would each disown the other's requests.
"""

from dataclasses import dataclass

from tallystick.client.drivers import run_blocking
from tallystick.client.errors import ProviderUnreachable
from tallystick.client.flow import Flow
from tallystick.client.holdings import OpenChannel
from tallystick.client.mending import catch_up
from tallystick.client.session import Session
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.units import Atoms


@dataclass(frozen=True, slots=True)
class Recovered:
    """One channel that the purse knows again."""

    key: ChannelKey
    paid: Atoms
    """Acknowledged over its whole life, as far as its provider shows."""
    state: str
    """`open`: it takes requests; `retired`: it had unpaid receipts that cannot be checked; `closed`."""
    reached: bool
    """False: its provider is away. It is asked before the first request on the channel."""


def recover(session: Session) -> list[Recovered]:
    """Every epoch of this wallet's channels that was used, that the chain shows or has begun, and that the
    purse has forgotten; raises ChainError."""
    taken = session.purse.take_back(session.opened())
    found = [run_blocking(session.pools, _recover(session, channel)) for channel in taken]
    return [item for item, channel in zip(found, taken, strict=True) if item.paid or channel.granted]


def _recover(session: Session, channel: OpenChannel) -> Flow[Recovered]:
    key = channel.key
    now = session.payer.sender.on_chain(channel)
    over = now.key.epoch != key.epoch
    session.purse.note_cap(channel, Atoms(0) if over else now.cap)
    endpoint = yield from session.clerk.settling.endpoint(channel)
    reached = False
    if endpoint is not None:
        try:
            yield from catch_up(session.payer.sender, channel, endpoint)
            reached = True
        except ProviderUnreachable:
            pass
    if over or now.closes_at:
        session.purse.retire(channel, "closed")
    return Recovered(key, channel.tally.amount, channel.state, reached)
