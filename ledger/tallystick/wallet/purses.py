"""The acting wallet's purse, and what it does beside paying: caps, and closes that both sides sign."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tallystick.chain.transaction import Mined
from tallystick.client.budget import Budget
from tallystick.client.closing import agreed, end
from tallystick.client.purse import OpenChannel, Purse
from tallystick.client.recovering import Recovered, recover
from tallystick.client.sending import GRANT_LIFE
from tallystick.client.session import Session, open_session
from tallystick.protocol.channel import Channel
from tallystick.protocol.grant import Grant
from tallystick.protocol.signed import sign
from tallystick.protocol.units import Atoms, Milliseconds, Timestamp
from tallystick.wallet.desk import Desk
from tallystick.wallet.money import LIMIT


@contextmanager
def open_purse(desk: Desk) -> Iterator[Purse]:
    """To look and to keep, not to pay: the budget of paying is said where something is paid."""
    budget = Budget(total=LIMIT - 1, per_request=LIMIT - 1)
    purse = Purse(
        desk.settings.purse, wallet=desk.key(), domain=desk.deployment.domain, budget=budget, now=_now
    )
    try:
        yield purse
    finally:
        purse.close()


def remember_cap(desk: Desk, purse: Purse, channel: OpenChannel, cap: Atoms) -> None:
    """The purse pays up to what a grant says, so it is given the grant of the cap that is on chain."""
    grant = Grant(
        payer=channel.key.payer,
        provider=channel.key.provider,
        session_key=channel.key.session_key,
        epoch=channel.key.epoch,
        cap=cap,
        deadline=Timestamp(desk.market.head().timestamp + GRANT_LIFE),
    )
    purse.keep_grant(channel, sign(grant, desk.deployment.domain, desk.key()).signed)


def recovered(desk: Desk) -> list[Recovered]:
    """The channels that the purse had forgotten; raises ChainError."""
    session = _session(desk)
    try:
        return recover(session)
    finally:
        session.close()


def closed_together(desk: Desk, channel: Channel) -> Mined | str | None:
    """The transaction that ends the channel by both signatures, None where another has ended it meanwhile; or
    why there is none. Raises ChainError."""
    session = _session(desk)
    try:
        session.purse.adopt_all()
        held = session.purse.leased.get(channel.id)
        if held is None:
            return "The channel's session key is not in this purse, or in use by another program."
        signed = agreed(session, held)
        if held.state == "closed":
            return None
        if signed is None:
            return "The provider did not sign."
        mined = end(session, held, signed, desk.signing_market)
        session.purse.retire(held, "closed")
        return mined
    finally:
        session.close()


def _session(desk: Desk) -> Session:
    return open_session(
        desk.key(),
        rpc=desk.settings.rpc,
        deployment=desk.deployment,
        budget=Budget(total=LIMIT - 1, per_request=LIMIT - 1),
        home=desk.settings.home,
    )


def _now() -> Milliseconds:
    return Milliseconds(time.time_ns() // 1_000_000)
