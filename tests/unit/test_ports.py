"""Ports that processes on this machine share without asking one another."""

import random

from tallystick_node.local.process import free_ports


def test_a_port_that_somebody_was_told_is_nobody_else_s() -> None:
    """Not even while nobody listens at it yet, however chance falls."""
    random.seed(1)
    first = free_ports(5)
    random.seed(1)
    assert not set(first) & set(free_ports(5))
