"""A provider that judges duels and audits: enlist, retire, refresh, and what duels and audits owe."""

from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import View

judge_app = typer.Typer(no_args_is_help=True, help="Judging duels, and auditing: enlist, retire, withdraw.")

_WHO = Annotated[str | None, typer.Argument(help="An address or a wallet; else the acting wallet.")]


def register(app: typer.Typer) -> None:
    """In the order in which help shows them."""
    command(judge_app)(show)
    command(judge_app, signs=True)(enlist)
    command(judge_app, signs=True)(consent)
    command(judge_app, signs=True)(retire)
    command(judge_app, signs=True)(refresh)
    command(judge_app, signs=True)(withdraw)
    app.add_typer(judge_app, name="judge")


@judge_app.callback()
def judge_group() -> None:
    """Judging duels, and auditing."""


def show(desk: "Desk", who: _WHO = None) -> "View":
    """Show a judge's weight and owner, and what duels and audits owe it."""
    from tallystick.wallet.judging import shown

    return shown(desk, desk.party(who))


def enlist(
    desk: "Desk",
    owner: Annotated[
        str | None, typer.Option(help="Who stands behind this provider, having consented; else itself.")
    ] = None,
) -> "View":
    """Become a judge: drawn by stake, for duels and audits alike.

    The owner is for good: a panel has one judge of an owner. Tell your node too: [quality] judge = true.
    """
    from tallystick.wallet.judging import enlist as enlisted

    return enlisted(desk, desk.party(owner))


def consent(
    desk: "Desk",
    provider: Annotated[str, typer.Argument(help="The provider that names this wallet.", show_default=False)],
) -> "View":
    """Agree that a provider names this wallet as its owner."""
    from tallystick.wallet.judging import consent as consented

    return consented(desk, desk.party(provider))


def retire(desk: "Desk") -> "View":
    """Judge no more, from the duels of the next block on.

    What was drawn before is still to be done.
    """
    from tallystick.wallet.judging import retire as retired

    return retired(desk)


def refresh(desk: "Desk", who: _WHO = None) -> "View":
    """Set a judge's weight to its stake of now. Anybody may."""
    from tallystick.wallet.judging import refresh as refreshed

    return refreshed(desk, desk.party(who))


def withdraw(desk: "Desk", who: _WHO = None) -> "View":
    """Move what duels and audits owe into the wallet that they owe it to. Anybody may."""
    from tallystick.wallet.judging import withdraw as withdrawn

    return withdrawn(desk, desk.party(who))
