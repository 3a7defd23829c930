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
            help="Which provider first: quoted (price and time), cheapest, fastest, stake-weighted, judged "
            "(as quoted, and by the market's duels so far)."
        ),
    ] = "quoted",
    continues: Annotated[
        bool, typer.Option("--continue", help="Go on elsewhere with an answer that breaks off.")
    ] = False,
    hedges: Annotated[
        bool, typer.Option("--hedge", help="Ask a second provider where the first is late, and pay both.")
    ] = False,
    duel_share: Annotated[
        float,
        typer.Option(help="Of the requests, by chance: answered by a second provider too.", min=0, max=1),
    ] = 0,
    duel_budget: Annotated[
        str, typer.Option(help="The most that duels may ever cost this purse: atoms, or with a unit.")
    ] = "0",
    audit_budget: Annotated[
        str, typer.Option(help="The most that audits may ever cost this purse. Without it there are none.")
    ] = "0",
    transactions: Annotated[
        bool,
        typer.Option(
            "--transactions",
            help="Send transactions unasked: have duels judged, file strikes, ask cheated channels back.",
        ),
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
        manner=Manner(
            rule_name=rule,
            continues=continues,
            hedges=hedges,
            duel_share=duel_share,
            duel_budget=desk.amount(duel_budget),
            audit_budget=desk.amount(audit_budget),
            transactions=transactions,
        ),
    )
