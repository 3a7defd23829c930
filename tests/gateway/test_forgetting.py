"""What a forgetful provider must find out before it serves, and what its forgetting is worth to a cheat."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tallystick.chain.events import ChainEvent
from tallystick.chain.follower import Update
from tallystick.ports import Head
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.errors import ChannelLost
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import Address, Atoms, Timestamp
from tallystick.protocol.voucher import Tally
from tallystick_node.gateway.past import Past
from tests.gateway.conftest import DOMAIN, Make, World, until
from tests.gateway.fake_chain import FakeChain
from tests.gateway.payer import Payer
from tests.gateway.test_restoring import CAP, bought, code, end_epoch, half, lose, restore
from tests.gateway.test_rewinds import DOLLARS

PAYER, PROVIDER, SESSION = (Address(bytes([number]) * 20) for number in (1, 2, 3))
KEY = ChannelKey(payer=PAYER, provider=PROVIDER, session_key=SESSION)


class Node:
    """In front of the fake chain: it tells of the first `newest` blocks, and acts on all of them but the
    last `confirmations`."""

    def __init__(self, chain: FakeChain, monkeypatch: pytest.MonkeyPatch):
        self.chain = chain
        self.newest: int | None = None
        self.made_at = Timestamp(0)
        """Of the newest block; zero: now."""
        self.confirmations = 0
        self._told = chain.length
        self._times: list[int] = []
        """At which each block was first seen."""
        monkeypatch.setattr(chain, "head", self.head)
        monkeypatch.setattr(chain, "poll", self.poll)
        monkeypatch.setattr(chain, "read_again", self.read_again)

    def _length(self) -> int:
        return self.chain.length if self.newest is None else self.newest

    def head(self) -> Head:
        self._times += [self.chain.now] * (self._length() - len(self._times))
        return Head(number=self._length() - 1, timestamp=self.made_at or Timestamp(self.chain.now))

    def poll(self) -> Update:
        end = max(self._length() - self.confirmations, self._told)
        events: tuple[ChainEvent, ...] = self.chain.everything[self._told : end]
        self._told = end
        head = self.head()
        if self.confirmations:
            head = Head(number=end - 1, timestamp=Timestamp(self._times[end - 1]))
        return Update(head=head, events=events, rewound_to=None, final=-1)

    def read_again(self) -> None:
        self._told = 0


async def refused_by(world: World, payer: Payer, **changes: Any) -> str:
    payer.http = world.http
    return code(await payer.post(payer.body(), tally=Tally(), **changes))


# ------------------------------------------------------------------------------------------ what it must know


async def test_a_node_that_lags_at_the_start_does_not_make_old_payers_young(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bought(world, 1)
    old_blocks = world.chain.length
    payer = await bought(world, 2)
    node = Node(world.chain, monkeypatch)
    node.newest, node.made_at = old_blocks, Timestamp(world.chain.now)
    await world.restart(lose(world))
    assert world.books.past.birth is None
    node.newest, node.made_at = None, Timestamp(0)
    await world.watch.poll()
    assert await refused_by(world, payer) == "channel-lost"
    assert world.engine.started == 3


async def test_nothing_is_sold_on_an_unknown_channel_until_a_block_is_younger_than_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = await bought(world, 1)
    node = Node(world.chain, monkeypatch)
    node.made_at = Timestamp(world.chain.now)
    await world.restart(lose(world))
    answer = await restore_of(world, payer, [])
    assert (answer.status_code, code(answer)) == (503, "chain-stale")
    assert await refused_by(world, payer) == "chain-stale"
    node.made_at = Timestamp(world.chain.now)  # Later by what clocks may differ.
    await world.watch.poll()
    assert await refused_by(world, payer) == "channel-lost"


async def test_a_clock_that_was_off_at_the_start_makes_nobody_young(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is new, its clock four hours behind, and its chain's node three."""
    hour = 3600
    await bought(world, 1)
    old_blocks = world.chain.length
    payer = await bought(world, 2)
    node = Node(world.chain, monkeypatch)
    now = world.chain.now
    node.newest, node.made_at = old_blocks, Timestamp(now - 3 * hour)
    world.clock.advance(-4 * hour)
    await world.restart(lose(world))
    world.clock.advance(now + 1 - world.chain.now)
    await world.watch.poll()
    assert world.books.past.birth is None
    node.newest, node.made_at = None, Timestamp(0)
    await world.watch.poll()
    assert await refused_by(world, payer) == "channel-lost"


async def restore_of(world: World, payer: Payer, receipts: list[Any], **changes: Any) -> Any:
    payer.http = world.http
    return await restore(payer, receipts, Tally(), **changes)


async def test_a_deposit_without_its_confirmations_is_not_younger_than_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bought(world, 1)
    node = Node(world.chain, monkeypatch)
    node.confirmations = 3
    for _ in range(4):
        world.chain.deposit(Key.generate().address, 1)
    await world.watch.poll()
    payer = world.stranger()
    world.chain.deposit(payer.wallet.address, 10 * CAP)
    grant = payer.grant(CAP, deadline=world.chain.now + 3600)
    await payer.complete(grant=grant)
    await world.restart(lose(world))
    assert await refused_by(world, payer, grant=grant) == "chain-stale"
    for _ in range(4):
        world.chain.deposit(Key.generate().address, 1)
    await world.watch.poll()
    assert await refused_by(world, payer, grant=grant) == "channel-lost"
    young = world.stranger()
    young.http = world.http
    world.chain.deposit(young.wallet.address, 10 * CAP)
    await young.complete(grant=young.grant(CAP, deadline=world.chain.now + 3600))


async def test_a_loss_stays_one_until_the_past_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log of starts said it once; a second start, before any channel is on chain, still knows."""
    payer = world.stranger()
    world.chain.deposit(payer.wallet.address, 10 * CAP)
    grant = payer.grant(CAP, deadline=world.chain.now + 3600)
    await payer.complete(grant=grant)
    node = Node(world.chain, monkeypatch)
    node.made_at = Timestamp(1)
    await world.restart((world.folder / "node.db").unlink)
    await world.restart()
    node.made_at = Timestamp(0)
    world.clock.advance(world.limits.clocks_apart_s)
    await world.watch.poll()
    assert await refused_by(world, payer, grant=grant) == "channel-lost"


@pytest.mark.parametrize(("before", "served"), [(False, True), (True, False)])
async def test_dust_that_a_stranger_opens_to_a_new_provider_makes_nobody_s_channel_lost(
    world: World, monkeypatch: pytest.MonkeyPatch, before: bool, served: bool
) -> None:
    """Nothing is served without an offer. With one that is older than the database, nobody can tell the dust
    from a channel that was served."""
    old, stranger = world.stranger(), world.stranger()

    def make_new() -> None:
        lose(world)()
        world.chain.rewind(0)
        world.chain.sequence = 0
        world.chain.deposit(old.wallet.address, 10 * CAP)
        world.chain.open(stranger.channel, 1)
        if before:
            world.post_offer()

    def post_itself() -> None:
        signed = world.books.sign_offer(world.offer, latest=0, minimum=0)
        world.offer = signed.message
        world.chain.post_offer(signed)

    with monkeypatch.context() as patch:
        if not before:
            patch.setattr(world, "post_offer", post_itself)
        await world.restart(make_new)
    payer = Payer(world.http, DOMAIN, world.offer, world.key.address)
    payer.wallet, payer.channel = old.wallet, replace(payer.channel, payer=old.wallet.address)
    grant = payer.grant(CAP, deadline=world.chain.now + 3600)
    assert (await payer.post(payer.body(), grant=grant)).is_success is served
    await world.restart(lose(world))
    assert await refused_by(world, payer, grant=grant) == "channel-lost"


async def test_a_witness_that_names_an_absurd_height_keeps_nobody_from_selling(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await bought(world, 1)
    Node(world.chain, monkeypatch)
    absurd = Head(number=10**12, timestamp=Timestamp(world.chain.now + 60))
    monkeypatch.setattr(world.chain, "head", lambda: absurd)
    await world.restart(lose(world))
    assert await refused_by(world, old) == "channel-lost"
    assert (await bought(world, 1)).tally.count == 1


async def test_old_deposits_that_the_chain_moves_to_later_blocks_stay_old(world: World) -> None:
    """The database was dated by a block that the chain then took back."""
    before = world.chain.length
    payer = await bought(world, 1)
    await world.restart(lose(world))
    dated = world.books.past.birth
    assert dated is not None
    world.chain.rewind(before)
    for _ in range(dated + 2 - before):
        world.chain.deposit(Key.generate().address, 1)
    world.chain.deposit(payer.wallet.address, 10 * CAP)
    world.chain.open(payer.channel, CAP)
    await world.watch.poll()
    assert world.books.past.birth == world.chain.length - 1
    await world.restart()
    assert await refused_by(world, payer) == "channel-lost"


async def test_a_first_channel_that_the_chain_moves_to_earlier_blocks_is_seen(world: World) -> None:
    """There was nothing to forget, as the chain stood when the database was new."""
    for _ in range(2):
        world.chain.deposit(Key.generate().address, 1)
    await world.restart(lose(world))
    assert world.books.past.birth == 0
    payer = world.stranger()
    world.chain.rewind(1)
    world.chain.deposit(payer.wallet.address, 10 * CAP)
    world.chain.open(payer.channel, CAP)
    await world.watch.poll()
    assert await refused_by(world, payer) == "channel-lost"


async def test_a_chain_that_takes_back_the_first_blocks_of_a_new_provider_changes_nothing(
    world: World,
) -> None:
    for _ in range(2):
        world.chain.deposit(Key.generate().address, 1)
    await world.restart(lose(world))
    world.chain.rewind(1)
    for _ in range(3):
        world.chain.deposit(Key.generate().address, 1)
    await world.watch.poll()
    assert world.books.past.birth == 0
    await bought(world, 1)


def test_an_epoch_whose_beginning_was_not_seen_yet_began_after_all_that_was() -> None:
    past = Past(birth=10, reached=10)
    following = replace(KEY, epoch=1)
    assert past.may_hold(KEY) is False
    past.see_deposit(PAYER, 10)
    assert (past.may_hold(KEY), past.may_hold(following)) == (True, False)
    past.see_closed(KEY, 11)
    assert past.may_hold(following) is False
    past.see_closed(KEY, 10)
    assert past.may_hold(following) is True
    past.reached = 9
    assert past.may_hold(following) is None


# -------------------------------------------------------------------------------------------- getting over it


async def test_the_next_epoch_is_served_before_the_close_of_the_last_was_seen(world: World) -> None:
    payer = await bought(world, 1)
    await world.restart(lose(world))
    payer.http = world.http
    assert (await restore(payer, half(world, payer))).status_code == 200
    await world.cashier.settle()
    await world.watch.poll()
    await world.cashier.close_lost()  # Mined, and not polled.
    payer.channel = replace(payer.channel, epoch=1)
    payer.tally, payer.receipts = Tally(), {}
    await payer.complete(grant=payer.grant(CAP, deadline=world.chain.now + 3600, epoch=1))
    await world.watch.poll()
    await payer.complete()
    await world.restart()
    payer.http = world.http
    await payer.complete()


async def test_the_half_of_a_closing_channel_is_taken_whatever_grant_comes_along(world: World) -> None:
    """The payer does not know yet that its grant can raise nothing; what is owed is settled."""
    payer = await bought(world, 1)
    await world.restart(lose(world))
    world.chain.request_close(payer.channel)
    await world.watch.poll()
    payer.http = world.http
    grant = payer.grant(2 * CAP, deadline=world.chain.now + 3600)
    assert (await restore(payer, half(world, payer), grant=grant)).status_code == 200
    await world.cashier.settle()
    assert world.chain.settlements == [[(payer.channel.id, 90)]]


async def test_an_end_that_the_chain_took_back_is_sent_again_before_the_next_epoch_opens(
    world: World,
) -> None:
    """At once: its payer waits. The grant of the next epoch would be skipped until then, and dropped."""
    payer = await bought(world, 1)
    await world.restart(lose(world))
    payer.http = world.http
    assert (await restore(payer, half(world, payer))).status_code == 200
    await end_epoch(world)
    ended = payer.channel
    payer.channel = replace(payer.channel, epoch=1)
    payer.tally, payer.receipts = Tally(), {}
    await payer.complete(grant=payer.grant(CAP, deadline=world.chain.now + 3600, epoch=1))

    world.chain.rewind(world.chain.length - 1)
    world.chain.empty_blocks = 1
    await world.watch.poll()
    await world.cashier.submit_grants()

    assert not world.books.tabs[ended.id].closed
    assert world.chain.submitted == []
    await end_epoch(world)
    assert world.books.tabs[ended.id].closed
    await world.cashier.submit_grants()
    await world.watch.poll()
    assert world.books.tabs[payer.channel.id].channel.cap == CAP


def another_key(world: World, payer: Payer) -> Payer:
    """Of the same account, as a second process makes it."""
    other = world.stranger()
    other.wallet = payer.wallet
    other.channel = replace(other.channel, payer=payer.wallet.address)
    return other


async def begun_anew(world: World, payer: Payer) -> int:
    """The status of an empty half, which opens the channel's next epoch."""
    grant = payer.grant(CAP, deadline=world.chain.now + 3600)
    answer = await restore_of(world, payer, [], grant=grant)
    await world.cashier.submit_grants()
    await world.watch.poll()
    await world.cashier.close_lost()
    await world.watch.poll()
    payer.channel = replace(payer.channel, epoch=1)
    return int(answer.status_code)


async def test_a_new_session_key_costs_the_provider_gas_once_an_account(make_world: Make) -> None:
    world = await make_world(minimum_cap=Atoms(1_000))
    old = await bought(world, 1)
    await world.restart(lose(world))
    before = world.chain.length
    assert [await begun_anew(world, another_key(world, old)) for _ in range(5)] == [200, 404, 404, 404, 404]
    assert (len(world.chain.submitted), world.chain.length - before) == (1, 2), "opened once, closed once"
    assert (await restore_of(world, old, half(world, old))).status_code == 200
    await end_epoch(world)


async def test_each_channel_that_has_paid_is_worth_one_more_session_key(make_world: Make) -> None:
    """Two processes of one wallet need a key each, and so on: those that buy make room for others."""
    world = await make_world(minimum_cap=Atoms(300))
    old = await bought(world, 4)
    poor = await bought(world, 1, wallet=old.wallet)
    await world.cashier.settle(leaving=True)
    assert (old.tally.amount, poor.tally.amount) == (360, 90)
    await world.restart(lose(world))
    first, second, third = (another_key(world, old) for _ in range(3))
    assert [await begun_anew(world, payer) for payer in (first, second, third)] == [200, 200, 404]
    for _ in range(4):
        await first.complete(grant=first.grant(CAP, deadline=world.chain.now + 3600, epoch=1))
    await world.cashier.submit_grants()
    await world.watch.poll()
    third.channel = replace(third.channel, epoch=0)
    assert await begun_anew(world, third) == 404
    assert (await first.acknowledge()).status_code == 200
    third.channel = replace(third.channel, epoch=0)
    assert await begun_anew(world, third) == 200
    await third.complete(grant=third.grant(CAP, deadline=world.chain.now + 3600, epoch=1))


async def test_what_a_payer_opened_itself_is_closed_for_it(world: World) -> None:
    old = await bought(world, 1)
    await world.restart(lose(world))
    for _ in range(2):
        strange = another_key(world, old)
        world.chain.open(strange.channel, CAP)
        await world.watch.poll()
        assert (await restore_of(world, strange, [])).status_code == 200
        await end_epoch(world)
        strange.channel = replace(strange.channel, epoch=1)
        await strange.complete(grant=strange.grant(CAP, deadline=world.chain.now + 3600, epoch=1))


async def test_a_lost_channel_is_not_raised_for_nothing(world: World) -> None:
    payer = await bought(world, 1)
    await world.restart(lose(world))
    for cap in (2 * CAP, 3 * CAP):
        grant = payer.grant(cap, deadline=world.chain.now + 3600)
        assert (await restore_of(world, payer, [], grant=grant)).status_code == 200
        await world.cashier.submit_grants()
    assert world.chain.submitted == []


async def test_the_channel_that_brings_most_is_closed_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, full = await bought(world, 1), await bought(world, 2)
    await world.restart(lose(world))
    await restore_of(world, empty, [])
    full.http = world.http
    await restore(full, half(world, full))
    await world.cashier.settle()
    await world.watch.poll()
    closed: list[ChannelKey] = []
    monkeypatch.setattr(world.chain, "close", lambda key, signed: closed.append(key))
    await world.cashier.close_lost()
    assert closed == [full.channel, empty.channel]


@pytest.mark.parametrize(("later", "settled"), [(10**7, []), (10**6, [90])])
async def test_a_voucher_that_is_not_worth_its_gas_does_not_keep_a_payer_waiting(
    make_world: Make, later: int, settled: list[int]
) -> None:
    """For an interval it waits for cheaper gas; then it is settled for anything less than it brings, or given
    up, which costs less than settling it would."""
    world = await make_world(settle_policy=DOLLARS)
    payer = await bought(world, 1)
    await world.restart(lose(world))
    payer.http = world.http
    world.chain.wei_a_gas = 10**7
    assert (await restore(payer, half(world, payer))).status_code == 200
    await end_epoch(world)
    place = payer.channel.payer, payer.channel.provider, payer.channel.session_key
    assert world.chain.channels[place].key.epoch == 0
    world.chain.wei_a_gas = later
    world.clock.advance(DOLLARS.interval_s)
    await end_epoch(world)
    assert [amount for rows in world.chain.settlements for _, amount in rows] == settled
    payer.channel = replace(payer.channel, epoch=1)
    payer.tally, payer.receipts = Tally(), {}
    await payer.complete(grant=payer.grant(CAP, deadline=world.chain.now + 3600, epoch=1))


# -------------------------------------------------------------------------------------------------- a cheat's


async def test_a_payer_that_settles_more_than_it_owes_gets_no_work_for_nothing(world: World) -> None:
    payer = await bought(world, 1)
    world.engine.tokens, world.engine.gate = 400, asyncio.Semaphore(0)
    events: list[object] = []

    async def read() -> None:
        async with payer.stream(payer.body(stream=True, max_tokens=400)) as stream:
            while (event := await stream.next_event()) is not None:
                events.append(event)

    reading = asyncio.create_task(read())
    await until(lambda: len(world.gateway.running) == 1)
    for _ in range(50):
        world.engine.gate.release()
    await until(lambda: len(events) >= 50)
    tab = world.books.tabs[payer.channel.id]
    more = sign(Tally(amount=Atoms(tab.issued.amount + 1)).voucher(tab.id), DOMAIN, payer.session).signed
    world.chain.settle([(payer.channel, more)])
    await world.watch.poll()
    for _ in range(400):
        world.engine.gate.release()
    await reading
    exposure = world.books.account(tab).exposure
    assert exposure == tab.owed == 400 * 10 + world.engine.input_tokens
    assert (await payer.acknowledge()).status_code == 200


async def test_nothing_is_issued_on_a_lost_channel_whatever_runs(world: World) -> None:
    payer = await bought(world, 1)
    tab = world.books.tabs[payer.channel.id]
    tab.lost = True
    with pytest.raises(ChannelLost):
        world.books.issue(tab, replace(payer.receipts[0], sequence=1))
    assert tab.issued == payer.tally


async def test_receipts_of_an_earlier_key_ask_the_chain_once_and_senseless_ones_never(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = await bought(world, 4)
    await world.restart(lose(world))
    earlier, asked = Key.generate(), 0

    def is_receipt_key(_: Address, key: Address) -> bool:
        nonlocal asked
        asked += 1
        return key == earlier.address

    monkeypatch.setattr(world.chain, "is_receipt_key", is_receipt_key)
    payer.http = world.http
    receipts = [sign(payer.receipts[number], DOMAIN, earlier).signed for number in range(4)]
    for senseless in ([receipts[0]] * 200, receipts[1:]):
        assert code(await restore(payer, senseless)) == "acknowledgement-mismatch"
    assert asked == 0
    assert (await restore(payer, receipts)).status_code == 200
    assert asked == 1
