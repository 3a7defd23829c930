"""The acting wallet's purse, and what it does beside paying: caps, and closes that both sides sign."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import orjson

from tallystick.client.budget import Budget
from tallystick.client.drivers import run_blocking
from tallystick.client.purse import OpenChannel, Purse
from tallystick.client.sending import GRANT_LIFE, endpoint_of
from tallystick.client.session import Session, open_session
from tallystick.protocol.channel import Channel
from tallystick.protocol.errors import MarketError
from tallystick.protocol.grant import Grant
from tallystick.protocol.signed import Signed, sign, verify
from tallystick.protocol.units import Atoms, Milliseconds, Timestamp
from tallystick.protocol.voucher import Close
from tallystick.protocol.wire import CLOSE_PATH, signed_from_json
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


def signed_close(desk: Desk, channel: Channel) -> Signed[Close] | str:
    """The provider's signature to the channel's end at what is acknowledged, or why there is none."""
    budget = Budget(total=LIMIT - 1, per_request=LIMIT - 1)
    session = open_session(
        desk.key(),
        rpc=desk.settings.rpc,
        deployment=desk.deployment,
        budget=budget,
        home=desk.settings.purse,
    )
    try:
        session.purse.adopt_all()
        held = session.purse.leased.get(channel.id)
        if held is None:
            return "The channel's session key is not in this purse, or in use by another program."
        return _consent(desk, session, held)
    except (httpx2.HTTPError, MarketError, orjson.JSONDecodeError) as error:
        return f"The provider did not sign ({type(error).__name__})."
    finally:
        session.close()


def _consent(desk: Desk, session: Session, held: OpenChannel) -> Signed[Close] | str:
    offers = [posted for posted in desk.market.offers() if posted.offer.provider == held.key.provider]
    if not offers:
        return "The provider has no offer that holds, so nobody knows where to ask it."
    run_blocking(session.pools, session.clerk.settling.settle(held))  # What is owed is acknowledged first.
    question = session.payer.sender.ask(held, endpoint_of(offers[-1].offer), CLOSE_PATH, b"{}")
    answer = run_blocking(session.pools, question)
    close = signed_from_json(Close, orjson.loads(answer or b"null"))
    verify(close, desk.deployment.domain, signer=offers[-1].stake.receipt_key)
    if (close.message.channel_id, close.message.cumulative_amount) != (held.id, held.tally.amount):
        return "The provider would close at another amount than this purse has acknowledged."
    session.purse.retire(held, "closed")
    return close


def _now() -> Milliseconds:
    return Milliseconds(time.time_ns() // 1_000_000)
