"""What a payer keeps of its answers, for audits."""

from collections.abc import Callable
from typing import Any

import httpx2

from tallystick.client.samples import Samples
from tallystick.client.transport import BASE_URL
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.lottery import is_drawn
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
    samples.draw(10, keccak(b"early"), delay=2)
    receipt_key = world.chain.stake(provider.offer.provider).receipt_key
    drawn = samples.draw(12, keccak(b"later"), delay=2)

    assert drawn
    for sample in drawn:
        assert sample.require_bound(DOMAIN, receipt_key)
        assert sample.is_single


def test_a_block_draws_what_came_before_it(world: World, ask: Callable[..., dict[str, Any]]) -> None:
    world.provider()
    samples = Samples()
    bought(world, samples, [ask(f"number {n}") for n in range(30)])

    assert samples.draw(10, keccak(b"ten"), delay=2) == []
    assert samples.draw(11, keccak(b"eleven"), delay=2) == []
    assert len(samples) == 30
    block = keccak(b"twelve")
    drawn = samples.draw(12, block, delay=2)
    assert len(samples) == 0
    assert 0 < len(drawn) < 30
    for sample in drawn:
        assert is_drawn(block, sample.receipt.message.struct_hash(), sample.receipt.message.sequence)


def test_old_answers_make_room_for_new_ones(world: World, ask: Callable[..., dict[str, Any]]) -> None:
    world.provider()
    heard = []
    samples = Samples(limit=1_000, then=heard.append)
    bought(world, samples, [ask(f"number {n}") for n in range(20)])

    assert 0 < len(samples) < 20
    assert len(heard) == 20
