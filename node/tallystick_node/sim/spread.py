"""Many runs at once, on as many cores as there are. What comes out does not depend on how many."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

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
