"""The forward pass: one answer, whatever the way to it."""

import numpy as np
import pytest

from tallystick_node.engine.llama import Llama

PROMPT = (2, 59, 76, 273, 285, 265, 868, 295, 1271, 279, 93, 69, 35, 203, 3)
OTHER = (396, 374, 285)


def test_a_token_at_a_time_is_as_good_as_all_at_once(model: Llama) -> None:
    at_once = model.prefill(0, PROMPT, all_rows=True)
    first = model.prefill(0, PROMPT[:3], all_rows=False)
    assert first[-1] == pytest.approx(at_once[2], abs=1e-4)
    for length in range(3, len(PROMPT)):
        row = model.decode(np.array([PROMPT[length]]), np.array([length]))[0]
        assert row == pytest.approx(at_once[length], abs=1e-4)


def test_sequences_of_a_batch_do_not_touch_each_other(model: Llama) -> None:
    alone = model.prefill(0, PROMPT, all_rows=False)[-1]
    model.prefill(0, PROMPT[:-1], all_rows=False)
    model.prefill(1, OTHER[:-1], all_rows=False)
    together = model.decode(np.array([PROMPT[-1], OTHER[-1]]), np.array([len(PROMPT) - 1, len(OTHER) - 1]))
    assert together[0] == pytest.approx(alone, abs=1e-4)
    assert together[1] == pytest.approx(model.prefill(2, OTHER, all_rows=False)[-1], abs=1e-4)


def test_a_sequence_goes_on_in_the_slot_it_moved_to(model: Llama) -> None:
    expected = model.prefill(0, PROMPT, all_rows=False)[-1]
    model.prefill(3, PROMPT[:-1], all_rows=False)
    model.prefill(0, OTHER, all_rows=False)
    model.move(3, 0, len(PROMPT) - 1)
    row = model.decode(np.array([PROMPT[-1]]), np.array([len(PROMPT) - 1]))[0]
    assert row == pytest.approx(expected, abs=1e-4)
