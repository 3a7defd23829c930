"""Many runs at once, on as many cores as there are, and how far they are. What comes out does not depend on
how many."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from threading import Event, Thread
from time import monotonic
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import Progress

T = TypeVar("T")
R = TypeVar("R")

SAID_EACH_S: Final = 30.0
"""How far it is, where no terminal shows it."""


def spread(do: Callable[[T], R], work: Sequence[T], *, processes: int | None = None) -> Iterator[R]:
    """Of each piece of work in its order, as they are done; `do` is a function of a module. `processes`: all
    cores where None."""
    count = min(len(work), processes or len(os.sched_getaffinity(0)))
    if count <= 1:
        yield from map(do, work)
        return
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield from pool.map(do, work)


def tracked(do: Callable[[T], R], work: Sequence[T]) -> Iterator[tuple[T, R]]:
    """Each piece of work and what came of it, as `spread` does it."""
    return zip(work, followed(spread(do, work), len(work), "runs"), strict=True)


def followed(
    things: Iterable[T],
    total: int,
    what: str,
    *,
    console: Console | None = None,
    each_s: float = SAID_EACH_S,
) -> Iterator[T]:
    """These, one by one. Standard error tells how far they are: a bar where it is a terminal, else a line now
    and then."""
    told = Console(stderr=True) if console is None else console
    if told.is_terminal:
        with Progress(console=told, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
            yield from progress.track(things, total=total, description=what)
        return
    done, ended, start = 0, Event(), monotonic()

    def say() -> None:
        while not ended.wait(each_s):
            told.print(f"{done:,} of {total:,} {what} after {monotonic() - start:,.0f} s", soft_wrap=True)

    Thread(target=say, daemon=True).start()
    try:
        for thing in things:
            yield thing
            done += 1
    finally:
        ended.set()
