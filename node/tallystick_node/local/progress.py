"""What takes minutes says what it is at, on a terminal or not."""

import sys
import time
from typing import Final

_BEGUN: Final = time.monotonic()


def tell(line: str) -> None:
    """On standard error, at once, behind the seconds since the start."""
    print(f"{time.monotonic() - _BEGUN:7.1f} s  {line}", file=sys.stderr, flush=True)  # noqa: T201
