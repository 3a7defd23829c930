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
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace", metavar="FILE", help="Run these arrivals: CSV of time, input and output tokens."
        ),
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option("--pool", metavar="FILE", help="Run on these machines: see docs/simulator.md."),
    ] = None,
    json: Json = None,
    out: Out = None,
) -> None:
    """Run the experiments of the WWW.Serve paper, and say what it reports beside what is found."""
    from tallystick_node.sim.hardware import BadPool
    from tallystick_node.sim.paper import StudyUnknown
    from tallystick_node.sim.paper import paper as run
    from tallystick_node.sim.plot import MatplotlibMissing
    from tallystick_node.sim.report import console
    from tallystick_node.sim.workload import TraceUnreadable

    try:
        run(
            seeds=seeds,
            only=[name for name in only.split(",") if name],
            trace=trace,
            pool=pool,
            json=json,
            out=out,
            console=console(),
        )
    except (StudyUnknown, TraceUnreadable, BadPool, MatplotlibMissing, OSError) as error:
        typer.echo(f"tally-node: {error}", err=True)
        raise typer.Exit(1) from error
