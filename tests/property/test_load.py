"""What a gateway counts of its engine's load, and what it finds out of an engine that nobody describes."""

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.length import InputLength, Length
from tallystick.protocol.speed import Load, Speed, pace
from tallystick.protocol.status import Status
from tallystick.protocol.units import ZERO_HASH, Address, Tokens
from tallystick_node.engine.pace import Pacer
from tallystick_node.gateway.calibrating import ENOUGH, KEPT, SHARE, Ended, History, fitted
from tallystick_node.gateway.load import UNKNOWN, Unseen, Work, load_of
from tests.engine.test_pace import JumpingLoop

MS = 10**9
"""In picoseconds."""


def speed(**constants: int) -> Speed:
    names = ("fixed", "sequence", "weights", "token", "context", "capacity", "chunk")
    return Speed(**dict.fromkeys(names, 0) | constants)


works = st.builds(
    Work,
    sequences=st.integers(1, 4),
    input_tokens=st.integers(0, 5_000),
    output_tokens=st.integers(0, 5_000),
    begun=st.booleans(),
)


@given(st.lists(works, max_size=8), works)
def test_one_more_request_is_never_less_to_do(before: list[Work], more: Work) -> None:
    less, all_ = load_of(before), load_of([*before, more])
    assert all_.running + all_.waiting == less.running + less.waiting + more.sequences
    assert all_.context + all_.queued >= less.context + less.queued + more.input_tokens


@given(st.integers(1, 5_000), st.integers(1, 5_000), st.floats(0, 1_000), st.floats(0, 1_000))
def test_an_answer_in_one_piece_is_reckoned_to_come_on(
    prompt: int, most: int, one: float, more: float
) -> None:
    engine = speed(fixed=MS, token=MS // 100)

    def at(elapsed: float) -> Work:
        return Unseen(sequences=1, input_tokens=prompt, most=most, elapsed_s=elapsed).reckoned(engine)

    earlier, later = at(one), at(one + more)
    assert earlier.output_tokens <= later.output_tokens <= most
    assert later.begun or not earlier.begun
    assert at(10_000).output_tokens == most


def test_no_number_of_answers_that_is_asked_for_makes_a_status_that_cannot_be_signed() -> None:
    """Where output is free, credit bounds it no more; the engine refuses it, but not at once."""
    most = (1 << 64) - 1
    unseen = Unseen(sequences=most, input_tokens=1 << 22, most=most * most, elapsed_s=10).reckoned(CPU)
    for begun in (False, True):
        load = load_of([Work(sequences=most, input_tokens=1 << 22, output_tokens=most, begun=begun), unseen])
        status = Status(
            provider=Address(bytes(20)),
            offer_hash=ZERO_HASH,
            sequence=1,
            room=0,
            running=load.running,
            waiting=load.waiting,
            context=load.context,
            queued=load.queued,
            parameters=0,
            quantization="",
            speed=UNKNOWN,
        )
        assert status.load == load
        status.struct_hash()


def test_of_an_unknown_engine_nothing_is_reckoned() -> None:
    work = Unseen(sequences=2, input_tokens=5, most=5, elapsed_s=100).reckoned(UNKNOWN)
    assert not work.begun


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)), max_size=30), st.integers(0, 10**6))
def test_the_length_of_an_input_is_estimated_by_those_before(seen: list[tuple[int, int]], size: int) -> None:
    lengths = InputLength()
    for bytes_, tokens in seen:
        lengths.learn("m", bytes_, tokens, tokens % 5)
    assert 1 <= lengths.tokens("m", size) <= max(1, size)


def test_the_length_of_an_input_follows_the_model() -> None:
    lengths = InputLength()
    for _ in range(50):
        lengths.learn("m", 600, 100, "one")
    assert lengths.tokens("m", 6_000) == 1_000
    assert lengths.tokens("other", 4_000) == 1_000


@given(
    st.lists(st.integers(100, 2_000), min_size=1, max_size=15),
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=30),
)
def test_one_voice_moves_the_length_of_an_input_no_further_than_another_found(
    found: list[int], said: list[tuple[int, int]]
) -> None:
    """Tokens of a body of 1,000 bytes, by what each of the others found; one says anything at all."""
    lengths = InputLength()
    for voice, bytes_ in enumerate(found):
        lengths.learn("m", bytes_, 100, voice)
    for bytes_, tokens in said:
        lengths.learn("m", bytes_, tokens, "liar")
    usual = [250] if len(found) == 1 else []
    honest = sorted([max(1, int(1_000 / (bytes_ / 100))) for bytes_ in found] + usual)
    assert honest[0] <= lengths.tokens("m", 1_000) <= honest[-1]


def test_one_account_among_others_hardly_moves_the_length_of_an_input() -> None:
    lengths = InputLength()
    for voice, bytes_ in enumerate((390, 400, 410)):
        lengths.learn("m", bytes_, 100, voice)
    for _ in range(100):
        lengths.learn("m", 1_000_000, 1, "liar")
    assert 1_000 * 100 // 410 <= lengths.tokens("m", 1_000) <= 1_000 * 100 // 390


# --------------------------------------------------------------------------------------------- calibrating


def served(engine: Speed, count: int, gap_s: float, seed: int) -> list[Ended]:
    """What a gateway would have noted of so many answers of such an engine."""
    random, ended, running = Random(seed), [], [0]

    async def one(number: int, pacer: Pacer) -> None:
        loop = asyncio.get_running_loop()
        prompt, output = random.randint(20, 2_000), random.randint(20, 300)
        running[0] += 1
        begun, before, first = loop.time(), running[0], None
        async for _ in pacer.tokens(prompt, output):
            first = loop.time() if first is None else first
        assert first is not None
        ended.append(
            Ended(
                reader=Address(bytes([number % 8] * 20)),
                input_tokens=prompt,
                first_s=first - begun,
                token_s=(loop.time() - first) / (output - 1),
                company=(before + running[0]) / 2,
                company_before=before,
            )
        )
        running[0] -= 1

    async def all_() -> None:
        pacer, tasks = Pacer(engine), []
        for number in range(count):
            tasks.append(asyncio.create_task(one(number, pacer)))
            await asyncio.sleep(random.expovariate(1 / gap_s))
        await asyncio.gather(*tasks)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(all_())
    return ended


L40S = speed(fixed=MS, sequence=55 * MS // 1000, weights=25 * MS, token=MS // 10, context=200_000, chunk=2048)
CPU = speed(fixed=2 * MS, sequence=530 * MS // 1000, token=MS // 50)
"""Like vLLM with a tiny model on two cores: the more sequences, the slower."""


@pytest.mark.parametrize("engine", [L40S, CPU], ids=["L40S", "CPU"])
@pytest.mark.parametrize("gap_s", [20, 2, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_found_out_foretells_what_the_engine_does(engine: Speed, gap_s: float, seed: int) -> None:
    """Within a third for the time of a whole answer, under loads as they were seen."""
    history = History()
    for item in served(engine, 60, gap_s, seed):
        history.add(item)
    answers = list(history)
    found = fitted(answers)
    assert found is not None
    usual = round(sum(item.company for item in answers) / len(answers))
    load = Load(running=usual - 1, waiting=0, context=Tokens(1_000 * (usual - 1)), queued=Tokens(0))
    for prompt in (100, 1_000):
        told = pace(found, load, input_tokens=prompt, output_tokens=200).total_s(200)
        true = pace(engine, load, input_tokens=prompt, output_tokens=200).total_s(200)
        assert told == pytest.approx(true, rel=1 / 3)


@pytest.mark.parametrize("engine", [L40S, CPU], ids=["L40S", "CPU"])
def test_a_few_answers_are_enough(engine: Speed) -> None:
    answers = served(engine, ENOUGH, 60, 1)
    found = fitted(answers)
    assert found is not None
    idle = Load(running=0, waiting=0, context=Tokens(0), queued=Tokens(0))
    told = pace(found, idle, input_tokens=500, output_tokens=100).total_s(100)
    true = pace(engine, idle, input_tokens=500, output_tokens=100).total_s(100)
    assert told == pytest.approx(true, rel=0.25)
    assert fitted(answers[: ENOUGH - 1]) is None


def test_one_payer_that_reads_slowly_makes_no_engine_slow() -> None:
    history = History()
    for item in served(CPU, 64, 20, 2):
        history.add(item)
    before = fitted(list(history))
    for _ in range(500):
        slow = Ended(
            reader=Address(b"\xff" * 20),
            input_tokens=10,
            first_s=30,
            token_s=CPU.step_s(sequences=1, context=0) * 3,
            company=1,
            company_before=1,
        )
        history.add(slow)
    answers = list(history)
    assert len(answers) <= KEPT
    assert sum(item.reader == b"\xff" * 20 for item in answers) == SHARE
    after = fitted(answers)
    assert before is not None
    assert after is not None
    assert after.step_s(sequences=1, context=0) < 2 * before.step_s(sequences=1, context=0)


@given(st.lists(st.integers(0, 5), max_size=200))
def test_the_last_are_kept_and_of_each_account_its_share(accounts: list[int]) -> None:
    history, added = History(), []
    for number, account in enumerate(accounts):
        item = Ended(
            reader=Address(bytes([account] * 20)),
            input_tokens=number,
            first_s=1,
            token_s=1,
            company=1,
            company_before=1,
        )
        history.add(item)
        added.append(item)
        kept = list(history)
        assert kept == [other for other in added if other in kept], "in the order in which they came"
        assert kept[-1] == item
        assert len(kept) <= KEPT
        for which in set(accounts):
            own = [other for other in kept if other.reader[0] == which]
            every = [other for other in added if other.reader[0] == which]
            assert len(own) <= SHARE
            assert own == every[len(every) - len(own) :], "the newest of each"


ended = st.builds(
    Ended,
    reader=st.binary(min_size=20, max_size=20).map(Address),
    input_tokens=st.integers(1, 10**6),
    first_s=st.floats(0, 10**10),
    token_s=st.floats(0, 10**10),
    company=st.floats(1, 600),
    company_before=st.integers(1, 600),
)


@given(st.lists(ended, min_size=ENOUGH, max_size=KEPT))
def test_whatever_was_seen_is_a_speed(answers: list[Ended]) -> None:
    found = fitted(answers)
    assert found is not None
    assert all(0 <= value < 1 << 64 for value in found.values())
    found.struct_hash()


@given(st.integers(0, 1_000), st.integers(1, 4), st.none() | st.integers(1, 900), st.integers(0, 2_000))
def test_what_never_fits_is_longer_than_what_does_not_seem_to(
    guess: int, prompts: int, limit: int | None, context: int
) -> None:
    """And what may be longer than it seems is no shorter."""
    size = 4 * guess
    length = Length.of(size, guess, prompts=prompts, limit=limit, attached=False)
    assert (length.fits(0), length.never_fits(0), length.may_exceed(0)) == (True, False, False)
    if length.never_fits(context):
        assert not length.fits(context)
    if not length.fits(context):
        assert length.may_exceed(context)
    assert length.fits(context) == (not context or guess // prompts + (limit or 0) <= context)
    attached = Length.of(size, guess, prompts=prompts, limit=None, attached=True)
    assert attached.fits(max(1, context)), "nobody knows how long a picture is"
