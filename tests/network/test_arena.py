"""What `scripts/demo network` measures with: the load, the score, and links that can be cut."""

import asyncio
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_node.local.network.links import Links
from tallystick_node.local.network.score import FIRST_S, TOKEN_S, Served, curve, score
from tallystick_node.local.network.traffic import Arrival, Size, arrivals, read_sizes
from tallystick_node.local.process import free_ports

SIZES = read_sizes(longest=4_000)
ARRIVAL = Arrival(number=0, at_s=0.0, home=0, size=Size(input=100, output=11))
SERVED = Served(arrival=ARRIVAL, first_s=0.5, total_s=1.5, tokens=11)


def test_sizes_are_those_of_conversations_up_to_4000_tokens() -> None:
    assert len(SIZES) > 2_500
    assert 850 < sum(size.input for size in SIZES) / len(SIZES) < 1_000
    assert 200 < sum(size.output for size in SIZES) / len(SIZES) < 300


@given(seed=st.integers(0, 1 << 32), rate=st.floats(1, 20))
def test_one_seed_is_one_load(seed: int, rate: float) -> None:
    load, again = (arrivals(SIZES, seed=seed, rate=rate, seconds=30, homes=8, hot=(6, 3)) for _ in range(2))

    assert load == again
    assert all(0 < one.at_s < 30 and 0 <= one.home < 8 for one in load)
    assert [one.number for one in load] == list(range(len(load)))


def test_users_gather_at_the_hot_node_of_the_moment() -> None:
    load = arrivals(SIZES, seed=1, rate=100, seconds=60, homes=8, hot=(6, 3))
    early = [one.home for one in load if one.at_s < 30]
    late = [one.home for one in load if one.at_s >= 30]

    assert 0.5 < early.count(6) / len(early) < 0.63
    assert 0.5 < late.count(3) / len(late) < 0.63
    assert 0.85 < len(load) / 6_000 < 1.15


@pytest.mark.parametrize(
    "missed",
    [
        replace(SERVED, first_s=FIRST_S + 0.1, total_s=10.0),
        replace(SERVED, total_s=0.5 + 10 * TOKEN_S * 1.01),
        replace(SERVED, error="503"),
        replace(SERVED, total_s=None),
        replace(SERVED, first_s=None),
    ],
)
def test_what_failed_or_was_late_is_a_miss_in_every_share(missed: Served) -> None:
    assert SERVED.met
    assert not missed.met
    found = score([SERVED, missed])
    assert (found.requests, found.attainment) == (2, 0.5)


def test_a_curve_counts_all_requests() -> None:
    assert curve([SERVED, replace(SERVED, error="503")], [1.0, 2.0]) == [0.0, 0.5]


async def test_nothing_passes_a_cut_and_all_of_it_passes_once_it_is_healed() -> None:
    port, door = free_ports(2)
    echo = await asyncio.start_server(_echo, "127.0.0.1", port)
    async with echo, Links(ports={1: port}, doors={1: door}, pids={os.getpid(): 0}) as links:
        reader, writer = await asyncio.open_connection("127.0.0.1", door)
        assert await _said(reader, writer, b"before") == b"before"
        links.cut([0], [1])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_said(reader, writer, b"during"), 0.3)
        links.heal()
        assert await asyncio.wait_for(reader.readexactly(6), 5) == b"during"
        links.cut([0], [2])
        assert await _said(reader, writer, b"others") == b"others"
        writer.close()
        await writer.wait_closed()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()
    await writer.wait_closed()


async def _said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    writer.write(data)
    return await reader.readexactly(len(data))
