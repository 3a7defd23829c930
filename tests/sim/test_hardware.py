"""Pools of engines, as the table has them and as a user may write them."""

from pathlib import Path

import pytest

from tallystick_node.sim.hardware import BadPool, hardware, pool, profiles, read_pool, twelve

OWN = (
    "model,gpu,count,t0_ms,beta_ms_per_seq,weights_ms,ms_per_token_compute,kv_ms_per_ctx_token,"
    "kv_capacity_tokens,max_batched_tokens,max_num_seqs"
)


def test_the_table_holds_constants_in_picoseconds() -> None:
    h100 = hardware("Qwen3-8B", "H100")
    assert (h100.name, h100.slots) == ("Qwen3-8B on H100", 1_024)
    speed = h100.speed
    assert (speed.fixed, speed.sequence, speed.weights) == (10**9, 55 * 10**6, 6_106 * 10**6)
    assert (speed.token, speed.context) == (21_622_000, 73_320)
    assert (speed.capacity, speed.chunk) == (403_011, 8_192)


def test_every_row_of_the_table_takes_time() -> None:
    assert all(each.speed.step_s(sequences=1, context=1) > 0 for each in profiles().values())


def test_the_twelve_differ_by_an_order_of_magnitude() -> None:
    steps = [each.speed.step_s(sequences=1, context=1_000) for each in twelve()]
    assert len(steps) == 12
    assert max(steps) > 9 * min(steps)


def test_a_pool_counts_and_may_bring_constants_of_its_own() -> None:
    mine = pool([OWN, "Qwen3-8B,A100,2,,,,,,,,", "", "mine,abacus,,1,0,900,50,0.5,4096,512,4"], name="p")
    assert [each.name for each in mine] == ["Qwen3-8B on A100"] * 2 + ["mine on abacus"]
    assert mine[2].slots == 4
    assert mine[2].speed.weights == 900 * 10**9


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ([], "no column model and no gpu"),
        (["model,gpu,cuont"], "unknown columns cuont"),
        (["model,gpu,count"], "names no engine"),
        (["model,gpu,count", "Qwen3-8B,H100,1", "Qwen3-8B,H1000,1"], "row 3: .*known are A100"),
        (["model,gpu,count", "Qwen4-8B,H100,1"], "row 2: no model 'Qwen4-8B'"),
        (["model,gpu,count", "Qwen3-8B,H100,-1"], "count is to be a whole number above 0, not '-1'"),
        (["model,gpu,count", "Qwen3-8B,H100,1000000"], "more than 100000 engines"),
        (["model,gpu,count", "Qwen3-8B,H100,1,2"], "more fields"),
        ([OWN, "a,b,1,1,0,900,,,,,"], "need ms_per_token_compute, kv_ms_per_ctx_token"),
        ([OWN, "a,b,1,0,0,0,0,0.5,4096,512,4"], "all its times are 0"),
        ([OWN, "a,b,1,nan,0,900,50,0.5,4096,512,4"], "t0_ms is to be milliseconds, not 'nan'"),
    ],
)
def test_what_is_wrong_with_a_pool_is_said(lines: list[str], what: str) -> None:
    with pytest.raises(BadPool, match=what):
        pool(lines, name="p")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadPool, match="nowhere"):
        read_pool(tmp_path / "nowhere")
