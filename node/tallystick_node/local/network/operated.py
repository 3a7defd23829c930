"""A node whose operator has it sell at other prices from a moment on, which SIGUSR1 says:

python -m tallystick_node.local.network.operated 4000 tallystick_node.cli serve node.toml

Its policy is `rules.Times`, and told nothing of that: the operator puts another one in its place, of so many
thousandths of the configured prices.
"""

import runpy
import signal
import sys
from typing import Any, Final

from tallystick_node.local.network.rules import Times
from tallystick_node.network.participation import Participation

TURN: Final = signal.SIGUSR1


class Operated(Participation):
    then: Times = Times(of_thousand=4_000)

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        signal.signal(TURN, self._turn)

    def _turn(self, *_: object) -> None:
        self._policy = self.then


if __name__ == "__main__":
    from tallystick_node.gateway import own_accord

    Operated.then = Times(of_thousand=int(sys.argv[1]))
    vars(own_accord)["Participation"] = Operated  # Whoever asks the node's policy asks by this.
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
