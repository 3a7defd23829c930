"""What `scripts/demo network` measures with: the load, users, the score, its page, and links that can be
cut."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tallystick_node.local.audit import Check
from tallystick_node.local.bench.page import put_between
from tallystick_node.local.network import comparing
from tallystick_node.local.network import links as links_module
from tallystick_node.local.network.arm import Result
from tallystick_node.local.network.comparing import Setting, Target, Told
from tallystick_node.local.network.figures import as_markdown
from tallystick_node.local.network.links import Links
from tallystick_node.local.network.score import FIRST_S, TOKEN_S, Served, curve, score
from tallystick_node.local.network.traffic import Arrival, Size, arrivals, read_sizes
from tallystick_node.local.network.users import Home, Users
from tallystick_node.local.process import free_ports
from tallystick_node.local.progress import tell
from tallystick_node.local.showing import MARKER

SIZES = read_sizes(longest=4_000)
ARRIVAL = Arrival(number=0, at_s=0.0, home=0, size=Size(input=100, output=11))
SERVED = Served(arrival=ARRIVAL, home=0, first_s=0.5, total_s=1.5, tokens=11)


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
        assert await asyncio.wait_for(reader.readexactly(6), 60) == b"during"
        links.cut([0], [2])
        assert await _said(reader, writer, b"others") == b"others"
        writer.close()
        await writer.wait_closed()


async def test_a_caller_whom_the_kernel_s_list_missed_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The list of sockets can lack one while others come and go: a stranger would pass every cut."""
    true, missed = links_module._owner, [None, None]
    monkeypatch.setattr(links_module, "_owner", lambda *given: missed.pop() if missed else true(*given))
    port, door = free_ports(2)
    echo = await asyncio.start_server(_echo, "127.0.0.1", port)
    async with echo, Links(ports={1: port}, doors={1: door}, pids={os.getpid(): 0}) as links:
        links.cut([0], [1])
        reader, writer = await asyncio.open_connection("127.0.0.1", door)
        async with asyncio.timeout(60):
            while missed:  # noqa: ASYNC110 (a thread takes them)
                await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_said(reader, writer, b"during"), 0.3)
        links.heal()
        assert await asyncio.wait_for(reader.readexactly(6), 60) == b"during"
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


# ------------------------------------------------------------------------------------------------- users


async def test_users_of_a_node_that_goes_ask_another_and_others_have_one_try() -> None:
    """Node 0 breaks off in mid-answer, node 1 answers, node 2 refuses."""

    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n')
        assert request.transport is not None
        request.transport.close()
        return response

    async def answers(_: web.Request) -> web.Response:
        return web.Response(text='data: {"choices": [{"delta": {"content": "b"}}]}\n\ndata: [DONE]\n\n')

    async def refuses(_: web.Request) -> web.Response:
        return web.Response(status=503)

    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(_serving(handler)) for handler in (breaks, answers, refuses)]
        users = Users(homes=[Home(url=url, key="k") for url in urls], model="m", refuge={0: 1})
        load = [replace(ARRIVAL, number=home, home=home) for home in range(3)]
        moved, stayed, lost = await users.run(load)
    assert (moved.whole, moved.home, moved.tried, moved.tokens) == (True, 1, "broke off", 1)
    assert (stayed.whole, stayed.home, stayed.tried) == (True, 1, "")
    assert (lost.whole, lost.home, lost.error) == (False, 2, "503 ")


@asynccontextmanager
async def _serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


# ----------------------------------------------------------------------------------------------- figures


def told(*, holds: bool) -> Told:
    result = Result(
        name="ours",
        served=[SERVED, replace(SERVED, error="503")],
        checks=[Check(question="Σ receipts = Σ settled", holds=holds, found="3 = 3 atoms")],
        names={},
    )
    target = Target(name="requests lost", wanted="0", found="1 of 2", met=False)
    return Told(key="b", title="a node leaves", results=[result], targets=[target])


def test_a_run_is_written_into_its_page_and_says_what_it_missed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures: generated -->\nold\n<!-- end of figures -->\nafter\n")
    report = {"seconds": 60.0, "rate": 8.0, "seed": 7, "vllm": 1, "cores": 2}
    for holds in (True, False):
        scenarios = {"b": json.loads(json.dumps(told(holds=holds).to_json()))}
        put_between(page, MARKER, as_markdown(report | {"scenarios": scenarios}))
        text = page.read_text()
        assert text.startswith("before\n<!-- figures: generated -->\n")
        assert text.endswith("<!-- end of figures -->\nafter\n")
        assert "old" not in text
        assert "--seconds 60 --rate 8 --seed 7 --vllm 1` printed, everything on 2 shared cores" in text
        assert "| ours | 2 | 1 | 50.0 % | 1.5 s |" in text
        assert "- **Missed**: requests lost: 1 of 2 (wanted: 0)" in text
        assert ("**Does not add up**, ours: Σ receipts" in text) != holds
    with pytest.raises(ValueError, match="no place for other"):
        put_between(page, "other", "x")


# ------------------------------------------------------------------------------------- what it says of itself


async def test_what_begins_and_ends_is_told_and_each_tenth_of_a_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    async def serves(
        name: str,
        fleet: object,
        load: list[Arrival],
        *,
        on_served: Callable[[Served], None],
        on_ended: Callable[[], None],
        **_: object,
    ) -> str:
        for _one in load:
            on_served(SERVED)
        on_ended()
        return "served"

    @asynccontextmanager
    async def running(_: object) -> AsyncIterator[None]:
        lines.append("running")
        yield
        lines.append("stopped")

    monkeypatch.setattr(comparing.arms, "run", serves)
    monkeypatch.setattr(comparing, "running", running)
    setting = Setting(folder=tmp_path, seconds=60, rate=1, seed=1, tell=lines.append)
    assert await setting.run("ours", setting.fleet(), [ARRIVAL] * 40) == "served"
    assert lines[:3] == ["ours: 8 nodes start", "running", "ours: 40 requests come within 60 s"]
    assert lines[3:13] == [f"ours: {4 * tenth} of 40 requests have ended" for tenth in range(1, 11)]
    assert lines[13:] == ["ours: the nodes drain and settle", "stopped", "ours: done"]


def test_a_line_is_told_at_once_and_says_when(capsys: pytest.CaptureFixture[str]) -> None:
    tell("(a) ours: done")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r" *\d+\.\d s  \(a\) ours: done\n", err)
