"""What a payer keeps of its answers, for audits."""

from collections.abc import Callable
from typing import Any

import httpx2

from tallystick.chain.errors import ChainUnavailable
from tallystick.client.samples import Samples
from tallystick.client.transport import BASE_URL
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.lottery import DELAY_S, Block, draws_at, is_drawn
from tallystick.protocol.units import Milliseconds, Timestamp
from tests.client.conftest import World
from tests.client.fake_chain import DOMAIN


def bought(world: World, samples: Samples, asked: list[dict[str, Any]]) -> None:
    with httpx2.Client(transport=world.transport(on_outcome=samples.keep)) as client:
        for fields in asked:
            reply = client.post(f"{BASE_URL}/chat/completions", json=fields)
            assert reply.status_code == 200, reply.text


def test_an_answer_is_kept_as_its_receipt_binds_it(world: World, ask: Callable[..., dict[str, Any]]) -> None:
    provider = world.provider()
    samples = Samples()
    bought(world, samples, [ask(f"{n} two", stream=n % 2 == 0) for n in range(30)])
    receipt_key = world.chain.stake(provider.offer.provider).receipt_key
    drawn = samples.draw(lambda _: Block(number=1, hash=keccak(b"later")))

    assert drawn
    for sample in drawn:
        assert sample.require_bound(DOMAIN, receipt_key)
        assert sample.is_single


def test_the_first_block_after_it_draws_an_answer(world: World, ask: Callable[..., dict[str, Any]]) -> None:
    world.provider()
    samples, moments = Samples(), list[Timestamp]()
    bought(world, samples, [ask(f"number {n}") for n in range(30)])
    block: Block | None = None

    def block_at(moment: Timestamp) -> Block | None:
        moments.append(moment)
        return block

    assert samples.draw(block_at) == []
    assert len(samples) == 30
    assert len(moments) == 1, "where the first one's block is not there, the chain is asked about no other"
    block = Block(number=12, hash=keccak(b"twelve"))
    drawn = samples.draw(block_at)
    assert len(samples) == 0
    assert 0 < len(drawn) < 30
    for sample in drawn:
        receipt = sample.receipt.message
        assert is_drawn(block.hash, receipt.struct_hash(), receipt.sequence)
        assert draws_at(receipt.finished_at) in moments


def test_where_the_chain_is_away_nothing_is_lost(world: World, ask: Callable[..., dict[str, Any]]) -> None:
    world.provider()
    samples, asked = Samples(), []
    bought(world, samples, [ask(f"number {n}") for n in range(5)])

    def block_at(moment: Timestamp) -> Block:
        asked.append(moment)
        if len(asked) == 3:
            raise ChainUnavailable("It is gone.")
        return Block(number=1, hash=keccak(b"one"))

    try:
        samples.draw(block_at)
    except ChainUnavailable:
        assert len(samples) == 5
    else:
        raise AssertionError


def test_the_moment_of_a_draw_is_seconds_after_the_answer_s_end() -> None:
    assert draws_at(Milliseconds(5_000)) == 5 + DELAY_S
    assert draws_at(Milliseconds(5_001)) == 6 + DELAY_S


def test_old_answers_make_room_for_new_ones(world: World, ask: Callable[..., dict[str, Any]]) -> None:
    world.provider()
    heard = []
    samples = Samples(limit=1_000, then=heard.append)
    bought(world, samples, [ask(f"number {n}") for n in range(20)])

    assert 0 < len(samples) < 20
    assert len(heard) == 20
