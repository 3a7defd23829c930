"""A paid completion from the shell."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import Stream


def register(app: typer.Typer) -> None:
    command(app)(pay)


def pay(
    desk: "Desk",
    model: Annotated[str, typer.Argument(help="As `tally offers` names it.", show_default=False)],
    prompt: Annotated[
        str, typer.Argument(help="What to say to it; - reads standard input.", show_default=False)
    ],
    most: Annotated[str, typer.Option(help="The most that this may cost: atoms, or with a unit.")] = "100000",
    system: Annotated[str | None, typer.Option(help="A system message before it.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The longest answer.")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="The model's tokenizer folder, to recount the receipt with.")
    ] = None,
) -> "Stream":
    """Buy a completion and print it as it comes."""
    from tallystick.wallet.paying import paid

    return paid(
        desk,
        model,
        prompt,
        most=desk.amount(most),
        system=system,
        max_tokens=max_tokens,
        tokenizer=tokenizer,
    )
