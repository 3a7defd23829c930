"""A provider's side: stake, offers, earnings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.account import Amount
from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import View

offer_app = typer.Typer(no_args_is_help=True, help="One's own offers: withdraw.")


def register(app: typer.Typer) -> None:
    """In the order in which help shows them."""
    command(app, signs=True)(stake)
    command(app, signs=True)(unstake)
    command(app, signs=True)(join)
    command(app)(offers)
    command(offer_app, signs=True)(withdraw)
    app.add_typer(offer_app, name="offer")
    command(app, signs=True)(settle)


@offer_app.callback()
def offer_group() -> None:
    """One's own offers."""


def stake(desk: "Desk", amount: Amount) -> "View":
    """Lock atoms behind one's promises as a provider."""
    from tallystick.wallet.desk import sent
    from tallystick.wallet.money import show_exactly
    from tallystick.wallet.render import stake_data
    from tallystick.wallet.view import lines

    atoms = desk.amount(amount)
    mined = desk.signing_market.add_stake(atoms)
    now = desk.market.stake(desk.wallet.address)
    return lines(
        sent({"added": str(atoms), "stake": stake_data(now)}, [mined]),
        f"Staked {show_exactly(atoms, desk.asset)}; the stake is {show_exactly(now.staked, desk.asset)}.",
    )


def unstake(
    desk: "Desk",
    amount: Annotated[
        str | None, typer.Argument(help="How much to ask for; else what is due, or all of it.")
    ] = None,
) -> "View":
    """Take stake out, after a notice.

    Ask for it, wait for the notice, and run it again: it then pays what is due.
    """
    from tallystick.wallet.desk import sent
    from tallystick.wallet.money import show_exactly
    from tallystick.wallet.render import moment, stake_data
    from tallystick.wallet.view import lines

    own, market = desk.wallet.address, desk.market
    held, now = market.stake(own), market.head().timestamp
    if amount is None and held.exiting and held.exits_at <= now:
        mined = desk.signing_market.unstake()
        return lines(
            sent({"paid": str(held.exiting), "stake": stake_data(market.stake(own))}, [mined]),
            f"{show_exactly(held.exiting, desk.asset)} are back in the wallet.",
        )
    if amount is None and held.exiting:
        return lines(
            sent({"paid": "0", "stake": stake_data(held)}, []),
            f"{show_exactly(held.exiting, desk.asset)} are on their way out.",
            f"Run this again from {moment(held.exits_at)}; it is {moment(now)} on the chain.",
        )
    asked = held.staked if amount is None else desk.amount(amount)
    mined = desk.signing_market.request_unstake(asked)
    held = market.stake(own)
    below = held.staked < market.minimum_stake()
    return lines(
        sent({"requested": str(asked), "stake": stake_data(held)}, [mined]),
        f"{show_exactly(held.exiting, desk.asset)} are on their way out.",
        f"Run `tally unstake` again from {moment(held.exits_at)}.",
        *(("The rest is under the market's minimum: payers no longer see the offers.",) if below else ()),
    )


def join(
    desk: "Desk",
    file: Annotated[Path, typer.Argument(metavar="OFFER.toml", help="What is offered.", show_default=False)],
    write_config: Annotated[
        Path | None,
        typer.Option(help="Write the config of a node, which posts the offer; never over another file."),
    ] = None,
    engine_elsewhere: Annotated[
        bool,
        typer.Option("--engine-elsewhere", help="The engine cannot be reached from here: do not ask it."),
    ] = False,
) -> "View":
    """Become a provider: stake, and post the offer of a file.

    Checks that the engine serves the model, stakes what is missing, names the receipt key, and signs the
    offer with it and posts it, or leaves that to the node whose config it writes; says what to run.
    """
    from tallystick.wallet.joining import join as joined

    return joined(desk, file, write_config, engine_elsewhere=engine_elsewhere)


def offers(
    desk: "Desk", model: Annotated[str | None, typer.Option(help="Only offers of this model.")] = None
) -> "View":
    """List the offers that hold now."""
    from tallystick.wallet.render import offers as rendered

    found = [posted for posted in desk.market.offers() if model in (None, posted.offer.model)]
    found.sort(key=lambda posted: (posted.offer.model, posted.offer.output_price, posted.offer.provider))
    return rendered(found, desk.asset)


def withdraw(
    desk: "Desk",
    below: Annotated[
        int | None, typer.Option(min=1, help="Only offers with a smaller sequence; else all.")
    ] = None,
) -> "View":
    """Withdraw one's own offers."""
    import time

    from tallystick.protocol.offer import SALT_BITS, fresh_sequence
    from tallystick.protocol.units import Milliseconds
    from tallystick.wallet.desk import sent
    from tallystick.wallet.view import lines

    latest, _ = desk.market.offers_of(desk.wallet.address)
    # Also what was signed and is not posted yet, in this very millisecond.
    now, salt = Milliseconds(time.time_ns() // 1_000_000), (1 << SALT_BITS) - 1
    fresh = fresh_sequence(latest=latest, minimum=0, now=now, salt=salt)
    minimum = below if below is not None else fresh + 1
    mined = desk.signing_market.withdraw_offers(minimum)
    return lines(
        sent({"minimumSequence": str(minimum)}, [mined]), f"Offers under sequence {minimum} hold no more."
    )


def settle(
    desk: "Desk",
    file: Annotated[
        Path | None,
        typer.Argument(help="JSON of signed vouchers to present first; a node does that by itself."),
    ] = None,
) -> "View":
    """Move what was earned into the wallet.

    Presents the vouchers of a file first, where one is given.
    """
    from tallystick.wallet.desk import sent
    from tallystick.wallet.money import show_exactly
    from tallystick.wallet.view import lines
    from tallystick.wallet.vouchers import read_vouchers

    own = desk.wallet.address
    settled = desk.signing_market.settle(read_vouchers(file)).atoms if file is not None else 0
    balance = desk.market.balance_of(own)
    mined = [desk.signing_market.withdraw()] if balance else []
    text = (
        f"{show_exactly(balance, desk.asset)} are in the wallet now."
        if balance
        else "Nothing is left to pay."
    )
    return lines(
        sent({"settled": str(settled), "withdrawn": str(balance)}, mined),
        *((f"Settled {show_exactly(settled, desk.asset)}.",) if file is not None else ()),
        text,
    )
