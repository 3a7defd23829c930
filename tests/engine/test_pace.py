"""The echo engine's speed: what is measured is what the formula of `protocol/speed` foretells.

Where time itself is measured, the loop's clock jumps from timer to timer: the code is that of real time, and
no busy machine makes the figures wrong. Over HTTP the wall clock is used, which only ever runs late.
"""

import asyncio
import json
import selectors
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.speed import Load, Speed, pace
from tallystick_node.engine.echo import Manner, read_manner
from tallystick_node.engine.pace import Pacer, read_speed
from tallystick_node.engine.schedule import Job, Schedule
from tests.engine.conftest import Served

MS = 10**9
"""In picoseconds."""
L40S = Speed(
    fixed=MS,
    sequence=55 * MS // 1000,
    weights=25 * MS,
    token=MS // 10,
    context=200_000,
    capacity=100_000,
    chunk=2048,
)
"""About an 8B model on such a card."""


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting, tells the time that was waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing would ever happen"
        self.now += timeout
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


async def times(pacer: Pacer, prompt: int, output: int, after: float = 0) -> list[float]:
    """Seconds from asking to each token."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(after)
    begun = loop.time()
    return [loop.time() - begun async for _ in pacer.tokens(prompt, output)]


def measured(speed: Speed, requests: list[tuple[int, int, float]]) -> list[list[float]]:
    async def asked() -> list[list[float]]:
        pacer = Pacer(speed)
        return list(await asyncio.gather(*(times(pacer, *request) for request in requests)))

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(asked())


def token_s(found: list[float]) -> float:
    return (found[-1] - found[0]) / (len(found) - 1)


@pytest.mark.parametrize(("prompt", "output"), [(1, 2), (500, 200), (1155, 211), (30_000, 50)])
def test_one_request_has_the_pace_foretold(prompt: int, output: int) -> None:
    [found] = measured(L40S, [(prompt, output, 0)])
    idle = Load(running=0, waiting=0, context=0, queued=0)
    foretold = pace(L40S, idle, input_tokens=prompt, output_tokens=output)
    assert found[0] == pytest.approx(foretold.first_s, rel=0.03)
    assert token_s(found) == pytest.approx(foretold.token_s, rel=0.01)


@pytest.mark.parametrize("running", [1, 8, 40])
def test_one_more_request_has_its_steps_pace_under_load(running: int) -> None:
    """It comes in the middle of a step, whose rest it waits for: hence one step of tolerance. What is
    foretold reckons with others that follow, and here nobody does."""
    others = [(1000, 400, 0.0)] * running
    *before, found = measured(L40S, [*others, (1155, 100, 10.0)])
    assert all(first[0] < 10 < first[-1] for first in before), "they run when it comes"
    said = sum(1 for at in before[0] if at < 10)
    load = Load(running=running, waiting=0, context=running * (1000 + said), queued=0)
    foretold = pace(L40S, load, input_tokens=1155, output_tokens=100)
    step = L40S.step_s(sequences=running, context=load.context)
    taken_in = L40S.step_s(sequences=running, context=load.context, prompt=1155)
    assert taken_in * 0.97 <= found[0] <= taken_in * 1.03 + step
    steady = L40S.step_s(sequences=running + 1, context=load.context + 1155 + 50)
    assert token_s(found) == pytest.approx(steady, rel=0.03)
    assert token_s(found) < foretold.token_s * 1.01
    assert found[0] < foretold.first_s + step


def test_those_that_came_together_are_taken_in_one_after_the_other() -> None:
    found = measured(L40S, [(2048, 50, 0)] * 4)
    firsts = [item[0] for item in found]
    steps = [L40S.step_s(sequences=n, context=n * 2048, prompt=2048 - n) for n in range(4)]
    assert firsts == sorted(firsts)
    assert firsts[-1] == pytest.approx(sum(steps), rel=0.05)


def test_who_does_not_fit_waits_until_another_has_ended() -> None:
    small = replace(L40S, capacity=3000)
    first, second = measured(small, [(2000, 100, 0), (2000, 100, 0)])
    assert second[0] > first[-1]


def test_one_that_is_too_large_for_the_engine_is_served_alone() -> None:
    [found] = measured(replace(L40S, capacity=100), [(500, 10, 0)])
    assert len(found) == 10


def test_the_newest_gives_way_where_all_have_grown_too_long() -> None:
    small = replace(L40S, capacity=2100)
    old, new = measured(small, [(1000, 200, 0), (1000, 200, 0)])
    assert len(old) == len(new) == 200, "nobody loses a token"
    gaps = [later - earlier for earlier, later in pairwise(new)]
    steady = token_s(old)
    assert max(gaps) > 10 * steady, "it waited for the older one, and was taken in once more"
    assert max(later - earlier for earlier, later in pairwise(old)) < 3 * steady


async def test_whoever_leaves_makes_room() -> None:
    pacer = Pacer(replace(L40S, capacity=1000, fixed=0, weights=0))
    first, second = pacer.tokens(900, 10**6), pacer.tokens(900, 1)
    await anext(first)
    waiting = asyncio.ensure_future(anext(second))
    await anext(first)
    assert (pacer.running, pacer.waiting) == (1, 1)
    await first.aclose()
    await waiting
    assert (pacer.running, pacer.waiting, pacer.cache_used) == (0, 0, 0)


jobs = st.lists(
    st.tuples(st.integers(1, 300), st.integers(1, 30), st.integers(0, 20)), min_size=1, max_size=12
)


@given(
    jobs, st.integers(0, 500), st.integers(0, 64), st.dictionaries(st.integers(0, 200), st.integers(0, 11))
)
def test_everyone_gets_all_tokens_whatever_the_room(
    asked: list[tuple[int, int, int]], capacity: int, chunk: int, leaving: dict[int, int]
) -> None:
    """And never is more held than fits, but by one that is alone."""
    schedule = Schedule(replace(L40S, capacity=capacity, chunk=chunk))
    coming = sorted(
        ((after, Job(prompt, output)) for prompt, output, after in asked), key=lambda item: item[0]
    )
    everyone, left = [job for _, job in coming], set()
    for number in range(100_000):
        while coming and coming[0][0] <= number:
            schedule.add(coming.pop(0)[1])
        step = schedule.plan()
        if step is None:
            if not coming:
                break
            continue
        assert not chunk or sum(piece for job, piece in step.parts if not job.decoding) <= chunk
        if number in leaving:
            gone = everyone[leaving[number] % len(everyone)]
            schedule.remove(gone)
            left.add(gone)
        schedule.done(step)
        assert not capacity or schedule.running <= 1 or schedule.held <= capacity
    assert (schedule.running, schedule.waiting, schedule.held) == (0, 0, 0)
    assert all(job.produced == job.output for job in everyone if job not in left)


async def test_over_http_no_token_comes_before_it_is_due(
    echoing: Callable[[Manner], AbstractAsyncContextManager[Served]],
) -> None:
    speed = replace(L40S, fixed=5 * MS, weights=5 * MS)
    idle = Load(running=0, waiting=0, context=0, queued=0)
    foretold = pace(speed, idle, input_tokens=200, output_tokens=20)
    async with echoing(Manner(speed=speed)) as echo:
        body = {"messages": [{"role": "user", "content": "word " * 200}], "max_tokens": 20, "stream": True}
        begun, found = time.monotonic(), []
        async with echo.session.post(f"{echo.url}/v1/chat/completions", json=body) as response:
            async for line in response.content:
                if b'"content":"word' in line or b'"content":" word' in line:
                    found.append(time.monotonic() - begun)
    assert len(found) == 20
    assert found[0] >= 0.97 * foretold.first_s
    assert found[-1] >= 0.97 * foretold.total_s(20)


def test_the_speed_is_read_from_json_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "speed.json"
    numbers = {name: int(value) for name, value in L40S.to_json().items()}
    file.write_text(json.dumps(numbers))
    assert read_speed(json.dumps(L40S.to_json())) == read_speed(str(file)) == L40S
    assert read_manner(["--port", "80", "--speed", str(file)])[0] == Manner(speed=L40S)


@pytest.mark.parametrize("text", ["{}", "{", '{"fixed": 1.5}', "/no/such/file", '{"fixed": true}'])
def test_what_is_no_speed_is_said_to_be_none(text: str) -> None:
    with pytest.raises(MalformedMessage):
        read_speed(text)
    with pytest.raises(SystemExit):
        read_manner(["--port", "80", "--speed", text])
