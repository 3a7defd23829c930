"""What this wallet's purse holds of quality: its duels, and what auditors found."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import View


def register(app: typer.Typer) -> None:
    """In the order in which help shows them."""
    command(app)(duels)
    command(app)(findings)


def duels(
    desk: "Desk", last: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20
) -> "View":
    """List the duels of this wallet's requests."""
    from tallystick.wallet.purses import open_purse
    from tallystick.wallet.quality_view import duels as shown

    with open_purse(desk) as purse:
        return shown(purse.pairs.held()[-last:], purse.pairs.cost(), desk.asset)


def findings(
    desk: "Desk",
    last: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    samples: Annotated[
        Path | None, typer.Option(help="Write into this file what the strike --number was found of.")
    ] = None,
    number: Annotated[int, typer.Option(help="Of a finding, for --samples.")] = 0,
) -> "View":
    """List what auditors found, and who is avoided."""
    from tallystick.wallet.purses import open_purse
    from tallystick.wallet.quality_view import findings as shown
    from tallystick.wallet.quality_view import save_samples

    with open_purse(desk) as purse:
        if samples is not None:
            return save_samples(purse, number, samples)
        avoided = purse.evidence.avoidance.all()
        return shown(purse.findings.all()[-last:], purse.findings.cost(), avoided, desk.asset)
