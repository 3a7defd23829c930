"""What a program makes as it starts, modules and what they define, lives as long as it does: to look for
garbage among it, as Python does again and again while it grows, takes up to a quarter of the start."""

import gc
from typing import Final

_USUAL: Final = gc.get_threshold()
_SELDOM: Final = 50_000
"""Objects made and not let go of, from one look to the next."""


def look_seldom() -> None:
    """The first that a program does."""
    gc.set_threshold(_SELDOM, *_USUAL[1:])


def keep_what_is_made() -> None:
    """The last that a server does before it serves: nothing made until now is ever looked at again. A full
    collection, which holds up every answer, took 90 ms to walk a web application's classes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_USUAL)
