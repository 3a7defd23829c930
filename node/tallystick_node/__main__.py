"""Where `tally-node` starts: what interrupts it ends it in one line, while it is still being read, too."""

import sys
from signal import SIG_IGN, SIGINT, default_int_handler, getsignal, signal
from types import FrameType
from typing import Final

_INTERRUPTED: Final = 130
"""As shells have it."""


def main() -> None:
    if getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, _interrupt)
    try:
        from tallystick_node.cli import main as run

        run()
    except KeyboardInterrupt:
        _end()
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            _end()
        raise
    finally:
        signal(SIGINT, SIG_IGN)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Once: what ends is not to be interrupted again."""
    signal(SIGINT, SIG_IGN)
    raise KeyboardInterrupt


def _end() -> None:
    """Nobody waits for what other processes are still at."""
    if "multiprocessing" in sys.modules:
        from multiprocessing import active_children

        for child in active_children():
            child.kill()
    sys.stderr.write("tally-node: interrupted\n")
    sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
