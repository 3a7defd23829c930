"""A chain that takes back what it said: the books equal what it says then, and what payers signed stays."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.chain.errors import ChainDisputed, ChainUnavailable
from tallystick.chain.events import Settled
from tallystick.chain.follower import Update
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, AtomsPerMTok, Timestamp, Tokens
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.gateway import Gateway, Limits
from tallystick_node.gateway.grants import GrantPolicy, Grants
from tallystick_node.gateway.settling import SettlePolicy
from tallystick_node.gateway.watch import ChainFollower, ChainWatch
from tallystick_node.store.memory import MemoryStore
from tests.gateway.conftest import DOMAIN, HandClock, Make, World
from tests.gateway.fake_chain import FakeChain
from tests.gateway.test_channels import newcomer, soon

PROVIDER = Key(bytes([7]) * 32)
PAYERS = [Address(bytes([number]) * 20) for number in (1, 2, 3)]


@dataclass
class Following:
    """The books of a provider, kept by a watch."""

    chain: FakeChain

    def __post_init__(self) -> None:
        self.books = Books(
            provider=PROVIDER.address,
            key=PROVIDER,
            domain=DOMAIN,
            store=MemoryStore(),
            clock=self.chain.clock,
        )
        grants = Grants(self.books, self.chain, GrantPolicy(minimum_cap=Atoms(0)))
        self.gateway = Gateway(self.books, grants, Limits(running=9, unsecured=Atoms(0), head_age_s=120))
        self.watch = ChainWatch(self.gateway, grants, self.follower)

    @property
    def follower(self) -> ChainFollower:
        return self.chain

    def known(self) -> object:
        """All that the chain decides."""
        books = self.books
        tabs = {tab.id: (tab.channel, tab.closed) for tab in books.tabs.values()}
        said = {key: value for key, value in tabs.items() if value[0].cap or value[0].settled or value[1]}
        return said, dict(books.offers), books.minimum_sequence, self.gateway.key_revoked


class Fresh(Following):
    """One that reads all there is, for the first time."""

    @property
    def follower(self) -> ChainFollower:
        chain = self.chain

        class All:
            def poll(self) -> Update:
                return Update(head=chain.head(), events=chain.everything, rewound_to=None, final=-1)

            def start_over(self) -> None:
                raise AssertionError

        return All()


def offer(sequence: int) -> Offer:
    return Offer(
        provider=PROVIDER.address,
        sequence=sequence,
        endpoint="http://127.0.0.1",
        endpoint_key=ZERO_HASH,
        model=f"model-{sequence % 2}",
        model_hash=ZERO_HASH,
        input_price=AtomsPerMTok(1),
        cached_input_price=AtomsPerMTok(1),
        output_price=AtomsPerMTok(1),
        context_length=Tokens(1),
        credit=Atoms(1),
        valid_until=Timestamp(10**10),
    )


def happen(chain: FakeChain, what: str, payer: Address, number: int) -> None:
    """Whatever of it is possible now."""
    place = payer, PROVIDER.address, payer
    key = ChannelKey(payer=payer, provider=PROVIDER.address, session_key=payer)
    held = chain.channels.get(place, Channel(key=key))
    match what:
        case "open" if not held.closes_at:
            chain.open(held.key, held.cap + number)
        case "settle" if held.cap > held.settled:
            chain.pay(held.key, min(held.cap, held.settled + number))
        case "ask" if held.cap and not held.closes_at:
            chain.request_close(held.key)
        case "close" if held.cap:
            chain.close(held.key)
        case "offer":
            chain.post_offer(sign(offer(chain.sequence + 1), DOMAIN, PROVIDER).signed)
        case "withdraw":
            chain.withdraw_offers(number, PROVIDER.address)
        case "key":
            chain.set_receipt_key(PROVIDER.address, PROVIDER.address if number % 2 else payer)
        case _:
            pass


KINDS = ["open", "open", "settle", "settle", "ask", "close", "offer", "withdraw", "key"]
STEPS = st.one_of(
    st.tuples(st.sampled_from(KINDS), st.sampled_from(PAYERS), st.integers(1, 50)),
    st.tuples(st.just("rewind"), st.just(PAYERS[0]), st.integers(1, 20)),
    st.tuples(st.just("poll"), st.just(PAYERS[0]), st.just(0)),
)


@given(st.lists(STEPS, max_size=60))
@settings(max_examples=150, deadline=None)
def test_the_books_are_those_of_a_node_that_reads_the_chain_for_the_first_time(
    steps: list[tuple[str, Address, int]],
) -> None:
    async def run() -> None:
        following = Following(FakeChain(HandClock()))
        for what, payer, number in [*steps, ("poll", PAYERS[0], 0)]:
            if what == "rewind":
                following.chain.rewind(max(0, following.chain.length - number))
            elif what == "poll":
                await following.watch.poll()
                fresh = Fresh(following.chain)
                await fresh.watch.poll()
                assert following.known() == fresh.known()
            else:
                happen(following.chain, what, payer, number)

    asyncio.run(run())


# --------------------------------------------------------------------------------------- with a gateway


async def owing(world: World, grant: bool = False):
    """A payer that has acknowledged 90 atoms."""
    payer = newcomer(world) if grant else await world.payer(cap=10_000)
    await payer.complete(grant=payer.grant(50_000, deadline=soon(world)) if grant else None)
    assert (await payer.acknowledge()).status_code == 200
    return payer


async def test_a_settlement_that_was_taken_back_is_sent_again(make_world: Make) -> None:
    world = await make_world(settle_policy=SettlePolicy(amount=Atoms(1), interval_s=9, minimum=Atoms(1)))
    payer = await owing(world)
    before = world.chain.length
    await world.cashier.settle()
    await world.watch.poll()
    await world.cashier.settle()
    assert len(world.chain.settlements) == 1
    world.chain.rewind(before)
    world.chain.empty_blocks = 9
    await world.watch.poll()
    assert world.books.tabs[payer.channel.id].acknowledged.amount == 90
    world.chain.in_flight = True  # It waits in the mempool to be mined again: nothing is paid twice.
    await world.cashier.settle()
    assert len(world.chain.settlements) == 1
    world.chain.in_flight = False  # It was dropped.
    await world.cashier.settle()
    assert world.chain.settlements == [[(payer.channel.id, 90)]] * 2


async def test_a_node_that_leaves_waits_for_what_is_under_way(world: World) -> None:
    payer = await owing(world)
    world.chain.in_flight = True
    assert not await world.cashier.finish()
    world.chain.in_flight = False
    assert await world.cashier.finish()
    assert world.chain.settlements == [[(payer.channel.id, 90)]]
    assert await world.cashier.finish()  # Though the books do not show it yet.
    assert len(world.chain.settlements) == 1


async def test_a_node_that_leaves_waits_for_a_grant_to_be_mined(world: World) -> None:
    world.chain.holds_grants = True
    payer = await owing(world, grant=True)
    assert not await world.cashier.finish()
    world.chain.mine(world.chain.submitted[0].message)
    await world.watch.poll()
    assert await world.cashier.finish()
    assert world.chain.settlements == [[(payer.channel.id, 90)]]


async def test_an_opening_that_was_taken_back_leaves_the_grant(world: World) -> None:
    payer = await owing(world, grant=True)
    await world.cashier.submit_grants()
    await world.watch.poll()
    tab = world.books.tabs[payer.channel.id]
    assert tab.channel.cap == 50_000
    world.chain.rewind(1)
    world.chain.empty_blocks = 9
    await world.watch.poll()
    assert (tab.channel.cap, tab.granted, tab.acknowledged.amount) == (0, 50_000, 90)
    await payer.complete()  # Within what is served on a grant alone.
    await world.cashier.settle(leaving=True)
    assert world.chain.settlements == []
    world.chain.deposit(payer.wallet.address, 50_000)
    world.clock.advance(60)
    await world.cashier.submit_grants()
    await world.watch.poll()
    assert tab.channel.cap == 50_000
    await world.cashier.settle(leaving=True)
    assert world.chain.settlements == [[(payer.channel.id, 90)]]


async def test_a_grant_that_was_mined_and_taken_back_is_handed_in_again_at_once(world: World) -> None:
    """Another transaction may have its nonce now: nobody waits for it, least of all a node that leaves."""
    payer = await owing(world, grant=True)
    await world.cashier.submit_grants()
    await world.watch.poll()
    world.chain.rewind(1)
    world.chain.empty_blocks = 9
    world.chain.deposit(payer.wallet.address, 50_000)
    await world.watch.poll()
    for _ in range(3):
        left = not await world.cashier.finish()
        await world.watch.poll()
    assert not left
    assert len(world.chain.submitted) == 2
    assert world.chain.settlements == [[(payer.channel.id, 90)]]


async def test_a_grant_that_is_not_mined_yet_is_not_handed_in_again_by_a_chain_that_moves(
    world: World,
) -> None:
    world.chain.holds_grants = True
    await owing(world, grant=True)
    await world.cashier.submit_grants()
    world.chain.rewind(1)
    world.chain.empty_blocks = 9
    await world.watch.poll()
    for _ in range(3):
        assert not await world.cashier.finish()
        await world.watch.poll()
    assert len(world.chain.submitted) == 1


async def test_a_close_request_that_was_taken_back_reopens(world: World) -> None:
    payer = await owing(world)
    before = world.chain.length
    world.chain.request_close(payer.channel)
    await world.watch.poll()
    assert (await payer.post(payer.body())).json()["error"]["code"] == "channel-not-open"
    world.chain.rewind(before)
    await world.watch.poll()
    await payer.complete()


async def test_a_close_that_was_taken_back_reopens_and_is_still_settled(world: World) -> None:
    payer = await owing(world)
    before = world.chain.length
    world.chain.close(payer.channel)
    await world.watch.poll()
    await world.cashier.settle(leaving=True)
    assert world.chain.settlements == []
    world.chain.rewind(before)
    await world.watch.poll()
    await payer.complete()
    await world.cashier.settle(leaving=True)
    assert world.chain.settlements == [[(payer.channel.id, 90)]]


async def test_events_of_no_true_chain_are_not_acted_on(world: World) -> None:
    """A settlement of a channel that was never opened: the node invents."""
    payer = await world.payer(cap=10_000)
    world.chain.close(payer.channel)
    await world.watch.poll()
    length = world.chain.length
    tab = world.books.tabs[payer.channel.id]
    world.chain.say(Settled, channel_id=tab.id, settled=Atoms(5), acknowledgement_hash=ZERO_HASH)
    with pytest.raises(ChainDisputed):
        await world.watch.poll()
    other = world.stranger()
    response = await other.post(other.body(), grant=other.grant(500, deadline=soon(world)))
    assert (response.status_code, response.json()["error"]["code"]) == (503, "chain-disputed")
    world.chain.rewind(length)
    await world.watch.poll()
    assert tab.closed
    assert not world.gateway.chain_disputed


async def test_while_the_chain_s_nodes_disagree_nothing_is_sold(world: World) -> None:
    payer = await owing(world)
    world.chain.disputed = True
    with pytest.raises(ChainDisputed):
        await world.watch.poll()
    response = await payer.post(payer.body())
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["retryable"]) == (503, "chain-disputed", True)
    health = await world.http.get("/healthz")
    assert (health.status_code, health.json()["chain"]["disputed"]) == (503, True)
    assert "tallystick_chain_disputed 1.0" in (await world.http.get("/metrics")).text
    assert (await payer.acknowledge()).status_code in (200, 409)  # What is owed may be acknowledged.
    world.chain.disputed = False
    await world.watch.poll()
    await payer.complete()


async def test_a_chain_that_is_silent_does_not_hold_up_payers_with_grants(world: World) -> None:
    world.chain.gone = True
    asked = world.chain.asked
    codes = set()
    for _ in range(5):
        payer = newcomer(world)
        response = await payer.post(payer.body(), grant=payer.grant(500, deadline=soon(world)))
        codes.add((response.status_code, response.json()["error"]["code"]))
    assert codes == {(503, "chain-stale")}
    assert world.chain.asked == asked + 1
    world.chain.gone = False
    world.clock.advance(3)
    await payer.complete(grant=payer.grant(500, deadline=soon(world)))


# --------------------------------------------------------------------------------------- what gas costs


DOLLARS = SettlePolicy(
    amount=Atoms(50),
    interval_s=900,
    minimum=Atoms(1),
    coin_price=Atoms(10**9),
    gas_share=100,
    closing_margin_s=600,
)
"""A settlement of one row costs 44 atoms at a million wei a gas."""


async def test_a_spike_is_waited_out(make_world: Make) -> None:
    world = await make_world(settle_policy=DOLLARS)
    payer = await owing(world)
    world.chain.wei_a_gas = 10**9
    await world.cashier.settle()
    assert world.chain.settlements == []
    text = (await world.http.get("/metrics")).text
    assert 'tallystick_waiting_atoms{reason="gas-price"} 90.0' in text
    world.chain.wei_a_gas = 10**5  # Four and a half atoms: half of a tenth.
    await world.cashier.settle()
    assert world.chain.settlements == [[(payer.channel.id, 90)]]
    assert world.chain.highest == [90 * 100 * 10**18 // (1000 * 44_000 * 10**9)]
    await world.watch.poll()
    await world.cashier.settle()
    assert "tallystick_waiting_atoms{" not in (await world.http.get("/metrics")).text


async def test_a_closing_channel_is_settled_before_its_deadline_during_a_spike(make_world: Make) -> None:
    world = await make_world(settle_policy=DOLLARS)
    payer = await owing(world)
    world.chain.wei_a_gas = 10**6
    world.chain.request_close(payer.channel)
    await world.watch.poll()
    await world.cashier.settle()
    assert world.chain.settlements == []
    world.clock.advance(3600 - 600)
    await world.watch.poll()
    world.chain.in_flight = True  # An earlier transaction is stuck: this one takes its place.
    await world.cashier.settle()
    assert world.chain.settlements == [[(payer.channel.id, 90)]]


async def test_what_brings_less_than_its_gas_is_let_go(make_world: Make) -> None:
    world = await make_world(settle_policy=DOLLARS)
    payer = await owing(world)
    world.chain.wei_a_gas = 10**7
    world.chain.request_close(payer.channel)
    world.clock.advance(3000)
    await world.watch.poll()
    await world.cashier.settle()
    assert world.chain.settlements == []
    assert 'tallystick_waiting_atoms{reason="worthless"} 90.0' in (await world.http.get("/metrics")).text


async def test_rows_that_the_contract_skips_are_not_sent_again_and_again(world: World) -> None:
    payer = await owing(world)
    world.chain.hides_settlements = True
    world.chain.request_close(payer.channel)
    await world.watch.poll()
    for _ in range(5):
        await world.cashier.settle()
        await world.watch.poll()
    assert len(world.chain.settlements) == 1
    world.clock.advance(120)
    await world.cashier.settle()
    assert len(world.chain.settlements) == 2


async def test_grants_that_are_mined_and_not_confirmed_are_not_sent_again(world: World) -> None:
    payer = newcomer(world)
    await payer.complete(grant=payer.grant(50_000, deadline=soon(world)))
    await world.cashier.submit_grants()
    world.clock.advance(60)
    await world.cashier.submit_grants()  # The books are not as far.
    assert len(world.chain.submitted) == 1
    await world.watch.poll()
    world.chain.gone = True
    with pytest.raises(ChainUnavailable):
        await world.watch.poll()
    await world.cashier.submit_grants()
    assert len(world.chain.submitted) == 1
