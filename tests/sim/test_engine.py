"""The simulator's engine jumps; it is to do what `engine.schedule` does step by step."""

from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.protocol.speed import Speed
from tallystick.protocol.units import Tokens
from tallystick_node.engine.schedule import Job, Schedule
from tallystick_node.sim.engine import Engine, Sequence
from tallystick_node.sim.events import Events


@dataclass(frozen=True)
class Asked:
    at: float
    prompt: int
    output: int
    leaves: float
    """Seconds after it came, it is taken back; infinite: never."""


@dataclass
class Told:
    """By request."""

    first: dict[int, float] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    """Tokens that one had when it was taken back."""
    held: list[int] = field(default_factory=list)
    """Tokens in the context as each came and left."""


def happenings(asked: list[Asked]) -> list[tuple[float, int, str]]:
    """Taken back are those that leave while they are here, or not: both are to say so."""
    comes = [(item.at, i, "comes") for i, item in enumerate(asked)]
    leaves = [(item.at + item.leaves, i, "leaves") for i, item in enumerate(asked) if item.leaves < inf]
    return sorted(comes + leaves)


def by_steps(speed: Speed, slots: int, asked: list[Asked]) -> Told:
    told, schedule = Told(), Schedule(speed, slots=slots)
    jobs = [Job(item.prompt, item.output) for item in asked]
    todo = happenings(asked)
    now = 0.0
    while True:
        step = schedule.plan()
        if step is None and not todo:
            return told
        end = todo[0][0] if step is None else now + step.seconds
        while todo and todo[0][0] <= end:
            _, i, what = todo.pop(0)
            if what == "comes":
                schedule.add(jobs[i])
            elif i not in told.ended:
                told.left[i] = jobs[i].produced
                schedule.remove(jobs[i])
            told.held.append(schedule.held)
            if step is None:
                break
        now = end
        if step is not None:
            for job in schedule.done(step):
                i = jobs.index(job)
                told.first.setdefault(i, now)
                if job.produced == job.output:
                    told.ended[i] = now


def by_jumps(speed: Speed, slots: int, asked: list[Asked]) -> Told:
    told, events = Told(), Events()
    sequences = [Sequence(item.prompt, item.output, i) for i, item in enumerate(asked)]

    def began(sequence: Sequence) -> None:
        told.first[sequence.owner] = events.now

    def ended(sequence: Sequence) -> None:
        told.ended[sequence.owner] = events.now

    engine = Engine(speed, slots, events, began=began, ended=ended)

    def happens(i: int, what: str) -> None:
        if what == "comes":
            engine.add(sequences[i])
        elif i not in told.ended:
            told.left[i] = engine.produced(sequences[i])
            engine.remove(sequences[i])
        told.held.append(engine.held)

    for at, i, what in happenings(asked):
        events.at(at, happens, i, what)
    events.run(1e9)
    assert (engine.held, engine.running, engine.waiting, engine.company) == (0, 0, 0, 0)
    load = engine.load()
    assert (load.running, load.waiting, load.context, load.queued) == (0, 0, 0, 0)
    return told


SECOND = 10**12


def times(most: int) -> st.SearchStrategy[float]:
    """Seconds of which no sum is a sum of steps: nothing comes just as a step ends."""
    return st.integers(0, most * 100).map(lambda n: n / 100)


speeds = st.builds(
    Speed,
    fixed=st.integers(1, 3).map(lambda n: n * SECOND + 7_654_321_987),
    sequence=st.sampled_from([0, SECOND // 10]),
    weights=st.sampled_from([0, SECOND]),
    token=st.sampled_from([0, SECOND // 100]),
    context=st.sampled_from([0, SECOND // 1_000]),
    capacity=st.sampled_from([0, 40, 100]).map(Tokens),
    chunk=st.sampled_from([0, 1, 16, 64]).map(Tokens),
)
asks = st.lists(
    st.builds(
        Asked,
        at=times(120),
        prompt=st.integers(1, 60),
        output=st.integers(1, 40),
        leaves=st.one_of(st.just(inf), times(80)),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(speeds, st.sampled_from([0, 1, 3]), asks)
def test_it_does_what_the_schedule_does_step_by_step(speed: Speed, slots: int, asked: list[Asked]) -> None:
    one, other = by_steps(speed, slots, asked), by_jumps(speed, slots or 10**9, asked)
    assert one.left == other.left
    assert one.held == other.held
    assert other.first == pytest.approx(one.first, rel=1e-9)
    assert other.ended == pytest.approx(one.ended, rel=1e-9)


def test_an_answer_costs_as_little_however_long_it_is() -> None:
    """Of one alone: its prompt, and all of its tokens."""
    speed = Speed(
        fixed=SECOND, sequence=0, weights=0, token=0, context=10**9, capacity=Tokens(0), chunk=Tokens(0)
    )
    events = Events()
    engine = Engine(speed, 8, events, began=lambda _: None, ended=lambda _: None)
    engine.add(Sequence(100, 10_000))
    events.run(1e9)
    assert events.happened == 2
    assert engine.tokens == 10_000
