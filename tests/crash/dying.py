"""Runs a module as `python -m` does, until the process kills itself at the n-th passing of a named point.

python tests/crash/dying.py POINT N MODULE ARGUMENT…
"""

import os
import runpy
import signal
import sys
from pathlib import Path

EVENT = "tallystick.crash"


def main() -> None:
    name, left, module = sys.argv[1], int(sys.argv[2]), sys.argv[3]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event == EVENT and arguments[0] == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    sys.argv = sys.argv[3:]
    sys.path[0] = str(Path(__file__).parents[2])
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
