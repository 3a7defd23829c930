"""What `scripts/demo`'s showings have in common: their options, how they end, and where their figures go."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from tallystick.chain.errors import ChainError
from tallystick_node.local.bench.page import put_between
from tallystick_node.local.engines import vllm_is_installed
from tallystick_node.local.process import NotReady

MARKER: Final = "figures"
"""Of the section in the page."""
Markdown = Callable[[Mapping[str, Any]], str]
"""What an earlier report becomes in docs."""


def parser(name: str, about: str | None, *, seed: str) -> argparse.ArgumentParser:
    """With the options that all have; `seed`: of what it is."""
    found = argparse.ArgumentParser(prog=f"scripts/demo {name}", description=about)
    found.add_argument("--seed", type=int, default=7, help=f"of {seed} (default 7)")
    found.add_argument("--json", metavar="FILE", help="write every figure there; -: to stdout")
    found.add_argument(
        "--docs", metavar="FILE", type=Path, help="write them into that page, between its markers"
    )
    found.add_argument(
        "--read", metavar="FILE", type=Path, help="take an earlier --json for --docs, run nothing"
    )
    found.add_argument(
        "--plot", metavar="FILE", default=f"{name}.png", help=f"the picture (default {name}.png)"
    )
    found.add_argument("--keep", metavar="FOLDER", help="work there and leave logs and databases behind")
    return found


def require_sound(
    options: argparse.Namespace, parser: argparse.ArgumentParser, keys: Collection[str]
) -> None:
    """Ends the program where options contradict one another; `keys`: of parts that there are."""
    if options.read and not options.docs:
        parser.error("--read is for --docs")
    if options.vllm and not vllm_is_installed():
        parser.error("vLLM is not installed: scripts/install vllm")
    if unknown := [key for key in options.keys if key not in keys]:
        parser.error(f"there is no {', '.join(unknown)}: choose from {','.join(keys)}")


def show(
    name: str,
    options: argparse.Namespace,
    as_markdown: Markdown,
    run: Callable[[argparse.Namespace, Path, Console], int],
) -> int:
    """Runs it in a folder of its own, to its exit status. Whatever interrupts it, nothing is left running."""
    if options.read:
        put_between(options.docs, MARKER, as_markdown(json.loads(options.read.read_text())))
        return 0
    console = Console(highlight=False, stderr=options.json == "-")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix=f"tallystick-{name}-", ignore_cleanup_errors=True) as folder:
            return run(options, Path(options.keep or folder), console)
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130
    except (NotReady, ChainError) as error:
        console.print(f"[red]{name}:[/] {error}", markup=True)
        return 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def save(options: argparse.Namespace, report: Mapping[str, Any], as_markdown: Markdown) -> None:
    """Where `--json` and `--docs` say."""
    if options.json == "-":
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    elif options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n")
    if options.docs:
        put_between(options.docs, MARKER, as_markdown(report))
