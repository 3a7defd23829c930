"""`tally-node sim`: parse, call one function, print. What a simulation takes is imported when one runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Simulate the market: the node's own decisions on an imagined clock, network, chain and engines. "
    "A command fails where it cannot run, and not where a target is missed.",
)


def _finite(value: float) -> float:
    """A number: one that is none is in no range, and out of none."""
    if not isfinite(value):
        raise typer.BadParameter(f"{value} is not in the range of what can be played.")
    return value


Seeds = Annotated[int, typer.Option("--seeds", min=1, help="Runs of each case, over which means go.")]
FirstSeed = Annotated[int, typer.Option("--first-seed", min=0, help="Of those runs; each has the next seed.")]
Loss = Annotated[
    float,
    typer.Option(
        "--loss", min=0, max=0.5, callback=_finite, help="Part of all messages that is lost, and sent again."
    ),
]
Gossip = Annotated[
    bool, typer.Option("--gossip", help="Carry news by the nodes' own gossip: for a few dozen nodes.")
]
Lobby = Annotated[
    bool, typer.Option("--lobby", help="Refuse own users that wait as live nodes do, after a minute.")
]
Credit = Annotated[
    int, typer.Option("--credit", min=0, metavar="ATOMS", help="Of each payer at each provider; 0: no limit.")
]
Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write every figure there, with its target; -: to stdout."),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FOLDER", help="Write plots (PNG) and their data (CSV) there.")
]


def _names(only: str) -> list[str]:
    names = [name for each in only.split(",") if (name := each.strip())]
    if only and not names:
        raise typer.BadParameter(f"{only!r} names nothing.")
    return names


@contextmanager
def _told(*errors: type[Exception]) -> Iterator[None]:
    """These end the command in words."""
    try:
        yield
    except BrokenPipeError as error:  # Whoever read it has read enough.
        raise typer.Exit(1) from error
    except errors as error:
        typer.echo(f"tally-node: {_words(error)}", err=True)
        raise typer.Exit(1) from error


def _words(error: Exception) -> str:
    """Without its number, where the system says it."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


@app.command()
def paper(
    seeds: Seeds = 20,
    first_seed: FirstSeed = 0,
    only: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="These studies alone, as S1,S3,join; a wrong name is told all. Empty: all but sensitivity.",
        ),
    ] = "",
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace", metavar="FILE", help="Run these arrivals: CSV of time, prompt tokens, output tokens."
        ),
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option("--pool", metavar="FILE", help="Run on these engines: CSV of model, gpu, count."),
    ] = None,
    loss: Loss = 0.0,
    gossip: Gossip = False,
    lobby: Lobby = False,
    credit: Credit = 0,
    json: Json = None,
    out: Out = None,
) -> None:
    """Run the WWW.Serve paper's experiments, beside what it found."""
    from tallystick_node.sim.detail import Detail
    from tallystick_node.sim.hardware import BadPool
    from tallystick_node.sim.names import NameUnknown
    from tallystick_node.sim.paper import paper as run
    from tallystick_node.sim.plot import MatplotlibMissing
    from tallystick_node.sim.recorded import TraceUnreadable
    from tallystick_node.sim.report import console

    if only and (trace or pool):
        raise typer.BadParameter(
            "names the paper's studies: not with --trace or --pool.", param_hint="--only"
        )
    with _told(NameUnknown, TraceUnreadable, BadPool, MatplotlibMissing, OSError):
        run(
            seeds=range(first_seed, first_seed + seeds),
            only=_names(only),
            trace=trace,
            pool=pool,
            json=json,
            out=out,
            console=console(json),
            detail=Detail(loss=loss, gossip=gossip, lobby=lobby, credit=credit),
        )


@app.command()
def scale(
    nodes: Annotated[
        int | None,
        typer.Option(
            min=2, help="For speed 12 without it, each with an engine and users; for gossip up to 10,000."
        ),
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="Of all users together.")] = 20_000,
    seed: Annotated[int, typer.Option(help="All that chance decides follows from it.")] = 1,
    profile: Annotated[
        bool, typer.Option("--profile", help="Say where the time goes; it takes two or three times as long.")
    ] = False,
    only: Annotated[
        str,
        typer.Option(
            metavar="PARTS",
            help="speed (of the simulator), gossip, gas (of settling), index, wall (a million payers).",
        ),
    ] = "speed",
    a_day: Annotated[
        float,
        typer.Option("--a-day", min=0.01, max=1e6, callback=_finite, help="Requests of a payer in a day."),
    ] = 20.0,
    channels: Annotated[
        float, typer.Option(min=1, max=1e6, callback=_finite, help="Providers that a payer buys of.")
    ] = 8.0,
    bench: Annotated[
        list[Path] | None,
        typer.Option(
            "--bench",
            metavar="FILE",
            help="What `scripts/bench`, its `index` or its `gossip` wrote with --json: for wall; any number.",
        ),
    ] = None,
    json: Json = None,
    out: Out = None,
) -> None:
    """Say what as large a market as is asked for takes.

    It does so part by part; docs/scale.md has what was found.
    """
    from tallystick_node.sim.benched import BadBench
    from tallystick_node.sim.names import NameUnknown
    from tallystick_node.sim.plot import MatplotlibMissing
    from tallystick_node.sim.report import console
    from tallystick_node.sim.scale_parts import GOSSIPING, Asked
    from tallystick_node.sim.scale_parts import scale as run
    from tallystick_node.sim.walls import Habits

    names, most = _names(only), max(GOSSIPING)
    if nodes and nodes > most and (not names or "gossip" in names):
        raise typer.BadParameter(f"{nodes:,} do not gossip: {most:,} at most.", param_hint="--nodes")
    habits = Habits(a_day=a_day, channels=channels)
    asked = Asked(
        nodes=nodes, requests=requests, seed=seed, profiled=profile, habits=habits, bench=bench or ()
    )
    with _told(NameUnknown, BadBench, MatplotlibMissing, OSError):
        run(asked, names, json=json, out=out, console=console(json))


@app.command()
def measure(
    url: Annotated[str, typer.Argument(help="Of an engine with OpenAI's API, up to `/v1`.")],
    model: Annotated[str, typer.Option(help="As the engine names it.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write what was measured there, as CSV.")],
    loads: Annotated[
        str, typer.Option(help="One after another: `8` keeps eight requests under way, `5/s` sends so many.")
    ] = "1,4,16",
    rounds: Annotated[
        int,
        typer.Option(min=1, help="Times that all loads take their turn: what else a machine does meets all."),
    ] = 1,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=1e6, callback=_finite, help="For each load, each time.")
    ] = 10.0,
    longest: Annotated[int, typer.Option(min=8, help="Tokens of a prompt, and of an answer.")] = 128,
    seed: Annotated[int, typer.Option(help="Of what is asked.")] = 1,
) -> None:
    """Ask a real engine, and take its times."""
    import asyncio

    from tallystick_node.sim.fit import write
    from tallystick_node.sim.measure import BadLoad, EngineSilent, measured
    from tallystick_node.sim.outfile import require_writable, written

    with _told(BadLoad, EngineSilent, OSError):
        require_writable(out)
        wanted = tuple(_names(loads) or [loads]) * rounds
        found = asyncio.run(measured(url, model, wanted, seconds=seconds, longest=longest, seed=seed))
        with written(out) as part, part.open("w", encoding="utf-8") as file:
            write(found, file)
    typer.echo(f"{len(found)} answers in {out}")


@app.command()
def fit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `tally-node sim measure` wrote.")],
    slots: Annotated[int, typer.Option(min=1, help="Sequences that the engine answers at a time.")] = 256,
    capacity: Annotated[int, typer.Option(min=0, help="Tokens of context that fit; 0: any number.")] = 0,
    chunk: Annotated[int, typer.Option(min=0, help="Prompt tokens in a step; 0: any number.")] = 0,
    foretold: Annotated[
        str,
        typer.Option(
            metavar="LOADS",
            help="Loads of FILE, as 6,5/s: not to be looked at, but to be foretold; all if empty.",
        ),
    ] = "",
    json: Json = None,
) -> None:
    """Find an engine's constants by what was measured of it.

    They are as `[engine.speed]` has them, and foretell the times of other loads.
    """
    from tallystick_node.sim.fit import (
        STEPS,
        BadMeasure,
        checks,
        checks_table,
        constants_figures,
        figures,
        fitted,
        parted,
        read,
        times_figures,
    )
    from tallystick_node.sim.outfile import is_stdout, require_writable
    from tallystick_node.sim.report import console, targets_table, write_json
    from tallystick_node.sim.rerun import named_file
    from tallystick_node.sim.spread import followed

    loads = _names(foretold)
    with _told(BadMeasure, OSError), file.open(encoding="utf-8-sig") as opened:
        require_writable(json)
        seen, others = parted(read(opened, str(file)), loads)
    steps = followed(STEPS, len(STEPS), "steps")
    constants = fitted(seen, slots=slots, capacity=capacity, chunk=chunk, steps=steps)
    typer.echo("[engine.speed]", err=is_stdout(json))
    for name in ("fixed", "sequence", "token", "context", "capacity", "chunk"):
        typer.echo(f"{name} = {getattr(constants.speed, name)}", err=is_stdout(json))
    typer.echo(f"# outside of its steps: {constants.outside / 1e9:.1f} ms a request", err=is_stdout(json))
    found = checks(constants, slots, others)
    off = figures(found, foretold=bool(loads))
    console(json).print(checks_table(found), targets_table(off) if loads else "")
    if json:
        given = {"slots": slots, "capacity": capacity, "chunk": chunk, "foretold": foretold}
        made = [*constants_figures(constants), *times_figures(found), *off]
        with _told(OSError):
            files = {"measured": named_file(file)}
            write_json(json, "tally-node sim fit", given, made, files=files, modules=["fit"])


@app.command()
def market(
    seeds: Seeds = 3,
    first_seed: FirstSeed = 0,
    only: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="These dispatches alone, as ours,greedy-0.5; a wrong name is told all. Empty: all.",
        ),
    ] = "",
    pool: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of model, gpu, count: other engines.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of time, prompt tokens, output tokens.")
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(min=8, max=1e6, callback=_finite, help="For which requests come, in each run."),
    ] = 60,
    arrivals: Annotated[
        str, typer.Option(metavar="NAME", help="How requests come: trace, poisson or bursty.")
    ] = "trace",
    loss: Loss = 0.0,
    gossip: Gossip = False,
    lobby: Lobby = False,
    credit: Credit = 0,
    json: Json = None,
    out: Out = None,
) -> None:
    """Find how many requests a second unequal engines serve well.

    By dispatch; well is the first token within 3 s, and 100 ms between tokens.
    """
    from tallystick_node.sim.detail import Detail
    from tallystick_node.sim.hardware import BadPool, read_pool, twelve
    from tallystick_node.sim.market import ARRIVALS, TRACE, Setting
    from tallystick_node.sim.market_findings import market as run
    from tallystick_node.sim.names import NameUnknown, require
    from tallystick_node.sim.plot import MatplotlibMissing
    from tallystick_node.sim.recorded import TraceUnreadable
    from tallystick_node.sim.report import console

    if trace and arrivals != TRACE:
        raise typer.BadParameter("says how requests come: not with --trace.", param_hint="--arrivals")
    with _told(BadPool, NameUnknown, TraceUnreadable, MatplotlibMissing, OSError):
        require("way to come", arrivals, ARRIVALS)
        engines = twelve() if pool is None else read_pool(pool)
        run(
            Setting(
                pool=engines,
                pool_file=pool,
                trace=trace,
                seconds=seconds,
                arrivals=arrivals,
                detail=Detail(loss=loss, gossip=gossip, lobby=lobby, credit=credit),
            ),
            seeds=range(first_seed, first_seed + seeds),
            only=_names(only),
            json=json,
            out=out,
            console=console(json),
        )


@app.command()
def incentives(
    seeds: Seeds = 3,
    first_seed: FirstSeed = 0,
    only: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="These questions alone, as honesty,prices; a wrong name is told all. Empty: all.",
        ),
    ] = "",
    json: Json = None,
    out: Out = None,
) -> None:
    """Find what pays a provider: honesty, prices, stakes.

    docs/incentives.md has what was found.
    """
    from tallystick_node.sim.incentives_findings import incentives as run
    from tallystick_node.sim.names import NameUnknown
    from tallystick_node.sim.plot import MatplotlibMissing
    from tallystick_node.sim.report import console

    with _told(NameUnknown, MatplotlibMissing, OSError):
        run(
            seeds=range(first_seed, first_seed + seeds),
            only=_names(only),
            json=json,
            out=out,
            console=console(json),
        )
