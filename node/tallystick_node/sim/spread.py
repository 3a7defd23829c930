"""Many runs at once, on as many cores as there are, and how far they are. What comes out does not depend on
how many."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from signal import SIG_BLOCK, SIG_SETMASK, SIGINT, pthread_sigmask, raise_signal, signal
from threading import Event, Thread, current_thread, main_thread
from time import monotonic
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task
from rich.text import Text

T = TypeVar("T")
R = TypeVar("R")

SAID_EACH_S: Final = 30.0
"""How far it is, where no terminal shows it."""
_noted: "Synchronized[int] | None" = None
"""What is done within the pieces of work under way, in whichever process; None: nobody follows it."""


def note(count: int) -> None:
    """So much more is done within a piece of work."""
    if _noted is not None and count:
        with _noted.get_lock():
            _noted.value += count


def _begin(noted: "Synchronized[int] | None") -> None:
    """In a process that does some of the work, and ends with the one that wants it, however that ends."""
    _note_in(noted)
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()


def _end_with(other: BaseProcess) -> None:
    other.join()
    os._exit(1)


def _note_in(noted: "Synchronized[int] | None") -> None:
    global _noted
    _noted = noted


def spread(do: Callable[[T], R], work: Sequence[T], *, processes: int | None = None) -> Iterator[R]:
    """Of each piece of work in its order, as they are done; `do` is a function of a module. `processes`: all
    cores where None. Whoever takes no more of them, for an error or an interrupt, does not wait for what is
    under way."""
    count = min(len(work), processes or len(os.sched_getaffinity(0)))
    if count <= 1:
        yield from map(do, work)
        return
    others = set(active_children())
    context = get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(_noted,))
    try:
        with _deaf():
            made = pool.map(do, work)
        yield from made
    except BaseException:
        for child in set(active_children()) - others:
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Nobody interrupts the processes that are started meanwhile, ever: a terminal interrupts all at once,
    and one of them is to say so. This one hears of it once they are started."""
    if current_thread() is not main_thread():  # Which is the one that hears of it.
        yield
        return
    heard: list[int] = []
    handler = signal(SIGINT, lambda number, _: heard.append(number))
    before = pthread_sigmask(SIG_BLOCK, {SIGINT})
    try:
        yield
    finally:
        pthread_sigmask(SIG_SETMASK, before)
        signal(SIGINT, handler)
        if heard:
            raise_signal(SIGINT)


def tracked(do: Callable[[T], R], work: Sequence[T]) -> Iterator[tuple[T, R]]:
    """Each piece of work and what came of it, as `spread` does it; they simulate requests."""
    return zip(work, followed(spread(do, work), len(work), "runs", within="requests"), strict=True)


def counted(count: int, what: str) -> str:
    """As 1 run, or 2 runs."""
    return f"{count:,} {what.removesuffix('s') if count == 1 else what}"


def followed(
    things: Iterable[T],
    total: int,
    what: str,
    *,
    within: str = "",
    console: Console | None = None,
    each_s: float = SAID_EACH_S,
) -> Iterator[T]:
    """These, one by one. Standard error tells how far they are: a bar where it is a terminal, else a line now
    and then. `within`: what is noted while one is made."""
    told = Console(stderr=True) if console is None else console
    noted = get_context("spawn").Value("Q", 0) if within else None
    _note_in(noted)
    try:
        if told.is_terminal:
            yield from _on_a_bar(things, total, what, within, noted, told)
        else:
            yield from _by_lines(things, total, what, within, noted, told, each_s)
    finally:
        _note_in(None)


class _Within(ProgressColumn):
    """What is done within."""

    def __init__(self, noted: "Synchronized[int]", what: str):
        super().__init__()
        self._noted = noted
        self._what = what

    def render(self, task: Task) -> Text:
        return Text(counted(self._noted.value, self._what))


def _on_a_bar(
    things: Iterable[T],
    total: int,
    what: str,
    within: str,
    noted: "Synchronized[int] | None",
    told: Console,
) -> Iterator[T]:
    columns = [*Progress.get_default_columns(), *([] if noted is None else [_Within(noted, within)])]
    bar = Progress(*columns, console=told, transient=True, redirect_stdout=False, redirect_stderr=False)
    with bar as progress:
        yield from progress.track(things, total=total, description=what)


def _by_lines(
    things: Iterable[T],
    total: int,
    what: str,
    within: str,
    noted: "Synchronized[int] | None",
    told: Console,
    each_s: float,
) -> Iterator[T]:
    done, ended, start = 0, Event(), monotonic()

    def say() -> None:
        while not ended.wait(each_s):
            inside = f", {counted(noted.value, within)}," if noted is not None and noted.value else ""
            took = f"{monotonic() - start:,.0f} s"
            told.print(f"{done:,} of {counted(total, what)}{inside} after {took}", soft_wrap=True)

    Thread(target=say, daemon=True).start()
    try:
        for thing in things:
            yield thing
            done += 1
    finally:
        ended.set()
