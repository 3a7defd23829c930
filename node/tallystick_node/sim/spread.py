"""Many runs at once, on as many cores as there are. What comes out does not depend on how many."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")
R = TypeVar("R")


def spread(do: Callable[[T], R], work: Sequence[T], *, processes: int | None = None) -> Iterator[R]:
    """Of each piece of work in its order, as they are done; `do` is a function of a module. `processes`: all
    cores where None."""
    count = min(len(work), processes or len(os.sched_getaffinity(0)))
    if count <= 1:
        yield from map(do, work)
        return
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield from pool.map(do, work)


def tracked(do: Callable[[T], R], work: Sequence[T], console: Console) -> Iterator[tuple[T, R]]:
    """Each piece of work and what came of it, as `spread` does it; a terminal shows how far it is."""
    results = track(
        spread(do, work),
        total=len(work),
        description="running",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    return zip(work, results, strict=True)
