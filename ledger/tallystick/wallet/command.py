"""A command of the wallet: parse, call one function, render.

`command` turns a function from a `Desk` and its own parameters to a `View` into a typer command, with the
options that every command has. Here is the one place that prints, and that turns errors into sentences.
"""

import inspect
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.home import Home
from tallystick.wallet.settings import DEFAULT_RPC, Settings

if TYPE_CHECKING:
    from tallystick.protocol.errors import MarketError
    from tallystick.wallet.view import Course, Stream, View

Answers = Callable[..., "View | Stream | Course"]
"""A command's function; its first parameter is the desk."""

_COMMON: dict[str, Any] = {
    "home": Annotated[
        Path | None,
        typer.Option(
            envvar="TALLYSTICK_HOME",
            help="Folder of keystore, purse and deployment.",
            show_default="~/.tallystick",
        ),
    ],
    "rpc": Annotated[
        str,
        typer.Option(envvar="TALLYSTICK_RPC", help="Address of the chain's node."),
    ],
    "deployment": Annotated[
        Path | None,
        typer.Option(
            envvar="TALLYSTICK_DEPLOYMENT",
            help="File that says where the market is.",
            show_default="HOME/deployment.json",
        ),
    ],
    "wallet": Annotated[
        str | None,
        typer.Option(
            envvar="TALLYSTICK_WALLET",
            help="Name of the wallet that acts.",
            show_default="the only one there is",
        ),
    ],
    "password_file": Annotated[
        Path | None,
        typer.Option(help="File whose first line is the password; else TALLYSTICK_PASSWORD, else a prompt."),
    ],
    "as_json": Annotated[bool, typer.Option("--json", help="Answer with JSON on standard output.")],
}
_YES: Any = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before signing or removing.")]
_DEFAULTS = {
    "home": None,
    "rpc": DEFAULT_RPC,
    "deployment": None,
    "wallet": None,
    "password_file": None,
    "as_json": False,
    "yes": False,
}


def command(
    app: typer.Typer, name: str | None = None, *, signs: bool = False
) -> Callable[["Answers"], "Answers"]:
    """Registers a function whose first parameter is the desk. `signs` gives it --yes."""

    def register(function: Answers) -> Answers:
        own = list(inspect.signature(function).parameters.values())[1:]
        common = _COMMON | ({"yes": _YES} if signs else {})

        @wraps(function)
        def run(**values: Any) -> None:
            settings = _settings(**{name: values.pop(name) for name in common})
            _answer(settings, function, values)

        parameters = [
            inspect.Parameter(
                key, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS[key], annotation=annotation
            )
            for key, annotation in common.items()
        ]
        keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        signature = inspect.Signature([*keyword_only, *parameters])
        run.__signature__ = signature  # type: ignore[attr-defined]  # what typer reads
        run.__annotations__ = {key: value.annotation for key, value in signature.parameters.items()}
        app.command(name)(run)
        return function

    return register


def _settings(
    *,
    home: Path | None,
    rpc: str,
    deployment: Path | None,
    wallet: str | None,
    password_file: Path | None,
    as_json: bool,
    yes: bool = False,
) -> Settings:
    folder = Home.at(home)
    return Settings(
        home=folder.folder,
        rpc=rpc,
        deployment=deployment or folder.deployment,
        wallet=wallet,
        password_file=password_file,
        password=os.environ.get("TALLYSTICK_PASSWORD"),
        proxy_key=os.environ.get("TALLYSTICK_PROXY_KEY"),
        json=as_json,
        yes=yes,
    )


def _answer(settings: Settings, function: Answers, values: dict[str, Any]) -> None:
    """Runs a command and prints what it says, or why it cannot; exits with 1 then."""
    from tallystick.protocol.errors import MarketError
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.money import AmountError

    try:
        with Desk(settings) as desk:
            _print(settings, function(desk, **values))
    except AmountError as error:
        raise typer.BadParameter(str(error)) from error
    except MarketError as error:
        _print_error(settings, error)
        raise typer.Exit(1) from error


def _print(settings: Settings, view: "View | Stream | Course") -> None:
    from tallystick.wallet.view import Course, Stream

    if isinstance(view, Course):
        for said in view.views:
            _print_view(settings, said, indented=False)
        return
    if isinstance(view, Stream):
        for piece in view.pieces:
            if not settings.json:
                typer.echo(piece, nl=False)
        if not settings.json:
            typer.echo()
        view = view.end()
    _print_view(settings, view)
    if isinstance(view.data, dict) and view.data.get("ok") is False:
        raise typer.Exit(1)


def _print_view(settings: Settings, view: "View", *, indented: bool = True) -> None:
    if settings.json:
        import orjson

        typer.echo(orjson.dumps(view.data, option=orjson.OPT_INDENT_2 if indented else 0).decode())
    else:
        from rich.console import Console

        Console(soft_wrap=True, highlight=False, markup=False).print(view.shown)


def _print_error(settings: Settings, error: "MarketError") -> None:
    if not settings.json:
        typer.secho(f"error: {error}", err=True, fg="red" if os.isatty(2) else None)
        return
    import orjson

    values = {"required": error.required, "actual": error.actual, "retryable": error.retryable}
    body = {"code": error.code, "message": str(error), **values}
    # Contract errors carry their arguments, of which uint256 ones would not fit JSON's integers.
    typer.echo(orjson.dumps({"error": {key: _plain(value) for key, value in body.items()}}).decode())


def _plain(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
