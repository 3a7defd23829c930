"""Accusations: anybody's, checked against the chain."""

from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import View

accusation_app = typer.Typer(no_args_is_help=True, help="Anybody's accusations: verify.")


def register(app: typer.Typer) -> None:
    command(accusation_app)(verify)
    app.add_typer(accusation_app, name="accusation")


@accusation_app.callback()
def accusation_group() -> None:
    """Anybody's accusations."""


def verify(
    desk: "Desk",
    accusation: Annotated[str, typer.Argument(help="Its id, 0x and 64 hex digits.", show_default=False)],
) -> "View":
    """Check an accusation step by step against the chain: strikes, re-auditors, ballots, outcome, money."""
    from tallystick.wallet.accusation_view import checked

    return checked(desk.market, accusation)
