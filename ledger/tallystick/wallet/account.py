"""A payer's account: what is there, what comes in, what goes out."""

from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import View

Amount = Annotated[
    str, typer.Argument(help="Atoms as an integer, or with the asset's unit: 1.5TEST.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """In the order in which help shows them."""
    command(app)(balance)
    command(app)(faucet)
    command(app, signs=True)(deposit)
    command(app, "exit", signs=True)(exit_)


def balance(
    desk: "Desk",
    who: Annotated[str | None, typer.Argument(help="Wallet or address; else the acting one.")] = None,
) -> "View":
    """Show what a wallet has, in the market and outside."""
    from tallystick.wallet.render import balance as rendered

    market, holder = desk.market, desk.party(who)
    return rendered(
        holder,
        market.gas_balance(holder),
        market.asset_balance(holder),
        market.account(holder),
        market.stake(holder),
        market.balance_of(holder),
        desk.asset,
    )


def faucet(
    desk: "Desk",
    amount: Annotated[str, typer.Argument(help="How much of the asset.")] = "1000000000",
    to: Annotated[str | None, typer.Option(help="Wallet or address; else the acting one.")] = None,
) -> "View":
    """Get gas and the test asset, on a local chain."""
    from tallystick.chain.faucet import drip
    from tallystick.protocol.units import to_hex
    from tallystick.wallet.money import show_exactly
    from tallystick.wallet.view import lines

    desk.require_local()
    holder, atoms = desk.party(to), desk.amount(amount)
    drip(desk.market, holder, atoms)
    data = {
        "address": to_hex(holder),
        "minted": str(atoms),
        "balance": str(desk.market.asset_balance(holder)),
    }
    return lines(data, f"{to_hex(holder)} got {show_exactly(atoms, desk.asset)}, and gas.")


def deposit(
    desk: "Desk",
    amount: Amount,
    payer: Annotated[
        str | None, typer.Option(help="Wallet or address to deposit for; else one's own.")
    ] = None,
) -> "View":
    """Move atoms from the wallet into a payer's account."""
    from tallystick.wallet.desk import sent
    from tallystick.wallet.money import show_exactly
    from tallystick.wallet.render import account_data
    from tallystick.wallet.view import lines

    atoms, own = desk.amount(amount), desk.wallet.address
    holder = desk.party(payer)
    if holder == own and desk.market.takes_permits():
        mined = desk.signing_market.deposit_with_permit(atoms)
    else:
        mined = desk.signing_market.deposit(atoms, holder)
    account = desk.market.account(holder)
    return lines(
        sent({"deposited": str(atoms), "account": account_data(account)}, [mined]),
        f"Deposited {show_exactly(atoms, desk.asset)}; {show_exactly(account.free, desk.asset)} are free.",
    )


def exit_(
    desk: "Desk",
    amount: Annotated[
        str | None, typer.Argument(help="How much to ask for; else what is due, or all that is free.")
    ] = None,
) -> "View":
    """Take atoms out of the account, after a notice.

    Ask for them, wait for the notice, and run it again: it then pays what is due.
    """
    from tallystick.wallet.desk import sent
    from tallystick.wallet.money import show_exactly
    from tallystick.wallet.render import account_data, moment
    from tallystick.wallet.view import lines

    own, market = desk.wallet.address, desk.market
    account, now = market.account(own), market.head().timestamp
    if amount is None and account.exiting and account.exits_at <= now:
        mined = desk.signing_market.exit()
        return lines(
            sent({"paid": str(account.exiting), "account": account_data(market.account(own))}, [mined]),
            f"{show_exactly(account.exiting, desk.asset)} are back in the wallet.",
        )
    if amount is None and account.exiting:
        return lines(
            sent({"paid": "0", "account": account_data(account)}, []),
            f"{show_exactly(account.exiting, desk.asset)} are on their way out.",
            f"Run this again from {moment(account.exits_at)}; it is {moment(now)} on the chain.",
        )
    asked = account.free if amount is None else desk.amount(amount)
    mined = desk.signing_market.request_exit(asked)
    account = market.account(own)
    return lines(
        sent({"requested": str(asked), "account": account_data(account)}, [mined]),
        f"{show_exactly(account.exiting, desk.asset)} are on their way out.",
        f"Run `tally exit` again from {moment(account.exits_at)}.",
    )
