"""Receipts: those that this wallet paid for, and anybody's, verified against the chain."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import View

receipt_app = typer.Typer(no_args_is_help=True, help="Anybody's receipts: verify.")


def register(app: typer.Typer) -> None:
    """In the order in which help shows them."""
    command(app)(receipts)
    command(receipt_app)(verify)
    app.add_typer(receipt_app, name="receipt")


@receipt_app.callback()
def receipt_group() -> None:
    """Anybody's receipts."""


def receipts(
    desk: "Desk",
    last: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    refused: Annotated[bool, typer.Option("--refused", help="Those that did not add up, instead.")] = False,
    channel: Annotated[
        str | None, typer.Option(help="All of the channel whose id begins so, instead.", metavar="ID")
    ] = None,
    from_provider: Annotated[
        bool, typer.Option("--from-provider", help="What the provider holds of --channel, instead.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option(help="Write them into this file, with proofs that they were acknowledged.")
    ] = None,
    publish: Annotated[
        str | None, typer.Option(help="Send those that were paid to an explorer.", metavar="URL")
    ] = None,
) -> "View":
    """List the receipts that were accepted; save or publish them."""
    from tallystick.wallet.publishing import listed, of_channel, of_provider
    from tallystick.wallet.purses import open_purse
    from tallystick.wallet.render import refused_receipts

    if from_provider:
        return of_provider(desk, channel, save, publish)
    with open_purse(desk) as purse:
        if refused:
            return refused_receipts(purse.evidence.refused()[-last:], desk.asset)
        if channel is not None:
            return of_channel(desk, purse, channel, save, publish)
        return listed(desk, purse, last, save, publish)


def verify(
    desk: "Desk",
    file: Annotated[
        Path, typer.Argument(help="A document, a signed receipt, or a list of them.", show_default=False)
    ],
) -> "View":
    """Check receipts step by step against the chain: signature, price, proof, payment."""
    from tallystick.wallet.audit_view import checked
    from tallystick.wallet.auditing import check_file

    return checked(check_file(desk.market, file), desk.asset)
