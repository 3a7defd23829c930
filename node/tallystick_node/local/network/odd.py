"""A node that is not as others are. It *lies*: tells everybody that it has nothing to do, in its adverts and
in its quotes, whatever it has. Or it *believes*: buys by what adverts say, whatever came of it.

python -m tallystick_node.local.network.odd lies,believes tallystick_node.cli serve node.toml
"""

import runpy
import sys
from dataclasses import replace

from tallystick.client.rules import RULES
from tallystick.protocol.expect import Size
from tallystick.protocol.speed import Pace, pace
from tallystick.protocol.status import Status
from tallystick.protocol.units import Tokens
from tallystick_node.gateway.load import IDLE
from tallystick_node.gateway.promises import Promises
from tallystick_node.local.network.rules import believing


class Lies(Promises):
    """Its own users are served by the truth."""

    def statuses(self, *, ready: bool) -> list[Status]:
        return [
            replace(status, room=self.most(), running=0, waiting=0, context=Tokens(0), queued=Tokens(0))
            for status in super().statuses(ready=ready)
        ]

    def _fresh(self, size: Size) -> Pace | None:
        if self.speed is None:
            return None
        return pace(self.speed, IDLE, input_tokens=size.input_tokens, output_tokens=size.output_tokens)


if __name__ == "__main__":
    from tallystick_node.gateway import gateway
    from tallystick_node.network import origin

    oddities = sys.argv[1].split(",")
    if "lies" in oddities:
        vars(gateway)["Promises"] = Lies  # Whoever makes the node's promises makes these.
    if "believes" in oddities:
        vars(origin)["RULES"] = dict.fromkeys(RULES, believing)  # Whatever its configuration says.
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
