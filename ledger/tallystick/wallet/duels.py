"""Duels: anybody's, checked against the chain, and brought to an end where nobody decides them."""

from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import View

duel_app = typer.Typer(no_args_is_help=True, help="Anybody's duels: verify, expire.")


def register(app: typer.Typer) -> None:
    command(duel_app)(verify)
    command(duel_app, signs=True)(expire)
    app.add_typer(duel_app, name="duel")


@duel_app.callback()
def duel_group() -> None:
    """Anybody's duels."""


def verify(
    desk: "Desk",
    duel: Annotated[str, typer.Argument(help="Its id, 0x and 64 hex digits.", show_default=False)],
) -> "View":
    """Check a duel step by step against the chain: receipts, judges drawn, ballots, verdict, money."""
    from tallystick.wallet.duel_view import checked

    return checked(desk.market, duel)


def expire(
    desk: "Desk",
    duel: Annotated[str, typer.Argument(help="Its id, 0x and 64 hex digits.", show_default=False)],
) -> "View":
    """Burn the fee of a duel, or of its appeal, that nobody decided in time. Anybody may."""
    from tallystick.wallet.judging import expire as expired

    return expired(desk, duel)
