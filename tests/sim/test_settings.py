"""The settings are the paper's."""

import pytest

from tallystick_node.sim.settings import LENGTHS, SETTINGS
from tallystick_node.sim.workload import scheduled


@pytest.mark.parametrize(("name", "expected"), [("S1", 270), ("S3", 390)])
def test_as_many_requests_come_as_in_the_paper(name: str, expected: int) -> None:
    setting = SETTINGS[name]
    counts = [sum(1 for _ in scheduled(setting.schedule, LENGTHS, seed=seed)) for seed in range(40)]
    assert sum(counts) / len(counts) == pytest.approx(expected, rel=0.03)


def test_each_machine_has_users_and_an_engine_that_holds_a_whole_answer() -> None:
    for setting in SETTINGS.values():
        assert len(setting.machines) == len(setting.schedule)
        longest = LENGTHS.input_most + LENGTHS.output_most
        assert all(machine.speed.capacity > longest for machine in setting.machines)


def test_a_step_of_a_machine_is_what_its_memory_takes() -> None:
    """16.4 GB of weights and 100,000 tokens of 147,456 bytes, at 0.8 · 960 GB/s, and what the host adds."""
    ada = SETTINGS["S1"].machines[0]
    step_ms = 1e3 * ada.speed.step_s(sequences=40, context=100_000)
    assert step_ms == pytest.approx(1 + (16.4e9 + 100_000 * 147_456) / 0.8 / 960e6, rel=0.03)
