"""`tally-node`: parse, call one function, print. What it takes to serve is imported when something is
served."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tallystick.starting import look_seldom
from tallystick_node.sim.cli import app as sim

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # They can show local variables, and keys and prompts are among them.
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Runs a provider of the Tallystick market, or the explorer of one.",
)

app.add_typer(sim, name="sim")

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file, see docs/provider.md.")]


@app.command()
def serve(config: ConfigPath) -> None:
    """Serve paid inference until SIGTERM, then drain, settle and end."""
    from tallystick_node.config import Config, ConfigInvalid
    from tallystick_node.gateway.serve import serve as run
    from tallystick_node.gateway.start import Quality, StartRefused
    from tallystick_node.listening import configure_logs
    from tallystick_node.quality.errand import open_errand
    from tallystick_node.quality.inspector import open_inspector
    from tallystick_node.quality.judge import open_judge

    configure_logs()
    try:
        quality = Quality(judge=open_judge, auditor=open_inspector, errand=open_errand)
        status = run(Config.load(config), quality)
    except (StartRefused, ConfigInvalid) as error:
        _refuse(error)
    raise typer.Exit(status)


@app.command()
def check(config: ConfigPath) -> None:
    """Say whether `serve` would find keys, chain, contract, stake and engine in order."""
    from tallystick_node.config import Config, ConfigInvalid
    from tallystick_node.gateway.start import StartRefused, check_all

    try:
        typer.echo(check_all(Config.load(config)))
    except (StartRefused, ConfigInvalid) as error:
        _refuse(error)


@app.command()
def restored(config: ConfigPath) -> None:
    """Say that the database is a copy: nothing is issued on channels of which it may lack something.

    Their payers hand back what it lacks, and each goes on in its next epoch.
    """
    from tallystick_node.config import Config, ConfigInvalid
    from tallystick_node.store.migrate import DatabaseNewer
    from tallystick_node.store.sqlite import DatabaseInUse, SqliteStore

    try:
        store = SqliteStore(Config.load(config).database)
    except (ConfigInvalid, DatabaseInUse, DatabaseNewer, OSError) as error:
        _refuse(error)
    count = store.lose_all()
    store.close()
    typer.echo(f"{count} channels are taken as lost until their payers hand over their half.")


@app.command()
def audit(
    config: ConfigPath,
    samples: Annotated[
        Path,
        typer.Argument(
            metavar="SAMPLES", help="JSON: a dossier, or a list of samples of one channel, in sequence."
        ),
    ],
    scales: Annotated[Path, typer.Option(help="What `scripts/calibrate` made for the model.")],
    sampler: Annotated[
        str, typer.Option(help="Of this node's engine; seeds are replayed where the scales name the same.")
    ] = "",
) -> None:
    """Hold another provider's answers against the promised model, by this node's engine, and print a signed
    finding."""
    import json

    from tallystick_node.auditing import AuditRefused
    from tallystick_node.auditing import audit as run
    from tallystick_node.config import Config, ConfigInvalid
    from tallystick_node.gateway.start import StartRefused

    try:
        found = run(Config.load(config), samples=samples, scales=scales, sampler=sampler)
    except (AuditRefused, StartRefused, ConfigInvalid) as error:
        _refuse(error)
    typer.echo(json.dumps(found, indent=1))


@app.command()
def strike(
    config: ConfigPath,
    samples: Annotated[Path, typer.Argument(metavar="DOSSIER", help="JSON: the dossier of the finding.")],
    finding: Annotated[Path, typer.Argument(metavar="FINDING", help="JSON: what `audit` printed of them.")],
) -> None:
    """File a strike: a finding of this provider's, where the chain drew the last answer and it to audit it.

    The third against a provider costs it a part of its stake, unless it is cleared: then it costs those who
    struck. The dossier is kept, and this provider's node shows it to whoever re-audits.
    """
    from tallystick_node.config import Config, ConfigInvalid
    from tallystick_node.gateway.start import StartRefused
    from tallystick_node.striking import StrikeRefused
    from tallystick_node.striking import strike as run

    try:
        typer.echo(run(Config.load(config), samples=samples, finding=finding))
    except (StrikeRefused, StartRefused, ConfigInvalid) as error:
        _refuse(error)


@app.command()
def reaudit(
    config: ConfigPath,
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="0x…: who is accused.")],
    uphold: Annotated[
        bool,
        typer.Option("--uphold/--clear", help="What an audit of the strikers' samples says; of none: clear."),
    ],
    but: Annotated[
        list[str] | None,
        typer.Option(metavar="AUDITOR", help="0x…, as often as wanted: of whose strike it says the other."),
    ] = None,
    nothing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AUDITOR",
            help="0x…, as often as wanted, or `all`: of whose strike it says nothing, because it was shown "
            "and cannot audit it. By that it neither gains nor loses.",
        ),
    ] = None,
) -> None:
    """Commit to what this provider, drawn to re-audit another, found. Its node reveals it when it is time."""
    from tallystick_node.config import Config, ConfigInvalid
    from tallystick_node.gateway.start import StartRefused
    from tallystick_node.striking import StrikeRefused
    from tallystick_node.striking import reaudit as run

    try:
        said = run(Config.load(config), accused=provider, uphold=uphold, but=but or (), nothing=nothing or ())
        typer.echo(said)
    except (StrikeRefused, StartRefused, ConfigInvalid) as error:
        _refuse(error)


@app.command()
def explorer(
    rpc: Annotated[str, typer.Option(help="URL of an Ethereum node.")],
    deployment: Annotated[
        Path | None, typer.Option(help="File that names the market; of the home folder where not given.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            help="URL: sqlite+aiosqlite:///PATH or postgresql+asyncpg://…; a file in the home folder where "
            "not given."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.")] = 8480,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address or network of a reverse proxy whose X-Forwarded-For says who asks; repeatable.",
        ),
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(envvar="TALLYSTICK_HOME", help="Folder of wallets and the market; ~/.tallystick."),
    ] = None,
) -> None:
    """Index a market and show it in a browser, until SIGTERM. It needs no key and sends nothing."""
    from tallystick_node.explorer.serve import ExplorerRefused, Options
    from tallystick_node.explorer.serve import serve as run
    from tallystick_node.listening import configure_logs

    configure_logs()
    try:
        options = Options.of(
            rpc=rpc,
            deployment=deployment,
            database=database,
            host=host,
            port=port,
            home=home,
            proxies=proxy or (),
        )
        status = run(options)
    except ExplorerRefused as error:
        _refuse(error)
    raise typer.Exit(status)


@app.command("tls-key")
def tls_key(path: Annotated[Path, typer.Argument(help="PEM file; made where it is missing.")]) -> None:
    """Print the hash of the gateway's TLS key, which offers carry as their endpoint key."""
    from tallystick.protocol.units import to_hex
    from tallystick_node.gateway.tls import endpoint_key, load_or_make_key

    try:
        typer.echo(to_hex(endpoint_key(load_or_make_key(path))))
    except (ValueError, OSError) as error:
        _refuse(f"The TLS key {path} cannot be used: {error}.")


@app.command("user-key")
def user_key(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="users.keys_file; made where it is missing.")],
    name: Annotated[str, typer.Argument(help="Whose key it is: one word.")],
) -> None:
    """Make an API key for a user of this node, and print it: the file keeps its hash alone."""
    from tallystick_node.network.users import add_user

    try:
        typer.echo(add_user(path, name))
    except (ValueError, OSError) as error:
        _refuse(error)


def _refuse(error: object) -> NoReturn:
    typer.echo(f"tally-node: {error}", err=True)
    raise typer.Exit(1)


def main() -> None:
    look_seldom()
    app()


if __name__ == "__main__":
    main()
