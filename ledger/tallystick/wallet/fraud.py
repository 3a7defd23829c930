"""Fraud: what is held of it, whether it is proof, and reporting it to the contract."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.proving import Held
    from tallystick.wallet.view import View

fraud_app = typer.Typer(no_args_is_help=True, help="Providers' frauds: list, prove, report.")

_FILE = Annotated[Path, typer.Argument(help="A proof, as `tally fraud export` wrote it.", show_default=False)]
_NUMBER = Annotated[int, typer.Argument(help="As `tally fraud list` numbers it.", show_default=False)]


def register(app: typer.Typer) -> None:
    """In the order in which help shows them."""
    command(fraud_app, "list")(list_)
    command(fraud_app)(show)
    command(fraud_app)(export)
    command(fraud_app)(check)
    command(fraud_app, signs=True)(report)
    command(fraud_app)(look)
    app.add_typer(fraud_app, name="fraud")


@fraud_app.callback()
def fraud_group() -> None:
    """Providers' frauds."""


def list_(desk: "Desk") -> "View":
    """List what was refused, and what of it can be reported."""
    from tallystick.wallet.fraud_view import evidence

    return evidence(_held(desk), desk.deployment.domain, desk.asset)


def show(desk: "Desk", number: _NUMBER) -> "View":
    """Show one refused receipt, and what it proves."""
    from tallystick.wallet.fraud_view import shown

    return shown(_held(desk, number), desk.deployment.domain, desk.asset)


def export(
    desk: "Desk",
    number: _NUMBER,
    file: Annotated[Path, typer.Argument(help="Where to write it; never over another.", show_default=False)],
    fraud: Annotated[
        str | None, typer.Option(help="Which, where it proves several; else the first.", metavar="KIND")
    ] = None,
) -> "View":
    """Write a proof into a file, which anybody can check and report."""
    from tallystick.wallet.errors import FraudUnproven
    from tallystick.wallet.fraud_view import exported
    from tallystick.wallet.proving import write_proof

    proofs = [item.proof for item in _held(desk, number) if item.proof is not None]
    chosen = next((proof for proof in proofs if fraud in (None, proof.KIND)), None)
    if chosen is None:
        raise FraudUnproven(
            f"Evidence {number} is no proof of {fraud or 'fraud'}: that it is false, only its payer can know."
        )
    write_proof(file, chosen, desk.deployment.domain)
    return exported(file, chosen, desk.deployment.domain)


def check(desk: "Desk", file: _FILE) -> "View":
    """Check a proof step by step, without a chain."""
    from tallystick.protocol.fraud import steps
    from tallystick.wallet.fraud_view import verdict
    from tallystick.wallet.proving import read_proof

    proof, domain = read_proof(file)
    return verdict(proof, domain, steps(proof, domain))


def report(desk: "Desk", file: _FILE) -> "View":
    """Show a proof to the contract, which slashes the provider.

    A third of the stake is credited to the wallet that reports, and the rest is burnt.
    """
    from tallystick.chain.reports import report as show_contract
    from tallystick.wallet.fraud_view import reported
    from tallystick.wallet.proving import read_proof, require_proof

    proof, domain = read_proof(file)
    require_proof(desk.market, proof, domain)
    mined = show_contract(desk.signing_market, proof)
    return reported(proof, desk.wallet.address, mined, desk.asset)


def look(
    desk: "Desk",
    save: Annotated[Path | None, typer.Option(help="Write each proof into this folder.")] = None,
) -> "View":
    """Ask gateways for their offers, and compare with the chain."""
    from tallystick.wallet.fraud_view import looked
    from tallystick.wallet.proving import look as ask_gateways
    from tallystick.wallet.proving import write_proof

    found = ask_gateways(desk.market)
    files = []
    for proof in found.found if save is not None else ():
        assert save is not None
        save.mkdir(parents=True, exist_ok=True)
        path = save / f"{proof.provider.hex()}-{proof.first.message.sequence}.json"
        if not path.exists():
            write_proof(path, proof, desk.deployment.domain)
        files.append(path)
    return looked(found, desk.deployment.domain, files)


def _held(desk: "Desk", number: int | None = None) -> "list[Held]":
    from tallystick.wallet.errors import FraudUnproven
    from tallystick.wallet.proving import held
    from tallystick.wallet.purses import open_purse

    with open_purse(desk) as purse:
        refused = [item for item in purse.evidence.refused() if number in (None, item.number)]
    if number is not None and not refused:
        raise FraudUnproven(f"There is no evidence {number}. `tally fraud list` lists what there is.")
    return held(desk.market, refused)
