"""A price that changes is a new offer: who pinned the old one pays the old price until that expires."""

import asyncio

from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.units import AtomsPerMTok
from tests.gateway.conftest import MTOK, World, until
from tests.gateway.payer import Payer

DEARER = AtomsPerMTok(70 * MTOK)


async def change_price(world: World) -> None:
    world.post_offer(output_price=DEARER)
    await world.watch.poll()
    (held,) = (offer for _, offer in world.books.holding())
    assert held.output_price == DEARER


def last(payer: Payer) -> Receipt:
    return payer.receipts[max(payer.receipts)]


async def test_between_requests_the_old_price_holds_for_who_pinned_it(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    before = last(payer)
    old = world.offer
    await change_price(world)
    await payer.complete()
    assert (last(payer).cost, last(payer).offer_hash) == (before.cost, old.struct_hash())

    payer.offer, payer.offer_hash = world.offer, world.offer.struct_hash()
    await payer.complete()
    dearer = cost_up(world.offer, input_tokens=10, cached_input_tokens=0, output_tokens=8)
    assert last(payer).cost == dearer > before.cost


async def test_a_stream_under_way_ends_at_the_price_that_it_began_at(world: World) -> None:
    payer = await world.payer()
    gate = world.engine.gate = asyncio.Semaphore(4)
    body = payer.body(stream=True)
    async with payer.stream(body) as stream:
        for _ in range(4):
            assert await stream.next_event() is not None
        await change_price(world)
        for _ in range(8):
            gate.release()
        await stream.finish()
    assert stream.done
    assert stream.billed == 8
    old = payer.offer
    assert sum(receipt.cost for receipt in stream.receipts) == cost_up(
        old, input_tokens=10, cached_input_tokens=0, output_tokens=8
    )
    assert {receipt.offer_hash for receipt in stream.receipts} == {old.struct_hash()}
    await until(lambda: not world.gateway.running)


async def test_once_it_has_expired_the_old_price_is_no_longer_to_be_had(world: World) -> None:
    payer = await world.payer()
    old = world.offer
    world.post_offer(output_price=DEARER, valid_until=old.valid_until + 86_400)
    await world.watch.poll()
    world.clock.advance(old.valid_until - world.clock.now // 1000)
    await world.watch.poll()
    refused = await payer.post(payer.body())
    assert (refused.status_code, refused.json()["error"]["code"]) == (410, "offer-expired")
    payer.offer, payer.offer_hash = world.offer, world.offer.struct_hash()
    await payer.complete()
    assert last(payer).cost == cost_up(world.offer, input_tokens=10, cached_input_tokens=0, output_tokens=8)
