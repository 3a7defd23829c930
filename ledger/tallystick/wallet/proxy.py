"""A local OpenAI endpoint that pays, until it is told to stop."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import Course

DEFAULT_PORT = 8484


def register(app: typer.Typer) -> None:
    command(app)(proxy)


def proxy(
    desk: "Desk",
    budget: Annotated[
        str,
        typer.Option(
            help="The most that it may spend until it ends: atoms, or with a unit.", show_default=False
        ),
    ],
    most: Annotated[
        str, typer.Option(help="The most that one request may cost: atoms, or with a unit.")
    ] = "100000",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = DEFAULT_PORT,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help="File whose first line every request must bring as its API key; else TALLYSTICK_PROXY_KEY, "
            "else none is asked for.",
        ),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            help="Which provider first: quoted (price and time), cheapest, fastest, stake-weighted."
        ),
    ] = "quoted",
    continues: Annotated[
        bool, typer.Option("--continue", help="Go on elsewhere with an answer that breaks off.")
    ] = False,
    hedges: Annotated[
        bool, typer.Option("--hedge", help="Ask a second provider where the first is late, and pay both.")
    ] = False,
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(help="MODEL=FOLDER, to recount its receipts with; may be given more than once."),
    ] = None,
) -> "Course":
    """Serve OpenAI's API on this machine and pay for it."""
    from tallystick.wallet.proxying import Manner, proxied

    return proxied(
        desk,
        budget=desk.amount(budget),
        most=desk.amount(most),
        host=host,
        port=port,
        api_key_file=api_key_file,
        tokenizers=tokenizer or (),
        manner=Manner(rule_name=rule, continues=continues, hedges=hedges),
    )
