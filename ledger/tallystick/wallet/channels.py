"""Channels of one's own: those there are, one more, one less. The SDK opens its own by grants as it pays."""

from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.protocol.channel import Channel
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import View


def register(app: typer.Typer) -> None:
    """In the order in which help shows them."""
    command(app, "channels")(list_)
    command(app, "open", signs=True)(open_)
    command(app, signs=True)(close)
    command(app, signs=True)(recover)


def list_(
    desk: "Desk",
    every: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
) -> "View":
    """List the channels that one pays or earns through."""
    from tallystick.chain.history import channels_of
    from tallystick.protocol.channel import Status
    from tallystick.wallet.render import channels as rendered

    own = desk.wallet.address
    found = channels_of(desk.market, own)
    if not every:
        found = [channel for channel in found if channel.status is not Status.NONE]
    return rendered(found, own, desk.asset)


def open_(
    desk: "Desk",
    provider: Annotated[str, typer.Argument(help="Address or wallet.", show_default=False)],
    cap: Annotated[
        str, typer.Argument(help="The most it may pay in all: atoms, or with a unit.", show_default=False)
    ],
    session_key: Annotated[
        str | None, typer.Option(help="Address that signs the vouchers; else a key of the purse.")
    ] = None,
) -> "View":
    """Open a channel to a provider, or raise its cap."""
    from tallystick.chain.market import Opening
    from tallystick.wallet.desk import sent
    from tallystick.wallet.money import show_exactly
    from tallystick.wallet.purses import open_purse, remember_cap
    from tallystick.wallet.render import channel_data
    from tallystick.wallet.view import lines, short

    atoms, party = desk.amount(cap), desk.party(provider)
    if session_key is not None:
        signer = desk.party(session_key)
        mined = desk.signing_market.open_own_channels(
            [Opening(provider=party, session_key=signer, cap=atoms)]
        )
    else:
        with open_purse(desk) as purse:
            held = purse.open_channel(party)
            signer = held.key.session_key
            opening = Opening(provider=party, session_key=signer, cap=atoms)
            mined = desk.signing_market.open_own_channels([opening])
            remember_cap(desk, purse, held, atoms)
    channel = desk.market.channel(desk.wallet.address, party, signer)
    return lines(
        sent(channel_data(channel), [mined]),
        f"The channel {short(channel.id)} may pay {show_exactly(channel.cap, desk.asset)} in all.",
    )


def close(
    desk: "Desk",
    channel: Annotated[
        str,
        typer.Argument(
            help="The channel's id, or its beginning as `tally channels` shows it; or a provider."
        ),
    ],
    alone: Annotated[
        bool, typer.Option("--alone", help="Do not ask the provider; wait for the notice instead.")
    ] = False,
) -> "View":
    """Close a channel, at once or after a notice.

    At once where its provider signs; else it starts the notice, and finishes when it is run again after that.
    """
    from tallystick.chain.history import channels_of
    from tallystick.protocol.channel import Status

    own = desk.wallet.address
    found = _named(channel, [c for c in channels_of(desk.market, own) if c.key.payer == own], desk)
    if found.status is Status.CLOSING:
        return _finish(desk, found)
    if not alone and (view := _close_together(desk, found)) is not None:
        return view
    return _request(desk, found)


def recover(desk: "Desk") -> "View":
    """Find the channels of a purse that was lost.

    The wallet, the chain and the providers' signed halves suffice. Run it only when no other purse of this
    wallet is in use, on this machine or another.
    """
    from tallystick.protocol.units import to_hex
    from tallystick.wallet.money import show_exactly
    from tallystick.wallet.purses import recovered
    from tallystick.wallet.view import lines, short

    found = recovered(desk)
    data = {
        "channels": [
            {
                "channel": to_hex(item.key.id),
                "provider": to_hex(item.key.provider),
                "paid": str(item.paid),
                "state": item.state,
                "reached": item.reached,
            }
            for item in found
        ]
    }
    told = [
        f"The channel {short(item.key.id)} has paid {show_exactly(item.paid, desk.asset)} and is {item.state}"
        + ("." if item.reached else "; its provider is away.")
        for item in found
    ]
    return lines(data, *(told or ["The purse knows every channel that this wallet can sign for."]))


def _named(text: str, own: "list[Channel]", desk: "Desk") -> "Channel":
    from tallystick.protocol.channel import Status
    from tallystick.protocol.errors import ChannelNotOpen, ChannelUnknown
    from tallystick.protocol.units import to_hex

    found = [c for c in own if to_hex(c.id).startswith(text.lower()) and len(text) >= 6]
    if not found and (len(text) == 42 or not text.startswith("0x")):
        provider = desk.party(text)
        found = [c for c in own if c.key.provider == provider and c.status is not Status.NONE]
    if not found:
        raise ChannelUnknown(f"No channel of {desk.wallet.name} is {text}. See `tally channels --all`.")
    if len(found) > 1:
        raise ChannelUnknown(f"{text} is the beginning of {len(found)} channels. Write more of it.")
    if found[0].status is Status.NONE:
        raise ChannelNotOpen(f"The channel {text} is closed already; what it did not pay is free.")
    return found[0]


def _finish(desk: "Desk", channel: "Channel") -> "View":
    from tallystick.wallet.desk import sent
    from tallystick.wallet.render import channel_data, moment
    from tallystick.wallet.view import lines

    now = desk.market.head().timestamp
    if now < channel.closes_at:
        return lines(
            sent(channel_data(channel), []),
            f"The notice runs until {moment(channel.closes_at)}; it is {moment(now)} on the chain.",
            "Run this again then.",
        )
    key = channel.key
    mined = desk.signing_market.finalize_close(key.payer, key.provider, key.session_key)
    return _closed(desk, channel, mined.events, sent({}, [mined]))


def _request(desk: "Desk", channel: "Channel") -> "View":
    from tallystick.wallet.desk import sent
    from tallystick.wallet.render import channel_data, moment
    from tallystick.wallet.view import lines

    key = channel.key
    mined = desk.signing_market.request_close(key.provider, key.session_key)
    closing = desk.market.channel(key.payer, key.provider, key.session_key)
    return lines(
        sent(channel_data(closing), [mined]),
        f"The provider may settle until {moment(closing.closes_at)}.",
        "Run `tally close` again then.",
    )


def _close_together(desk: "Desk", channel: "Channel") -> "View | None":
    """None: the provider cannot be asked, or does not sign; standard error says why."""
    from tallystick.wallet.desk import sent
    from tallystick.wallet.purses import closed_together
    from tallystick.wallet.render import channel_data
    from tallystick.wallet.view import lines

    mined = closed_together(desk, channel)
    if isinstance(mined, str):
        typer.echo(f"{mined} Closing alone, after the notice.", err=True)
        return None
    if mined is None:
        key = channel.key
        now = desk.market.channel(key.payer, key.provider, key.session_key)
        told = "Somebody else has closed it meanwhile: what it did not pay is free again."
        return lines(sent(channel_data(now), []), told)
    return _closed(desk, channel, mined.events, sent({}, [mined]))


def _closed(
    desk: "Desk", channel: "Channel", events: "tuple[object, ...]", data: dict[str, object]
) -> "View":
    from tallystick.chain.events import ChannelClosed
    from tallystick.protocol.units import to_hex
    from tallystick.wallet.money import show_exactly
    from tallystick.wallet.view import lines

    closed = next(event for event in events if isinstance(event, ChannelClosed))
    data |= {
        "channelId": to_hex(channel.id),
        "settled": str(closed.settled),
        "returned": str(closed.returned),
    }
    return lines(
        data,
        f"Closed: it paid {show_exactly(closed.settled, desk.asset)} in all,",
        f"and {show_exactly(closed.returned, desk.asset)} are free again.",
    )
