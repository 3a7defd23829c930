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
    save: Annotated[
        Path | None, typer.Option(help="Write them signed into this file, for `tally receipt verify`.")
    ] = None,
) -> "View":
    """List the receipts that this wallet accepted."""
    import orjson

    from tallystick.protocol.wire import signed_to_json
    from tallystick.wallet.purses import open_purse
    from tallystick.wallet.render import receipts as rendered
    from tallystick.wallet.render import refused_receipts

    with open_purse(desk) as purse:
        if refused:
            return refused_receipts(purse.evidence.refused()[-last:], desk.asset)
        found = purse.held_receipts()[-last:]
    if save is not None:
        save.write_bytes(
            orjson.dumps([signed_to_json(item.receipt) for item in found], option=orjson.OPT_INDENT_2)
        )
    return rendered(found, desk.asset)


def verify(
    desk: "Desk",
    file: Annotated[
        Path, typer.Argument(help="JSON of a signed receipt, or of a list of them.", show_default=False)
    ],
) -> "View":
    """Check receipts against the chain: who signed them, under which offer, at which price."""
    from tallystick.wallet.render import verdicts
    from tallystick.wallet.verifying import read_receipts, verdict

    return verdicts([verdict(desk.market, signed) for signed in read_receipts(file)], desk.asset)
