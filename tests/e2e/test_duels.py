"""One duel from a request to its decision: a real chain, real gateways with a real model, and the SDK."""

import time
from collections.abc import Callable, Iterator
from threading import Event, Thread

import pytest

import tallystick
from tallystick.chain import contracts
from tallystick.chain.duels import Duels, Status
from tallystick.client.pairs import Pair
from tallystick.protocol.case import checked
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, to_hex
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.market import LocalMarket, Make
from tests.warm import Warm

pytestmark = pytest.mark.e2e

PROVIDERS = 5
FEE = Atoms(30_000)
QUESTION = "What is the capital of Kenya?"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[LocalMarket]:
    """Five providers who all sell, and judge what others sell."""
    makes = [Make(name=f"p{number}", settings="\n[quality]\njudge = true\n") for number in range(PROVIDERS)]
    folder = tmp_path_factory.mktemp("duels")
    with LocalMarket(folder=folder, engine=EngineKind.EMBEDDED, makes=makes, popen=warm.popen) as made:
        for provider in made.providers:
            made.chain.rpc.call("anvil_setBalance", f"0x{provider.address.hex()}", hex(10**20))
            Duels(made.market_of(provider.key)).enlist()
        made.fund(made.payer, Atoms(10 * FEE))
        yield made


@pytest.fixture
def mining(market: LocalMarket) -> Iterator[None]:
    """Blocks come by themselves, as elsewhere: a local chain mines what is sent alone."""
    over = Event()

    def mine() -> None:
        while not over.wait(0.3):
            market.chain.rpc.call("anvil_mine", "0x1")

    thread = Thread(target=mine)
    thread.start()
    yield
    over.set()
    thread.join()


def test_a_request_becomes_a_duel_and_is_decided(market: LocalMarket, mining: None) -> None:
    with duelling(market) as client:
        answer = client.chat("tiny-good", QUESTION, max_tokens=24, temperature=1, seed=7)
        (pair,) = tried(client, "over")
        receipts = client.receipts()

    duels = Duels(market.market_of(market.payer))
    judges = panel(duels, pair)
    assert answer.provider == pair.case.first.provider != pair.case.second.provider
    assert checked(pair.case, market.deployment.domain).question == QUESTION
    assert duels.duel(pair.duel).status in (Status.ENDED, Status.APPEALABLE)
    assert not judges & {pair.case.first.provider, pair.case.second.provider}
    assert {held.provider for held in receipts} == judges | {answer.provider, pair.case.second.provider}
    assert pair.cost == sum(held.receipt.message.cost for held in receipts[1:]) + FEE


def test_where_a_judge_is_away_the_others_vote_on_chain(market: LocalMarket, mining: None) -> None:
    """And the challenger, who died meanwhile, goes on where it was."""
    market.stop_gateways(except_for=market.providers[:2])
    with duelling(market) as client:
        before = len(client._session.purse.pairs.held("over"))
        client.chat("tiny-good", QUESTION, max_tokens=24, temperature=1, seed=8)
        (pair,) = tried(client, "opened")
    duels = Duels(market.market_of(market.payer))
    period = duels.terms().period_s
    assert duels.duel(pair.duel).status is Status.COMMITTING
    for provider in market.providers[2:]:
        market.start_gateway(provider)
    pass_time(market, period // 2)
    until(lambda: len(committed(market, pair)) == len(panel(duels, pair)))
    pass_time(market, period)
    pass_time(market, period)
    assert duels.duel(pair.duel).status is Status.COUNTING
    with duelling(market) as client:
        assert len(tried(client, "over")) == before + 1
    assert duels.duel(pair.duel).status in (Status.ENDED, Status.APPEALABLE)


def duelling(market: LocalMarket) -> tallystick.Client:
    return tallystick.Client(
        market.payer,
        rpc=market.chain.url,
        deployment=market.deployment,
        home=market.home,
        budget=tallystick.Budget(total=2_000_000, per_request=50_000),
        transactions=True,
        duel=tallystick.Duel(share=1, budget=1_000_000, fee=FEE),
    )


def committed(market: LocalMarket, pair: Pair) -> list[object]:
    """Judges who said something on chain."""
    contract = contracts.duels().interface
    (topic,) = (topic for topic, entry in contract.events.items() if entry.name == "Committed")
    asked = {
        "address": to_hex(market.deployment.duels or ZERO_ADDRESS),
        "fromBlock": "0x0",
        "topics": [to_hex(topic), to_hex(pair.duel)],
    }
    found = market.chain.rpc.call("eth_getLogs", asked)
    assert isinstance(found, list)
    return found


def pass_time(market: LocalMarket, seconds: int) -> None:
    market.chain.rpc.call("evm_increaseTime", seconds)
    market.chain.rpc.call("evm_mine")


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def tried(client: tallystick.Client, state: str) -> list[Pair]:
    """Once nothing is left to do."""
    session = client._session
    assert session.duelling is not None
    assert session.duelling.wait(240)
    return session.purse.pairs.held(state)


def panel(duels: Duels, pair: Pair) -> set[Address]:
    drawn = duels.panel(pair.duel, pair.case.first.provider, pair.case.second.provider)
    return set(drawn) - {ZERO_ADDRESS}
