"""Arrivals: in order, repeatable, and as many as their generator promises."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tallystick_node.sim.recorded import TraceUnreadable, read_rows, summary
from tallystick_node.sim.workload import (
    CHAT,
    Arrival,
    Stretch,
    azure,
    bursty,
    poisson,
    scheduled,
    trace,
    trace_at,
)

HOMES = range(5)
MADE: dict[str, Callable[[int], Iterator[Arrival]]] = {
    "scheduled": lambda seed: scheduled([[Stretch(2, 0, 300), Stretch(8, 300, 900)]] * 3, CHAT, seed=seed),
    "poisson": lambda seed: poisson(2, 900, CHAT, homes=HOMES, seed=seed),
    "bursty": lambda seed: bursty(2, 900, CHAT, homes=HOMES, seed=seed),
    "azure": lambda seed: azure(2, 900, homes=HOMES, seed=seed),
}


@pytest.mark.parametrize("name", MADE)
def test_arrivals_are_in_order_and_follow_from_their_seed(name: str) -> None:
    arrivals = list(MADE[name](1))
    assert all(a.at <= b.at for a, b in pairwise(arrivals))
    assert all(0 <= a.at < 900 and a.input >= 1 and a.output >= 1 for a in arrivals)
    assert arrivals == list(MADE[name](1))
    assert arrivals != list(MADE[name](2))


@pytest.mark.parametrize(("name", "mean"), [("scheduled", 675), ("poisson", 1800), ("bursty", 1800)])
def test_as_many_arrive_in_the_mean_as_the_rates_say(name: str, mean: int) -> None:
    counts = [sum(1 for _ in MADE[name](seed)) for seed in range(20)]
    assert sum(counts) / len(counts) == pytest.approx(mean, rel=0.03)


def test_a_piece_has_its_own_rate_and_node() -> None:
    arrivals = list(scheduled([[Stretch(1, 0, 500)], [Stretch(10, 500, 1_000)]], CHAT, seed=3))
    first, second = ([a for a in arrivals if a.home == home] for home in (0, 1))
    assert max(a.at for a in first) < 500 <= min(a.at for a in second)
    assert len(first) > 5 * len(second) > 0


def test_a_burst_crowds() -> None:
    """The variance of counts per five seconds is what tells it from a Poisson process."""

    def crowding(arrivals: Iterator[Arrival]) -> float:
        counts = [0] * 180
        for arrival in arrivals:
            counts[int(arrival.at / 5)] += 1
        mean = sum(counts) / len(counts)
        return sum((count - mean) ** 2 for count in counts) / len(counts) / mean

    one = range(1)
    assert crowding(bursty(2, 900, CHAT, homes=one, seed=1, burst=20)) > 4
    assert crowding(poisson(2, 900, CHAT, homes=one, seed=1)) < 2


def test_the_public_trace_keeps_its_lengths_at_any_rate() -> None:
    arrivals = list(azure(40, 600, homes=HOMES, seed=1))
    assert len(arrivals) == pytest.approx(24_000, rel=0.05)
    assert sum(a.input for a in arrivals) / len(arrivals) == pytest.approx(1_155, rel=0.05)
    assert sum(a.output for a in arrivals) / len(arrivals) == pytest.approx(211, rel=0.05)


def test_a_file_is_read_with_names_or_without_and_compressed(tmp_path: Path) -> None:
    rows = "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.6805900,396,109\n"
    named, bare = tmp_path / "named.csv", tmp_path / "bare.csv"
    named.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows)
    bare.write_text("10,374,44\n14,396,109\n", encoding="utf-8-sig")  # As spreadsheets write it.
    read = [(a.at, a.input, a.output) for a in trace(named, homes=HOMES, seed=1)]
    assert read == [(0, 374, 44), (pytest.approx(4), 396, 109)]
    assert [(a.at, a.input, a.output) for a in trace(bare, homes=HOMES, seed=1)] == read


@pytest.mark.parametrize(
    "text",
    [
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,log\n",
        "arrived_at,num_prefill_tokens,num_decode_tokens,pd_ratio\n5.0,472,18,26.2\n",
        "completion_tokens;prompt_tokens;time\n18.0; 472.0; 1970-01-01T00:00:05Z\n",
        "when\tin\tout\n5\t472\t18\n",
        "time,request_output_tokens,request_input_tokens\n5,18,472\n",
        "prefill_time,timestamp,prompt,prompt_tokens,completion_tokens\n0.2,5,Hello,472,18\n",
        "id,arrival_time,input,output\n7,5,472,18\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n1970-01-01 02:00:05.0000000+02:00,472,18\n",
    ],
)
def test_columns_are_found_by_their_names(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    assert read_rows(path) == [(5, 472, 18)]


@pytest.mark.parametrize("names", ["id,time,in,out", "time,out,input_tokens"])
def test_columns_that_are_half_named_are_not_guessed(tmp_path: Path, names: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(f"{names}\n1,2,3,4\n")
    with pytest.raises(TraceUnreadable, match="not clear which"):
        read_rows(path)


@pytest.mark.parametrize("rows", ["0,1,1\n2023-11-16 18:15:46,1,1\n", "0,1,1\n1e300,1,1\n"])
def test_arrivals_that_are_years_apart_are_no_seconds(tmp_path: Path, rows: str) -> None:
    """They would be played to the end of the world."""
    path = tmp_path / "trace.csv"
    path.write_text(rows)
    with pytest.raises(TraceUnreadable, match="days; times are seconds"):
        read_rows(path)


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("0,2,3\n10,4,5\n")
    first = read_rows(path)
    assert read_rows(path) is first
    assert summary(path) == f"{path}: 2 requests in 10 s, of 3 tokens in and 4 out in the mean"
    path.write_text("0,2,3\n")
    assert read_rows(path) == [(0, 2, 3)]


def test_what_cannot_be_read_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("at,in,out\n\n1,2,3\n1,2,-3\n")
    with pytest.raises(TraceUnreadable, match=r"trace\.csv, line 4: .*'-3'"):
        read_rows(path)


def test_a_file_at_another_pace_begins_at_a_seed_s_place_and_never_ends(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("".join(f"{7 * at},{at + 1},9\n" for at in range(20)))
    one, other = (list(trace_at(path, 5, 60, homes=HOMES, seed=seed)) for seed in (1, 2))
    assert len(one) == pytest.approx(300, abs=1)
    assert one[0].input != other[0].input
    assert [a.input for a in one[:20]] == [a.input for a in one[20:40]]
    assert [b.input - a.input for a, b in pairwise(one[:20])].count(1) >= 18


def test_arrivals_of_one_moment_have_no_pace(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("1,1,1\n1,2,2\n")
    with pytest.raises(TraceUnreadable, match="one moment"):
        next(trace_at(path, 5, 60, homes=HOMES, seed=1))


@pytest.mark.parametrize(
    "text", ["", "at,in,out\n", "1,2\n", "1,2,x\n", "0,1,1\nlater,1,1\n", "nan,1,1\n", f"0,{'9' * 5_000},1\n"]
)
def test_a_file_of_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(TraceUnreadable):
        list(trace(path, homes=HOMES, seed=1))
