"""Audits: receipts of whole channels, held against what the chain settled."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.protocol.reconcile import ManyAudit
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import View

audit_app = typer.Typer(no_args_is_help=True, help="Σ receipts = settled: a channel, or a provider.")

_FILES = Annotated[
    list[Path], typer.Argument(help="Documents, as `tally receipts --save` writes them.", show_default=False)
]
_REPORT = Annotated[Path | None, typer.Option(help="Write the page into this file as well.")]


def register(app: typer.Typer) -> None:
    """In the order in which help shows them."""
    command(audit_app)(channel)
    command(audit_app)(provider)
    app.add_typer(audit_app, name="audit")


@audit_app.callback()
def audit_group() -> None:
    """Σ receipts = settled: a channel, or a provider."""


def channel(desk: "Desk", files: _FILES, report: _REPORT = None) -> "View":
    """Audit every channel that the files hold receipts of.

    Gaps, doubles, overcharges, and whether what was settled is what the receipts come to. The status is 1
    unless all of it adds up.
    """
    from tallystick.wallet.auditing import audit_channels

    return _shown(desk, audit_channels(desk.market, files), "Audit of channels", report)


def provider(
    desk: "Desk",
    address: Annotated[str, typer.Argument(help="The provider's address, or a wallet.", show_default=False)],
    files: _FILES,
    report: _REPORT = None,
) -> "View":
    """Audit all that a provider was ever paid, as far as the files explain it."""
    from tallystick.protocol.units import to_hex
    from tallystick.wallet.auditing import audit_provider

    party = desk.party(address)
    return _shown(desk, audit_provider(desk.market, files, party), f"Audit of {to_hex(party)}", report)


def _shown(desk: "Desk", found: "ManyAudit", title: str, report: Path | None) -> "View":
    from tallystick.protocol.errors import MalformedMessage
    from tallystick.wallet.audit_view import audited

    view = audited(found, title, desk.asset)
    if report is not None:
        try:
            report.write_text(f"{view.shown}\n", encoding="utf-8")
        except OSError as error:
            raise MalformedMessage(f"{report} cannot be written: {error.strerror}.") from error
    return view
