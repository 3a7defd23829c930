"""`tally-node sim`: parse, call one function, print. What a simulation takes is imported when one runs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Simulate the market: the node's own decisions on an imagined clock, network, chain and engines. "
    "A command fails where it cannot run, and not where a target is missed.",
)

Seeds = Annotated[int, typer.Option("--seeds", min=1, help="Runs of each case, over which means go.")]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write every figure there, with its target.")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FOLDER", help="Write plots (PNG) and their data (CSV) there.")
]


@app.command()
def paper(
    seeds: Seeds = 20,
    only: Annotated[
        str, typer.Option(metavar="NAMES", help="Of the studies these alone, as S1,S3,join; all where empty.")
    ] = "",
    json: Json = None,
    out: Out = None,
) -> None:
    """Run the experiments of the WWW.Serve paper, and say what it reports beside what is found."""
    from tallystick_node.sim.paper import StudyUnknown
    from tallystick_node.sim.paper import paper as run
    from tallystick_node.sim.plot import MatplotlibMissing
    from tallystick_node.sim.report import console

    try:
        run(
            seeds=seeds,
            only=[name for name in only.split(",") if name],
            json=json,
            out=out,
            console=console(),
        )
    except (StudyUnknown, MatplotlibMissing, OSError) as error:
        typer.echo(f"tally-node: {error}", err=True)
        raise typer.Exit(1) from error
