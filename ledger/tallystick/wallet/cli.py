"""`tally`: the wallet of payers and providers. It names the commands; each imports what it needs."""

import typer

from tallystick.starting import look_seldom
from tallystick.wallet import (
    account,
    accusations,
    audit,
    channels,
    doctor,
    duels,
    fraud,
    judge,
    pay,
    provider,
    proxy,
    quality,
    receipts,
    wallets,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # Rich would triple the time that --help takes.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="An open market for LLM inference: pay per request, settle on chain, verify every atom.",
)
app.add_typer(wallets.app, name="wallet")
account.register(app)
provider.register(app)
channels.register(app)
receipts.register(app)
audit.register(app)
duels.register(app)
accusations.register(app)
judge.register(app)
fraud.register(app)
quality.register(app)
pay.register(app)
proxy.register(app)
doctor.register(app)


def main() -> None:
    look_seldom()
    app()
